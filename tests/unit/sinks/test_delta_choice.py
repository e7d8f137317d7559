from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType

from sparkscore.errors import ConfigError, SinkError
from sparkscore.sinks import delta_choice as subject
from sparkscore.sinks.delta_choice import decide_layout, why_spark
from sparkscore.sinks.stage import staged_in
from sparkscore.sinks.target import Layout, StagedResult, Target
from sparkscore.stage import Decision, StagedFile

SCHEMA = StructType([StructField("id", LongType()), StructField("day", StringType()), StructField("x", DoubleType())])
NO_DEFAULTS: Any = SimpleNamespace(conf=SimpleNamespace(getAll={}, get=lambda _: "local[2]"))
DEFAULTS: Any = SimpleNamespace(
    conf=SimpleNamespace(getAll={"spark.databricks.delta.properties.defaults.appendOnly": "true"})
)
NO_DECISION: Any = SimpleNamespace(kept=lambda _: None)


@pytest.fixture(autouse=True)
def delta(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The outputs for which the session was checked for Delta, which it has."""
    asked: list[str] = []
    monkeypatch.setattr(subject, "check_delta", lambda _, what, __: asked.append(what))
    return asked


def target_of(path: Path, *partition_by: str, writer: str = "auto") -> Target:
    return Target(path / "out", "append", partition_by, "night", "run_id", writer=writer)


def test_partitions_are_folders_if_the_workers_may_write_the_table(tmp_path: Path) -> None:
    target = target_of(tmp_path, "day")
    with staged_in(target, None, "id", is_moved=False) as stage:
        assert decide_layout(NO_DEFAULTS, target, SCHEMA, stage) == Layout(("day",))
        # What is decided is kept, whatever comes.
        assert decide_layout(DEFAULTS, target, SCHEMA, stage) == Layout(("day",))


def test_partitions_are_no_folders_if_spark_writes_the_table(tmp_path: Path) -> None:
    target = target_of(tmp_path, "day")
    with staged_in(target, None, "id", is_moved=False) as stage:
        assert decide_layout(DEFAULTS, target, SCHEMA, stage) == Layout()
        assert decide_layout(NO_DEFAULTS, target, SCHEMA, stage) == Layout()


def test_a_stage_with_rows_and_without_a_decision_goes_on_without_folders(tmp_path: Path) -> None:
    """As an earlier version has stored them."""
    target = target_of(tmp_path, "day")
    with staged_in(target, None, "id", is_moved=False) as stage:
        stage.for_tasks().keep_chunk(0, 0, [])

        assert decide_layout(NO_DEFAULTS, target, SCHEMA, stage) == Layout()


def test_without_partitions_there_are_no_folders_to_decide_on(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    with staged_in(target, None, "id", is_moved=False) as stage:
        assert decide_layout(NO_DEFAULTS, target, SCHEMA, stage) == Layout()
        assert not (stage.path / "layout").exists()


def test_a_run_is_refused_if_the_workers_cannot_write_as_it_asks(tmp_path: Path) -> None:
    target = target_of(tmp_path, "x", writer="worker")
    with (
        staged_in(target, None, "id", is_moved=False) as stage,
        pytest.raises(ConfigError, match=r"\[OUTPUT_WRITER\].*partition columns 'x'.*output.writer: auto"),
    ):
        decide_layout(NO_DEFAULTS, target, SCHEMA, stage)


def test_what_is_scored_already_is_published_by_spark_if_it_must_be(tmp_path: Path, delta: list[str]) -> None:
    target = target_of(tmp_path, writer="worker")
    with staged_in(target, None, "id", is_moved=False) as stage:
        assert decide_layout(NO_DEFAULTS, target, SCHEMA, stage) == Layout()
        stage.for_tasks().keep_chunk(0, 0, [])
        assert delta == []

        assert decide_layout(DEFAULTS, target, SCHEMA, stage) == Layout()
        assert delta == [f"output '{target.path}'"]


def test_files_of_another_file_system_are_not_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "is_one_file_system", lambda *_: False)
    target = target_of(tmp_path)
    with staged_in(target, None, "id", is_moved=False) as stage:
        decide_layout(NO_DEFAULTS, target, SCHEMA, stage)

        reason = why_spark(NO_DEFAULTS, target, staged("part-1.parquet", stage=stage))
        assert reason == "the stage is on another file system"


def staged(*paths: str, rows: int = 1, stage: Any = NO_DECISION) -> StagedResult:
    files = tuple(StagedFile(f"attempts/00000-0a/{path}", rows, 100) for path in paths)
    return StagedResult(stage, files, SCHEMA, {})


@pytest.mark.parametrize(("partition_by", "file"), [((), "part-1.parquet"), (("day",), "day=1/part-1.parquet")])
def test_a_run_that_began_with_spark_stays_with_spark_for_the_same_reason(
    tmp_path: Path, partition_by: tuple[str, ...], file: str
) -> None:
    target = target_of(tmp_path, *partition_by)
    with staged_in(target, None, "id", is_moved=False) as stage:
        decide_layout(DEFAULTS, target, SCHEMA, stage)
        decide_layout(NO_DEFAULTS, target, SCHEMA, stage)
        rows = staged(file, stage=stage)

        assert why_spark(NO_DEFAULTS, target, rows) == "the session has properties for new tables"
        # The table of the quarantine is another one.
        assert why_spark(NO_DEFAULTS, replace(target, part="quarantine"), rows) is None


def test_a_run_that_began_with_the_workers_stays_with_them_while_they_can_write(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    with staged_in(target, None, "id", is_moved=False) as stage:
        rows = staged("part-1.parquet", stage=stage)
        decide_layout(NO_DEFAULTS, target, SCHEMA, stage)
        decide_layout(DEFAULTS, target, SCHEMA, stage)

        assert why_spark(DEFAULTS, target, rows) == "the session has properties for new tables"
        assert why_spark(NO_DEFAULTS, target, rows) is None


def test_the_writer_of_a_stage_with_rows_and_without_a_decision_is_decided_when_it_publishes(tmp_path: Path) -> None:
    """As by an earlier version."""
    target = target_of(tmp_path)
    with staged_in(target, None, "id", is_moved=False) as stage:
        stage.for_tasks().keep_chunk(0, 0, [])
        decide_layout(DEFAULTS, target, SCHEMA, stage)

        assert stage.kept(Decision.WRITER) is None
        assert why_spark(NO_DEFAULTS, target, staged("part-1.parquet", stage=stage)) is None


def test_a_refused_writer_is_not_kept(tmp_path: Path) -> None:
    target = target_of(tmp_path, writer="worker")
    with staged_in(target, None, "id", is_moved=False) as stage:
        with pytest.raises(ConfigError, match=r"\[OUTPUT_WRITER\]"):
            decide_layout(DEFAULTS, target, SCHEMA, stage)

        assert decide_layout(NO_DEFAULTS, target, SCHEMA, stage) == Layout()


def test_a_writer_that_cannot_be_read_does_not_keep_a_run_from_publishing(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    with staged_in(target, None, "id", is_moved=False) as stage:
        decide_layout(DEFAULTS, target, SCHEMA, stage)
        (stage.path / Decision.WRITER).write_bytes(b"other")

        assert why_spark(NO_DEFAULTS, target, staged("part-1.parquet", stage=stage)) is None
        with pytest.raises(SinkError, match=r"\[STAGE_CHANGED\]"):
            decide_layout(NO_DEFAULTS, target, SCHEMA, stage)


def test_why_spark_writes(tmp_path: Path) -> None:
    many = [f"day={number}/part-{copy}.parquet" for number in range(3) for copy in range(100)]

    assert why_spark(NO_DEFAULTS, target_of(tmp_path, "day"), staged("day=1/part-1.parquet")) is None
    assert why_spark(NO_DEFAULTS, target_of(tmp_path), staged("part-1.parquet")) is None
    assert [
        why_spark(NO_DEFAULTS, target_of(tmp_path), staged()),
        why_spark(NO_DEFAULTS, target_of(tmp_path), staged("part-1.parquet", rows=0)),
        why_spark(NO_DEFAULTS, target_of(tmp_path, "day"), staged("part-1.parquet")),
        why_spark(NO_DEFAULTS, target_of(tmp_path, writer="spark"), staged("part-1.parquet")),
        why_spark(DEFAULTS, target_of(tmp_path), staged("part-1.parquet")),
        why_spark(NO_DEFAULTS, target_of(tmp_path, "day"), staged(*many)),
        why_spark(NO_DEFAULTS, target_of(tmp_path, "day", writer="worker"), staged(*many)),
    ] == [
        "the result has no rows",
        "the result has no rows",
        "the rows are staged without folders of partitions",
        "output.writer is spark",
        "the session has properties for new tables",
        "the workers wrote 300 files, and Spark writes about 3",
        None,
    ]
