from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from sparkscore.config import Deployment
from sparkscore.errors import LineageError
from sparkscore.run.needs import may_need_delta


def prepared(*, failed: object = None, record: object = None, **sections: Any) -> Any:
    folder = SimpleNamespace(read_record=lambda: record)
    return SimpleNamespace(deployment=Deployment.model_validate(sections), failed=failed, folder=folder, run_id="night")


PARQUET = {"location": "/out", "format": "parquet"}
CSV = {"location": "in", "format": "csv"}
ROWS = pa.table({"x": [1]})


@pytest.mark.parametrize("kind", ["files", "parquet", "csv", "json"])
def test_files_and_parquet_need_no_delta(kind: str) -> None:
    assert not may_need_delta(prepared(input={"location": "in", "format": kind}, output=PARQUET))


def test_a_folder_without_a_delta_log_needs_none(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()

    assert not may_need_delta(prepared(input={"location": str(tmp_path / "in")}, output=PARQUET))


@pytest.mark.parametrize(
    "sections",
    [
        {"output": PARQUET, "input": {"format": "delta", "location": "in"}},
        {"output": PARQUET, "input": {"location": "s3://bucket/in"}},
        {"output": PARQUET, "input": {"location": ["in", "abfss://box@store/in"], "format": "parquet"}},
        {"output": PARQUET, "failed": "the failed items of a run"},
    ],
)
def test_what_may_be_a_delta_table_needs_it(sections: dict[str, Any]) -> None:
    assert may_need_delta(prepared(**sections))


def test_a_folder_with_a_delta_log_needs_it(tmp_path: Path) -> None:
    (tmp_path / "in" / "_delta_log").mkdir(parents=True)

    assert may_need_delta(prepared(input={"location": str(tmp_path / "in")}, output=PARQUET))


@pytest.mark.parametrize("output", [{}, {"mode": "overwrite"}, {"partition_by": ["day"]}, {"writer": "worker"}])
def test_a_new_table_is_made_of_the_workers_files(tmp_path: Path, output: dict[str, Any]) -> None:
    assert not may_need_delta(prepared(input=CSV, output={"location": str(tmp_path / "out"), **output}))


def test_so_is_a_table_that_takes_files_as_they_are(tmp_path: Path) -> None:
    deltalake.write_deltalake(str(tmp_path / "out"), ROWS)

    assert not may_need_delta(prepared(input=CSV, output={"location": str(tmp_path / "out"), "mode": "append"}))


@pytest.mark.parametrize("table", ["out", "out_quarantine"])
def test_a_table_with_rules_is_written_by_spark(tmp_path: Path, table: str) -> None:
    deltalake.write_deltalake(str(tmp_path / table), ROWS)
    deltalake.DeltaTable(tmp_path / table).alter.add_constraint({"is_positive": "x > 0"})

    assert may_need_delta(prepared(input=CSV, output={"location": str(tmp_path / "out"), "mode": "append"}))


@pytest.mark.parametrize(
    "output",
    [{"writer": "spark"}, {"mode": "overwrite"}, {"partition_by": ["day"]}, {"stage": "/elsewhere"}],
    ids=lambda output: next(iter(output)),
)
def test_spark_writes_what_the_workers_files_cannot_be(tmp_path: Path, output: dict[str, Any]) -> None:
    deltalake.write_deltalake(str(tmp_path / "out"), ROWS)

    assert may_need_delta(prepared(input=CSV, output={"location": str(tmp_path / "out"), "mode": "append", **output}))


def test_a_run_that_was_begun_before_may_have_to_be_written_by_spark(tmp_path: Path) -> None:
    assert may_need_delta(prepared(input=CSV, output={"location": str(tmp_path / "out")}, record="a record"))


@pytest.mark.parametrize("location", ["", "s3://bucket/out"])
def test_what_the_run_will_refuse_is_left_to_it(location: str) -> None:
    assert may_need_delta(prepared(input=CSV, output={"location": location} if location else {}))


def test_a_record_that_cannot_be_read_is_left_to_the_run(tmp_path: Path) -> None:
    run = prepared(input=CSV, output={"location": str(tmp_path / "out")})

    def fail() -> None:
        raise LineageError(code="RECORD_UNREADABLE", what="the record", next_step="")  # type: ignore[arg-type]

    run.folder.read_record = fail

    assert may_need_delta(run)
