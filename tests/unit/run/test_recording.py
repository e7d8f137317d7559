"""The record and the log of a run, however the run ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.errors import PythonException

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ScoringError, SparkscoreError
from sparkscore.record.listing import read_record
from sparkscore.record.run_record import ABORT, COMPLETE, FAIL, HELD, RUNNING, RecordedOutput, RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.redaction import remember_values
from sparkscore.run.recording import Recording, recorded, refuse_other_run
from sparkscore.run.verdict import details
from sparkscore.stage.lock import RunLock


class Night:
    """A run whose lock is held."""

    def __init__(self, runs: Path, lock: RunLock) -> None:
        self.folder, self.lock = RunFolder(runs, "night"), lock

    def record(self, body: Callable[[Recording], object], level: str = "info") -> RunRecord:
        try:
            with recorded(self.folder, self.lock, new_record("night", None, {}), level) as recording:
                assert self.now.state == RUNNING
                body(recording)
        finally:
            self.log = self.folder.log_file.read_text()
        return self.now

    @property
    def now(self) -> RunRecord:
        return read_record(self.folder.path.parent, "night")


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    folder = RunFolder(tmp_path / "runs", "night")
    folder.create()
    lock = RunLock(folder.lock_file, "night")
    with lock:
        yield Night(tmp_path / "runs", lock)


def fails(error: BaseException) -> Callable[[Recording], object]:
    def body(_: Recording) -> None:
        raise error

    return body


def test_a_run_that_ends_is_complete_or_what_it_says(night: Night) -> None:
    assert night.record(lambda _: None).state == COMPLETE
    assert night.record(lambda recording: recording.ends_as(HELD)).state == HELD


def test_what_is_noted_is_written_at_once(night: Night) -> None:
    def body(recording: Recording) -> None:
        recording.note(model_loads=3)
        assert night.now.model_loads == 3

    assert night.record(body).model_loads == 3


def test_seconds_add_up_also_where_a_step_fails(night: Night) -> None:
    def body(recording: Recording) -> None:
        for _ in range(2):
            with recording.timed("plan"):
                pass
        with recording.timed("score"):
            raise ValueError

    with pytest.raises(ScoringError):
        night.record(body)

    assert night.now.seconds.plan >= 0
    assert night.now.seconds.score >= 0
    assert night.now.seconds.publish == 0


def test_an_error_of_sparkscore_is_recorded_and_raised_with_its_record(night: Night) -> None:
    error = ConfigError(code=ErrorCode.USAGE, what="the input 'x'", next_step="Correct it.")

    with pytest.raises(ConfigError) as caught:
        night.record(fails(error))

    assert caught.value is error
    assert error.record == night.now.as_dict()
    assert night.now.state == FAIL
    assert night.now.error is not None
    assert night.now.error.code == "USAGE"


def test_an_error_of_spark_is_explained(night: Night) -> None:
    with pytest.raises(SparkscoreError) as caught:
        night.record(fails(PythonException("Job aborted: [INPUT_VALUE] a value")))

    assert isinstance(caught.value.__cause__, PythonException)
    assert night.now.state == FAIL


def test_an_unknown_error_is_named_and_its_traceback_is_in_the_log(night: Night) -> None:
    with pytest.raises(ScoringError, match=r"\[UNEXPECTED\].*ZeroDivisionError"):
        night.record(fails(ZeroDivisionError("by nothing")))

    assert "ZeroDivisionError: by nothing" in night.log
    assert night.now.state == FAIL


def test_what_the_system_refuses_is_named(night: Night) -> None:
    with pytest.raises(SparkscoreError, match="SYSTEM"):
        night.record(fails(PermissionError(13, "Permission denied", "/data/x")))


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_published", [True, False])
def test_an_interrupt_is_recorded_with_what_became_of_the_data(
    night: Night, interrupt: type[BaseException], *, is_published: bool
) -> None:
    def body(recording: Recording) -> None:
        recording.note(output=RecordedOutput(columns={"x": "int"} if is_published else None))
        raise interrupt

    with pytest.raises(interrupt) as caught:
        night.record(body)

    assert night.now.state == ABORT
    told = "may be published" if is_published else "Nothing was published"
    assert told in caught.value.__notes__[0]
    assert "sparkscore resume night" in caught.value.__notes__[0]


def test_an_error_that_an_interrupt_caused_is_an_interrupt(night: Night) -> None:
    def body(recording: Recording) -> None:
        try:
            fails(KeyboardInterrupt())(recording)
        finally:
            raise RuntimeError("py4j gave up")

    with pytest.raises(KeyboardInterrupt):
        night.record(body)

    assert night.now.state == ABORT


def test_a_record_that_cannot_be_written_does_not_hide_what_made_the_run_fail(night: Night) -> None:
    def body(_: Recording) -> None:
        night.folder.lock_file.unlink()
        raise ConfigError(code=ErrorCode.USAGE, what="the input", next_step="Correct it.")

    with pytest.raises(ConfigError, match="USAGE"):
        night.record(body)

    assert night.now.state == RUNNING


@pytest.mark.parametrize(("level", "is_there"), [("info", True), ("warning", False)])
def test_the_log_has_the_messages_of_its_level_without_secrets(night: Night, level: str, *, is_there: bool) -> None:
    remember_values(["hunter2-and-more"])

    def body(_: Recording) -> None:
        logging.getLogger("sparkscore").info("read with %s", "hunter2-and-more")
        details.debug("row hunter2-and-more")

    night.record(body, level)

    assert ("read with" in night.log) == is_there
    assert "row " in night.log
    assert "hunter2" not in night.log


def test_after_a_run_nothing_writes_to_its_log(night: Night) -> None:
    before = logging.getLogger("sparkscore").level, list(logging.getLogger("sparkscore").handlers)

    night.record(lambda _: None, "debug")

    assert (logging.getLogger("sparkscore").level, list(logging.getLogger("sparkscore").handlers)) == before


def test_the_id_of_the_same_request_is_taken() -> None:
    refuse_other_run(new_record("night", None, {}).noting(identity="a"), "a", "night")


@pytest.mark.parametrize(("waits", "told"), [(True, "is held"), (False, "is done")])
def test_the_id_of_another_request_is_refused(waits: bool, told: str) -> None:  # noqa: FBT001 - the case
    record = new_record("night", None, {}).noting(identity="input:1 config:2")

    with pytest.raises(ConfigError, match=rf"\[RUN_ID_USED\].*{told}"):
        refuse_other_run(record, "input:1 config:3", "night", waits=waits)
