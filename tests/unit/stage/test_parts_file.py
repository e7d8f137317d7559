from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.errors import LineageError, SinkError
from sparkscore.parquet import FilePart
from sparkscore.stage import StageFolder
from sparkscore.stage.parts_file import PARTS_SCHEMA, read_parts, write_parts

PARTS = [(0, "/in/a", 0, 20), (0, "/in/b", 5, 5), (1, "/in/b", 0, 5)]
ROWS = {"/in/a": 20, "/in/b": 10, "/in/empty": 0}


def table(parts: list[tuple[int, str, int, int]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(PARTS_SCHEMA.names, part, strict=True)) for part in parts], PARTS_SCHEMA)


def test_the_tasks_get_the_parts_of_their_units(tmp_path: Path) -> None:
    stage = StageFolder(tmp_path)

    assert stage.keep_parts(table(PARTS), ROWS) == {0: 25, 1: 5}
    assert list(stage.for_tasks().planned_parts([1, 0])) == [
        FilePart("/in/b", 0, 5),
        FilePart("/in/a", 0, 20),
        FilePart("/in/b", 5, 5),
    ]
    assert list(stage.for_tasks().planned_parts([])) == []


def test_the_units_of_the_first_execution_stay(tmp_path: Path) -> None:
    stage = StageFolder(tmp_path)
    stage.keep_parts(table(PARTS), ROWS)

    assert stage.keep_parts(table([(0, "/in/a", 0, 20), (1, "/in/b", 0, 10)]), ROWS) == {0: 25, 1: 5}
    with pytest.raises(SinkError, match="STAGE_CHANGED"):
        stage.keep_parts(table(PARTS), {**ROWS, "/in/a": 21})


@pytest.mark.parametrize(
    "parts",
    [
        PARTS[:2],
        [*PARTS, (1, "/in/c", 0, 1)],
        [*PARTS, (1, "/in/b", 0, 5)],
        [(0, "/in/a", 0, 20), (0, "/in/b", 6, 4), (1, "/in/b", 0, 5)],
        [(0, "/in/a", 0, 20), (0, "/in/b", 4, 6), (1, "/in/b", 0, 5)],
        [(0, "/in/a", 0, 20), (0, "/in/b", 0, 10), (1, "/in/b", 0, 0)],
        [(0, "/in/a", 0, 20), (2, "/in/b", 0, 10)],
    ],
)
def test_parts_that_are_not_each_row_once_are_refused(tmp_path: Path, parts: list[tuple[int, str, int, int]]) -> None:
    write_parts(str(tmp_path / "parts.parquet"), table(parts))

    assert read_parts(str(tmp_path / "parts.parquet"), ROWS) is None


def test_parts_that_are_damaged_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "parts.parquet"
    write_parts(str(path), table(PARTS))
    assert read_parts(str(path), ROWS) == {0: 25, 1: 5}

    path.write_bytes(path.read_bytes()[:-9])
    assert read_parts(str(path), ROWS) is None
    pq.write_table(table(PARTS).select(["unit", "path"]), path)
    assert read_parts(str(path), ROWS) is None


def test_parts_of_another_format_are_refused_by_its_number(tmp_path: Path) -> None:
    pq.write_table(table(PARTS).replace_schema_metadata({b"sparkscore.format": b"2"}), tmp_path / "parts.parquet")

    with pytest.raises(LineageError, match=r"\[OTHER_FORMAT\]"):
        read_parts(str(tmp_path / "parts.parquet"), ROWS)
