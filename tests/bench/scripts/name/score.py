"""Return the number in the name of each file."""

from pathlib import Path


def run(mini_batch: list[str]) -> list[dict[str, float]]:
    numbers = [int(Path(path).stem) for path in mini_batch]
    return [{"id": number, "prediction": number / 2} for number in numbers]
