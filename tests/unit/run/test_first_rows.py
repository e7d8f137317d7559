from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import COMPLETE, HELD, RecordedOutput, RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run.first_rows import read_first_rows
from sparkscore.stage import StagedFile

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ROWS = pa.table(
    {
        "id": pa.array([1, 2, 3]),
        "name": pa.array(["a", None, "c"]),
        "at": pa.array([AT, AT, None], pa.timestamp("us", "UTC")),
        "day": pa.array([date(2026, 1, 1)] * 3),
        "price": pa.array([Decimal("1.50")] * 3),
    }
)


def staged(name: str, rows: int = 3) -> StagedFile:
    return StagedFile(f"attempts/00000-0a/{name}", rows, 100, "digest")


def kept(
    tmp_path: Path, table: pa.Table, *names: str, columns: list[str] | None = None, **output: Any
) -> tuple[RunRecord, RunFolder]:
    """Write a table as the files of a run, and the run's manifest and record."""
    values: dict[str, Any] = {
        "format": "delta",
        "location": str(tmp_path / "out"),
        "version": 3,
        "writer": "worker",
    } | output
    record = new_record("night", None, {}).noting(state=COMPLETE, output=RecordedOutput(**values))
    version = values["version"]
    folder = tmp_path / "out" / (version if isinstance(version, str) else "")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / name)
    run = RunFolder(tmp_path / "runs", "night")
    run.create()
    files = tuple(staged(name, table.num_rows) for name in names)
    run.write_manifest(Manifest(files, (), dict.fromkeys(columns or table.column_names, "text"), {}, record))
    return record, run


def test_the_rows_of_a_delta_table_are_read_from_the_files_of_the_workers(tmp_path: Path) -> None:
    record, run = kept(tmp_path, ROWS, "part-1.parquet", "part-2.parquet")

    found = read_first_rows(record, run, 5)

    local = AT.astimezone().replace(tzinfo=None)
    assert found is not None
    assert [row["id"] for row in found] == [1, 2, 3, 1, 2]
    assert found[0] == {"id": 1, "name": "a", "at": local, "day": date(2026, 1, 1), "price": Decimal("1.50")}
    assert found[2]["at"] is None


def test_the_run_id_of_a_folder_of_parquet_files_is_in_the_name_of_the_folder(tmp_path: Path) -> None:
    columns = [*ROWS.column_names, "run_id"]
    record, run = kept(tmp_path, ROWS, "part-1.parquet", columns=columns, format="parquet", version="run_id=night")

    found = read_first_rows(record, run, 2)

    assert found is not None
    assert [(list(row), row["run_id"]) for row in found] == [(columns, "night")] * 2


def test_a_result_without_rows_has_none(tmp_path: Path) -> None:
    record, run = kept(tmp_path, ROWS.slice(0, 0), "part-1.parquet")

    assert read_first_rows(record, run, 5) == []


def test_the_rows_of_a_held_run_are_in_its_stage(tmp_path: Path) -> None:
    record, run = kept(tmp_path, ROWS, "part-1.parquet")
    place = tmp_path / "stage" / staged("part-1.parquet").path
    place.parent.mkdir(parents=True)
    pq.write_table(ROWS.slice(1), place)

    found = read_first_rows(record.noting(state=HELD, stage=str(tmp_path / "stage")), run, 1)

    assert found is not None
    assert [row["id"] for row in found] == [2]


@pytest.mark.parametrize("case", ["Spark wrote", "partitions", "nested", "missing column", "gone", "no manifest"])
def test_other_rows_are_left_to_spark(tmp_path: Path, case: str) -> None:
    table = pa.table({"tags": [["a"]]}) if case == "nested" else ROWS
    columns = [*table.column_names, "other"] if case == "missing column" else None
    name = "day=1/part-1.parquet" if case == "partitions" else "part-1.parquet"
    writer = "spark" if case == "Spark wrote" else "worker"
    record, run = kept(tmp_path, table, name, columns=columns, writer=writer)
    if case == "gone":
        (tmp_path / "out" / name).unlink()
    if case == "no manifest":
        run = RunFolder(tmp_path / "runs", "another")

    assert read_first_rows(record, run, 5) is None
