from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparkscore.config import Deployment
from sparkscore.errors import SinkConflictError
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import new_record
from sparkscore.run.quarantine import check_quarantine, open_quarantine, publish_quarantine, quarantine_location
from sparkscore.sinks import Published, Target
from sparkscore.stage import StagedFile
from sparkscore.worker import QUARANTINE_SCHEMA

FILE = StagedFile("quarantine/0/a.parquet", 2, 100)
OTHER = StagedFile("quarantine/0/b.parquet", 3, 100)


class Table:
    """A quarantine table that has, or has not, rows of this run; it notes what it is asked."""

    target = Target(Path("/out_quarantine"), "append", (), "night", "run_id", "quarantine")

    def __init__(self, landed: Published | None = None, *, is_same: bool = False) -> None:
        self._landed, self._is_same = landed, is_same
        self.asked: list[str] = []

    def landed(self, schema: Any) -> Published | None:
        assert schema.names == QUARANTINE_SCHEMA.names
        return self._landed

    def has_same_rows(self, *_: object) -> bool:
        return self._is_same

    def check_target(self) -> None:
        self.asked.append("target")

    def check_schema(self, schema: Any) -> None:
        assert schema.names == QUARANTINE_SCHEMA.names
        self.asked.append("schema")

    def check_rows(self, *_: object) -> None:
        self.asked.append("rows")

    def read_staged(self, *_: object) -> None: ...

    def publish(self, staged: Any) -> Published:
        self.asked.append("publish")
        return Published("1", sum(file.rows for file in staged.files), staged.schema)


def publish(table: Table, files: tuple[StagedFile, ...], former: tuple[StagedFile, ...] | None = None) -> Any:
    record = new_record("night", None, {})
    stage: Any = None  # nobody looks into it
    manifest = None if former is None else Manifest((), former, {}, {}, record)
    return publish_quarantine(table, files, stage, manifest)  # type: ignore[arg-type]  # as much as is asked


@pytest.mark.parametrize("output", ["/data/out", "/data/out/"])
def test_the_quarantine_lies_beside_the_output(output: str) -> None:
    deployment = Deployment.model_validate({"output": {"location": output}})

    assert quarantine_location(deployment) == "/data/out_quarantine"


def test_runs_append_to_the_quarantine_whatever_they_do_to_the_output() -> None:
    output = {"location": "/out", "mode": "overwrite", "partition_by": ["day"], "format": "parquet"}

    sink = open_quarantine(None, Deployment.model_validate({"output": output}), "night")  # type: ignore[arg-type]

    assert (sink.format, sink.target.mode, sink.target.partition_by) == ("parquet", "append", ())
    assert (sink.target.path, sink.target.part) == (Path("/out_quarantine"), "quarantine")


def test_a_quarantine_that_could_not_be_written_is_refused_before_scoring() -> None:
    table = Table()

    check_quarantine(table)  # type: ignore[arg-type]  # as much of a sink as is asked

    assert table.asked == ["target", "schema"]


def test_of_no_failed_items_there_is_no_quarantine() -> None:
    table = Table()

    found = publish(table, ())

    assert (found.location, found.rows, table.asked) == (None, 0, [])


@pytest.mark.parametrize("former", [None, (FILE,)])
def test_failed_items_are_published_after_they_were_checked(former: tuple[StagedFile, ...] | None) -> None:
    table = Table()

    found = publish(table, (FILE, OTHER), former)

    assert (found.location, found.rows) == ("/out_quarantine", 5)
    assert table.asked == ["schema", "rows", "publish"]


def test_what_an_earlier_attempt_has_published_is_not_published_again() -> None:
    table = Table(Published("1", 2, None))  # type: ignore[arg-type]  # nobody asks for its columns

    found = publish(table, (FILE,), (FILE,))

    assert (found.rows, table.asked) == (2, [])


@pytest.mark.parametrize("is_same", [True, False])
def test_other_files_with_the_same_items_are_taken_and_with_others_refused(*, is_same: bool) -> None:
    table = Table(Published("1", 3, None), is_same=is_same)  # type: ignore[arg-type]  # nobody asks for its columns

    if is_same:
        assert publish(table, (OTHER,), (FILE,)).rows == 3
        return
    with pytest.raises(SinkConflictError, match=r"\[QUARANTINE_DIFFERS\].*got 3 rows") as caught:
        publish(table, (FILE,), (OTHER,))
    assert "2, of the items that failed" in str(caught.value.expected)
