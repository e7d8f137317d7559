"""Publish and discard: how far a run is, is asked under its lock."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SinkError
from sparkscore.record.listing import read_record
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import ABORT, COMPLETE, FAIL, HELD, RUNNING, RecordedOutput, RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run import discard, publish
from sparkscore.run.state import RunState
from sparkscore.run.steps import ActiveRun, Outputs, hold_result, start_record
from sparkscore.sinks.stage import staged_in
from sparkscore.sinks.target import Target
from sparkscore.stage.lock import RunLock

COLUMNS = {"prediction": "double"}


class Written:
    """A run whose rows wait in its stage."""

    def __init__(self, root: Path, state: str) -> None:
        self.runs, self.output = root / "runs", root / "out"
        self.folder = RunFolder(self.runs, "night")
        self.stage = self.output / "_sparkscore" / "night"
        self.folder.create()
        with staged_in(Target(self.output, "append", (), "night", "run_id"), None, "id", is_moved=False) as stage:
            stage.is_kept = True
        config = Deployment.model_validate({"output": {"location": str(self.output), "format": "parquet"}})
        self.record = new_record("night", "d.yml", config.effective())
        output = RecordedOutput(format="parquet", location=str(self.output), mode="append", columns=COLUMNS)
        self.write(state=state, identity="id", output=output, stage=str(self.stage))
        self.folder.write_manifest(Manifest((), (), COLUMNS, {}, self.record))

    def write(self, **parts: Any) -> None:
        self.record = self.record.noting(**parts)
        self.folder.write_record(self.record)

    def note_publishing(self, *, began: bool) -> None:
        self.write(output=self.record.output.model_copy(update={"publishing_began": began}))

    def show_rows(self) -> Path:
        """Put rows of this run where readers see them, as a driver that died before it could say so."""
        shown = self.output / "run_id=night"
        shown.mkdir()
        pq.write_table(pa.table({"prediction": [1.0]}), shown / "part-00000-empty.parquet")
        return shown

    @property
    def state(self) -> str:
        return read_record(self.runs, "night").state


class FakeRecording:
    """A record that is kept in memory."""

    content: RunRecord

    def note(self, **parts: object) -> None:
        self.content = self.content.noting(**parts)


class FakeSink(SimpleNamespace):
    """The output of a held run, of which no rows are read."""

    def __init__(self, output: Path) -> None:
        super().__init__(
            format="parquet", target=Target(output, "append", (), "night", "run_id"), read_staged=lambda *_: None
        )


class FakeStage(SimpleNamespace):
    """The stage of a run at work."""

    def __init__(self, path: Path) -> None:
        super().__init__(location=str(path), is_kept=False)


def manifest_of(run: Written) -> Manifest:
    return Manifest((), (), COLUMNS, {}, run.record)


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[[str], Written]:
    return lambda state: Written(tmp_path, state)


def before_the_lock_is_taken(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let another process be the first to have the run's lock, and give it back."""
    enter = RunLock.__enter__

    def enter_later(lock: RunLock) -> RunLock:
        monkeypatch.setattr(RunLock, "__enter__", enter)
        happens()
        return enter(lock)

    monkeypatch.setattr(RunLock, "__enter__", enter_later)


def test_a_run_that_was_published_meanwhile_is_not_discarded(
    write_run: Callable[[str], Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(HELD)
    shown = run.record.output.model_copy(update={"version": "run_id=night", "rows": 1})
    before_the_lock_is_taken(monkeypatch, lambda: run.write(state=COMPLETE, output=shown, stage=None))

    with pytest.raises(ConfigError, match=r"\[RUN_NOT_HELD\].*state COMPLETE"):
        discard("night")

    assert run.state == COMPLETE


@pytest.mark.parametrize("command", [discard, lambda run_id: publish(None, run_id)])  # type: ignore[arg-type]
def test_a_run_that_was_discarded_meanwhile_stays_so(
    write_run: Callable[[str], Written], monkeypatch: pytest.MonkeyPatch, command: Callable[[str], object]
) -> None:
    run = write_run(HELD)
    before_the_lock_is_taken(monkeypatch, partial(discard, "night"))

    with pytest.raises(ConfigError, match=r"\[RUN_NOT_HELD\].*state ABORT"):
        command("night")

    assert run.state == ABORT


def test_a_held_run_is_discarded_without_spark(write_run: Callable[[str], Written]) -> None:
    run = write_run(HELD)

    record = discard("night")

    assert (record["state"], record["stage"], run.state) == (ABORT, None, ABORT)
    assert list(run.output.iterdir()) == []
    assert not run.folder.lock_file.exists()


@pytest.mark.parametrize("state", [RUNNING, FAIL, ABORT])
def test_a_run_that_may_be_published_is_not_discarded_before_the_table_was_asked(
    write_run: Callable[[str], Written], state: str
) -> None:
    run = write_run(state)

    with pytest.raises(ConfigError, match=r"\[RUN_MAY_BE_PUBLISHED\]"):
        discard("night")

    assert (run.state, run.stage.is_dir()) == (state, True)


@pytest.mark.parametrize("state", [RUNNING, FAIL, ABORT])
def test_of_a_run_that_may_be_published_the_table_says_whether_it_is(
    write_run: Callable[[str], Written], state: str
) -> None:
    run = write_run(state)
    spark: Any = SimpleNamespace(conf={"spark.master": "local[1]"})  # a folder of Parquet files needs none to be asked
    shown = run.show_rows()

    with pytest.raises(
        ConfigError, match=r"\[RUN_NOT_HELD\].*rows that readers already see.*'sparkscore publish night'"
    ):
        discard("night", spark=spark)
    assert (run.state, run.stage.is_dir()) == (state, True)

    shutil.rmtree(shown)
    assert discard("night", spark=spark)["state"] == ABORT


def refuse(*_: object) -> None:
    raise SinkError(code=ErrorCode.PUBLISH_FAILED, what="the table", next_step="Correct the cause.")


def test_a_held_run_whose_publishing_was_refused_before_it_began_is_discarded_without_spark(
    write_run: Callable[[str], Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(HELD)
    run.note_publishing(began=False)
    spark: Any = SimpleNamespace(conf={"spark.master": "local[1]"})  # a folder of Parquet files needs none to be asked
    monkeypatch.setattr("sparkscore.run.held.check_staged_files", refuse)
    with pytest.raises(SinkError):
        publish(spark, "night")
    assert run.state == FAIL

    assert discard("night")["state"] == ABORT

    assert list(run.output.iterdir()) == []


def test_once_publishing_began_the_table_is_asked_before_a_run_is_discarded(
    write_run: Callable[[str], Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(HELD)
    run.note_publishing(began=False)
    spark: Any = SimpleNamespace(conf={"spark.master": "local[1]"})
    monkeypatch.setattr("sparkscore.run.publishing.publish_quarantine", refuse)
    with pytest.raises(SinkError):
        publish(spark, "night")

    with pytest.raises(ConfigError, match=r"\[RUN_MAY_BE_PUBLISHED\]"):
        discard("night")

    assert (run.state, run.stage.is_dir()) == (FAIL, True)
    assert discard("night", spark=spark)["state"] == ABORT


@pytest.mark.parametrize("state", [RUNNING, FAIL, ABORT, HELD])
@pytest.mark.parametrize("began", [True, False])
def test_the_record_says_in_each_state_whether_publishing_began(
    write_run: Callable[[str], Written], state: str, *, began: bool
) -> None:
    run = write_run(state)
    run.note_publishing(began=began)

    with pytest.raises(ConfigError, match=r"\[RUN_MAY_BE_PUBLISHED\]") if began else nullcontext():
        discard("night")

    assert run.stage.is_dir() == began


def parts_of(run: Written) -> tuple[Any, FakeRecording, Outputs]:
    """Return what a driver has when it continues a run: the prepared request, its recording and its outputs."""
    deployment = Deployment.model_validate(run.record.config)
    prepared = SimpleNamespace(run_id="night", deployment_name="d.yml", deployment=deployment)
    return prepared, FakeRecording(), Outputs(FakeSink(run.output), FakeSink(run.output), None)


def test_a_further_attempt_and_a_held_run_keep_that_publishing_began(write_run: Callable[[str], Written]) -> None:
    run = write_run(FAIL)
    run.note_publishing(began=True)
    prepared, recording, outputs = parts_of(run)

    with RunLock(run.folder.lock_file, "night") as lock:
        state = RunState(run.folder, lock, read_record(run.runs, "night"))
        recording.content = start_record(prepared, state)
        assert recording.content.output.publishing_began

        hold_result(ActiveRun(None, prepared, state, recording), outputs, FakeStage(run.stage), manifest_of(run))  # type: ignore[arg-type]

    assert recording.content.output.publishing_began


@pytest.mark.parametrize("state", [COMPLETE, HELD, FAIL])
def test_a_held_run_has_not_begun_to_publish(write_run: Callable[[str], Written], state: str) -> None:
    run = write_run(state)
    run.note_publishing(began=False)
    prepared, recording, outputs = parts_of(run)

    with RunLock(run.folder.lock_file, "night") as lock:
        before = RunState(run.folder, lock, read_record(run.runs, "night"))
        recording.content = start_record(prepared, before)
        assert recording.content.output.publishing_began is None

        hold_result(ActiveRun(None, prepared, before, recording), outputs, FakeStage(run.stage), manifest_of(run))  # type: ignore[arg-type]

    assert recording.content.output.publishing_began is False


def test_what_is_not_there_gets_no_folder(tmp_path: Path) -> None:
    for command in (discard, lambda run_id: publish(None, run_id)):  # type: ignore[arg-type]
        with pytest.raises(Exception, match="RUN_NOT_FOUND"):
            command("night")

    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("is_shown", [True, False])
def test_the_command_line_starts_spark_to_discard_where_the_table_must_be_asked(
    write_run: Callable[[str], Written],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_shown: bool,
) -> None:
    from sparkscore.cli import publish_command, run_command_line  # noqa: PLC0415 - the command line is the subject

    run = write_run(FAIL)
    if is_shown:
        run.show_rows()
    monkeypatch.setattr(publish_command, "spark_session", lambda *_: nullcontext(object()))

    code = run_command_line(["publish", "night", "--discard", "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert code == (2 if is_shown else 0)
    assert answer["error"]["code"] == "RUN_NOT_HELD" if is_shown else answer["state"] == ABORT
    assert run.state == (FAIL if is_shown else ABORT)
