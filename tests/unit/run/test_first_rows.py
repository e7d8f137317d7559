from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import Row

from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import COMPLETE, HELD, RecordedOutput, RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run.first_rows import read_first_rows
from sparkscore.stage import StagedFile

PART = "part-1.parquet"
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
    tmp_path: Path, table: pa.Table, *names: str, columns: Mapping[str, str] | None = None, **output: Any
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
    run.write_manifest(Manifest(files, (), dict(columns or dict.fromkeys(table.column_names, "text")), {}, record))
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
    columns = dict.fromkeys([*ROWS.column_names, "run_id"], "text")
    record, run = kept(tmp_path, ROWS, "part-1.parquet", columns=columns, format="parquet", version="run_id=night")

    found = read_first_rows(record, run, 2)

    assert found is not None
    assert [(list(row), row["run_id"]) for row in found] == [(list(columns), "night")] * 2


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


def test_nested_values_are_those_that_spark_returns(tmp_path: Path) -> None:
    entry = pa.struct([("at", pa.timestamp("us", "UTC")), ("tags", pa.list_(pa.string()))])
    values = [{"at": AT, "tags": ["a", None]}, {"at": None, "tags": None}, None]
    table = pa.table(
        {
            "entry": pa.array(values, entry),
            "entries": pa.array([values, [], None], pa.list_(entry)),
            "by_name": pa.array([[("b", values[0]), ("a", None)], [], None], pa.map_(pa.string(), entry)),
        }
    )
    record, run = kept(tmp_path, table, "part-1.parquet")

    found = read_first_rows(record, run, 5)

    local = AT.astimezone().replace(tzinfo=None)
    first, second = Row(at=local, tags=["a", None]), Row(at=None, tags=None)
    assert found == [
        {"entry": first, "entries": [first, second, None], "by_name": {"b": first, "a": None}},
        {"entry": second, "entries": [], "by_name": {}},
        {"entry": None, "entries": None, "by_name": None},
    ]
    assert found is not None
    assert isinstance(found[0]["entry"], Row)


def test_partition_values_are_in_the_names_of_folders(tmp_path: Path) -> None:
    columns = {"id": "bigint", "label": "string", "hour": "int", "is_new": "boolean", "day": "date"}
    no_values = "/".join(f"{name}=__HIVE_DEFAULT_PARTITION__" for name in columns if name != "id")
    names = [f"label=a%2Fb/hour=-7/is_new=true/day=2026-01-02/{PART}", f"{no_values}/{PART}"]
    record, run = kept(tmp_path, ROWS.select(["id"]).slice(0, 1), *names, columns=columns)

    found = read_first_rows(record, run, 5)

    assert found == [
        {"id": 1, "label": "a/b", "hour": -7, "is_new": True, "day": date(2026, 1, 2)},
        {"id": 1, "label": None, "hour": None, "is_new": None, "day": None},
    ]


CASES = ["Spark wrote", "a partition with several texts", "an unknown type", "missing column", "gone", "no manifest"]


@pytest.mark.parametrize("case", CASES)
def test_other_rows_are_left_to_spark(tmp_path: Path, case: str) -> None:
    table = pa.table({"took": pa.array([1], pa.duration("us"))}) if case == "an unknown type" else ROWS
    is_partitioned = case == "a partition with several texts"
    columns = dict.fromkeys(table.column_names, "text")
    columns |= {"other": "text"} if case == "missing column" else {}
    columns |= {"share": "decimal(3,2)"} if is_partitioned else {}
    name = f"share=0.50/{PART}" if is_partitioned else PART
    writer = "spark" if case == "Spark wrote" else "worker"
    record, run = kept(tmp_path, table, name, columns=columns, writer=writer)
    if case == "gone":
        (tmp_path / "out" / name).unlink()
    if case == "no manifest":
        run = RunFolder(tmp_path / "runs", "another")

    assert read_first_rows(record, run, 5) is None
