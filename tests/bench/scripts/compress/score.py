"""Return how small each file becomes, which takes time in proportion to its size."""

import zlib
from pathlib import Path


def run(mini_batch: list[str]) -> list[dict[str, float]]:
    rows = []
    for path in mini_batch:
        content = Path(path).read_bytes()
        rows.append({"id": int(Path(path).stem), "prediction": len(zlib.compress(content, 9)) / max(1, len(content))})
    return rows
