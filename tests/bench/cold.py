"""The commands that a user would type for a small input, each from start to end."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.cases import Case
from tests.bench.registry import SIDES


def command_of(name: str, case: Case, folder: Path, output: Path) -> list[str]:
    """Return the command of a side that scores a case into an output."""
    python = SIDES[name].python
    if name == "ours":
        # Imported here: a process that runs this file as a script needs none of it.
        from tests.bench.sides.ours import write_deployment

        deployment = write_deployment(case, name, folder)
        program = str(python.with_name("sparkscore"))
        return [program, "run", str(deployment), "--input", case.source, "--output", str(output)]
    file = folder / "case.json"
    file.write_text(case.to_json())
    return [str(python), "-m", "tests.bench.cold", name, str(file), str(output)]


def main(name: str, file: str, output: str) -> None:
    """Do what a script does that a user writes for one input: load, score, write, end."""
    case = Case.from_json(Path(file).read_text())
    if name == "limit":
        _score_here(case, output)
        return
    from tests.bench.sides import spark

    side = spark.start(case, name)
    try:
        side.run(case.source, output)
    finally:
        side.stop()


def _score_here(case: Case, output: str) -> None:
    """Score in this process: for a small input, further processes are no gain."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.bench.predictor import load_predict, score_batch

    table = pq.read_table(case.source)
    predict = load_predict(case)
    scored = [score_batch(predict, batch, case) for batch in table.to_batches()]
    Path(output).mkdir()
    pq.write_table(pa.Table.from_batches(scored), f"{output}/0.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
