from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql.types import LongType, StructField, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError, SinkError
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RecordedQuarantine, new_record
from sparkscore.run import publishing as subject
from sparkscore.run.publishing import describe_output, manifest_of, publish_manifest
from sparkscore.sinks import Published, Target
from sparkscore.stage import StagedFile
from sparkscore.worker import LineageValues

SCHEMA = StructType([StructField("size", LongType())])
GOOD, FAILED, EMPTY = (StagedFile(name, rows, 10) for name, rows in (("g", 2), ("f", 1), ("e", 0)))
RECORD = new_record("night", None, {})


class Table:
    """A sink that notes what it is asked, and can be told to fail."""

    format = "parquet"
    target = Target(Path("/out"), "append", (), "night", "run_id")

    def __init__(self, asked: list[str], failing: str = "") -> None:
        self.asked, self._failing = asked, failing

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name == self._failing:
            raise SinkError(code=ErrorCode.USAGE, what="the table", state="", next_step="Correct it.")

    def check_again(self, schema: StructType) -> None:
        assert schema == SCHEMA
        self._ask("check_again")

    def check_rows(self, *_: object) -> None:
        self._ask("check_rows")

    def read_staged(self, *_: object) -> None: ...

    def publish(self, staged: Any) -> Published:
        assert (staged.stage.location, staged.files) == ("/stage", (GOOD,))
        self._ask("publish")
        return Published("v", 2, SCHEMA)


class Stage:
    location = "/stage"

    def __init__(self, *, is_ours: bool = True) -> None:
        self._is_ours = is_ours

    def check_still_ours(self) -> None:
        if not self._is_ours:
            raise SinkConflictError(code=ErrorCode.RUN_LOCK_LOST, what="the run", next_step="Wait.")


class Recording:
    """A record that notes the order in which its parts come."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def note(self, **parts: Any) -> None:
        self._asked.append(f"note {' '.join(parts)}")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []

    def publish_quarantine(*_: object) -> RecordedQuarantine:
        asked.append("quarantine")
        return RecordedQuarantine(location="/q", rows=1)

    monkeypatch.setattr(subject, "publish_quarantine", publish_quarantine)
    return asked


def publish(asked: list[str], stage: Stage, failing: str = "") -> Published:
    manifest = Manifest((GOOD,), (FAILED,), {"size": "bigint"}, {}, RECORD)
    sinks: Any = Table(asked, failing), Table(asked)
    recording: Any = Recording(asked)
    return publish_manifest(manifest, SCHEMA, sinks, stage, recording, None)  # type: ignore[arg-type]  # as much as is asked


def test_the_files_of_the_reports_that_came_back_count() -> None:
    last: Any = SimpleNamespace(staged=(GOOD,), quarantined=(FAILED, EMPTY))
    other: Any = SimpleNamespace(staged=(), quarantined=())

    found = manifest_of([other, last], SCHEMA, LineageValues("night", "model", "3"), RECORD)

    assert (found.files, found.quarantined) == ((GOOD,), (FAILED,))
    assert found.columns == {"size": "bigint"}
    assert found.commit_info == {"model_name": "model", "model_version": "3"}


def test_the_record_says_that_rows_may_be_visible_before_they_are_and_the_quarantine_comes_first(
    asked: list[str],
) -> None:
    assert publish(asked, Stage()).rows == 2

    assert asked == ["check_again", "check_rows", "note output", "quarantine", "note quarantine", "publish"]


@pytest.mark.parametrize("failing", ["check_again", "check_rows"])
def test_what_is_refused_before_publishing_leaves_the_record_as_it_was(asked: list[str], failing: str) -> None:
    with pytest.raises(SinkError):
        publish(asked, Stage(), failing)

    assert [name for name in asked if "note" in name or name in {"quarantine", "publish"}] == []


def test_a_run_that_another_driver_took_over_is_not_published(asked: list[str]) -> None:
    with pytest.raises(SinkConflictError):
        publish(asked, Stage(is_ours=False))

    assert asked == []


def test_an_output_is_described_as_planned_on_its_way_and_published() -> None:
    sink: Any = Table([])

    planned, coming, done = (
        describe_output(sink, published)
        for published in (None, Published(None, None, SCHEMA), Published("v", 2, SCHEMA, moved_to="/aside"))
    )

    assert (planned.format, planned.location, planned.mode) == ("parquet", "/out", "append")
    assert (planned.columns, coming.columns, coming.version) == (None, {"size": "bigint"}, None)
    assert (done.version, done.rows, done.columns) == ("v", 2, {"size": "bigint"})
    assert "/aside" in str(done.model_dump())
