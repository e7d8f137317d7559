from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest
from pyspark.sql.types import LongType, StructField, StructType

from sparkscore.sinks import delta_open as subject
from sparkscore.sinks.delta import DeltaSink
from sparkscore.sinks.delta_open import CannotCommitError, forget_table, look_at_table, open_table
from sparkscore.sinks.stage import staged_in
from sparkscore.sinks.target import StagedResult, Target
from sparkscore.stage.writer import StageWriter

ROWS = pa.table({"x": [1, 2]})
OTHERS = pa.table({"y": [1, 2]})


@pytest.fixture(autouse=True)
def _none_kept() -> Iterator[None]:
    subject._kept.clear()
    yield
    subject._kept.clear()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    deltalake.write_deltalake(str(tmp_path / "table"), ROWS)
    return tmp_path / "table"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which tables delta-rs opens."""
    found: list[str] = []

    class Table(deltalake.DeltaTable):
        def __init__(self, uri: str, *arguments: Any, **options: Any) -> None:
            found.append(uri)
            super().__init__(uri, *arguments, **options)

    monkeypatch.setattr(deltalake, "DeltaTable", Table)
    return found


def test_a_table_that_nobody_changes_is_opened_once(table: Path, opened: list[str]) -> None:
    assert look_at_table(table) is look_at_table(table)
    assert opened == [str(table)]


def test_a_commit_of_another_process_is_seen_at_the_next_look(table: Path) -> None:
    before = look_at_table(table)
    deltalake.write_deltalake(str(table), ROWS, mode="append")

    found = look_at_table(table)

    assert before is not None
    assert found is not None
    assert (before.version(), found.version()) == (0, 1)


def test_a_table_that_was_replaced_at_the_same_version_is_opened_anew(table: Path) -> None:
    assert look_at_table(table) is not None
    shutil.rmtree(table)
    deltalake.write_deltalake(str(table), OTHERS)

    found = look_at_table(table)

    assert found is not None
    assert [field.name for field in found.schema().fields] == ["y"]


def test_a_table_that_was_removed_is_none(table: Path) -> None:
    assert look_at_table(table) is not None
    shutil.rmtree(table)

    assert look_at_table(table) is None


def test_a_commit_starts_from_a_table_that_was_opened_for_it(table: Path, opened: list[str]) -> None:
    assert look_at_table(table) is not open_table(table)
    assert len(opened) == 2
    assert look_at_table(table) is look_at_table(table)
    forget_table(table)
    look_at_table(table)
    assert len(opened) == 3


def test_only_a_few_tables_are_kept(tmp_path: Path) -> None:
    tables = [tmp_path / name for name in "abc"]
    for table in tables:
        deltalake.write_deltalake(str(table), ROWS)
        look_at_table(table)

    assert list(subject._kept) == [str(table) for table in tables[1:]]


def test_a_table_that_delta_rs_cannot_open_is_not_kept(table: Path) -> None:
    assert look_at_table(table) is not None
    (table / "_delta_log" / f"{1:020}.json").write_text("{")

    for _ in range(2):
        with pytest.raises(CannotCommitError, match="delta-rs cannot open the table"):
            look_at_table(table)


@pytest.mark.parametrize("is_new", [False, True])
def test_a_run_opens_its_table_twice(
    tmp_path: Path, table: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch, *, is_new: bool
) -> None:
    """Once to look at it, before scoring and before publishing, and once for the commit."""
    schema = StructType([StructField("x", LongType())])
    target = Target(tmp_path / "new" if is_new else table, "append", (), "night", "run_id")
    monkeypatch.setattr("sparkscore.sinks.delta_choice.has_defaults_for_tables", lambda _: False)
    monkeypatch.setattr("sparkscore.sinks.delta_choice.task_slots", lambda _: 2)
    monkeypatch.setattr(DeltaSink, "check_schema", lambda *_: None)  # asks Spark for its settings
    sink = DeltaSink(None, target)  # type: ignore[arg-type]  # no Spark is needed

    sink.check_target()
    with staged_in(target, None, "identity", is_moved=False) as stage:
        sink.lay_out(schema, stage)
        assert sink.columns_without_null() == []
        with StageWriter(str(stage.path), 0) as writer:
            writer.write(ROWS)
        sink.check_again(schema)
        sink.check_rows(pytest.fail, schema)
        published = sink.publish(StagedResult(stage, writer.finish(), schema, {}))

    assert (published.version, published.writer) == (0 if is_new else 1, "worker")
    assert opened == ([] if is_new else [str(table)] * 2)
    assert subject._kept == {}
