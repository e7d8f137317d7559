from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa

from sparkscore.sinks.staged_rows import is_laid_out, partition_values
from sparkscore.stage.writer import StageWriter

ROWS = pa.table(
    {
        "id": pa.array([1, -2, None]),
        "label": pa.array(["a/b=c %", None, "007"]),
        "day": pa.array([date(1, 1, 1), None, date(9999, 12, 31)]),
        "yes": pa.array([True, False, None]),
        "x": [1.0, 2.0, 3.0],
    }
)


def test_the_values_in_the_paths_are_those_of_the_rows(tmp_path: Path) -> None:
    keys = ("label", "id", "day", "yes")
    with StageWriter(str(tmp_path), 0, partition_by=keys) as writer:
        writer.write(ROWS)
        files = writer.finish()

    assert [partition_values(file.path) for file in files] == [
        {"label": "a/b=c %", "id": "1", "day": "0001-01-01", "yes": "true"},
        {"label": None, "id": "-2", "day": None, "yes": "false"},
        {"label": "007", "id": None, "day": "9999-12-31", "yes": None},
    ]
    assert is_laid_out(files, keys)
    assert not is_laid_out(files, ("id", "label", "day", "yes"))
    assert not is_laid_out(files, ())


def test_files_without_folders_have_no_partitions(tmp_path: Path) -> None:
    with StageWriter(str(tmp_path), 0) as writer:
        writer.write(ROWS)
        files = writer.finish()

    assert is_laid_out(files, ())
    assert not is_laid_out(files, ("id",))
