"""An interrupt says of the data what is true at that moment."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.cli import run_command
from sparkscore.cli.interrupts import InterruptedRunError, Interrupts
from sparkscore.cli.run_command import RunRequest, run_deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError, message_of
from sparkscore.record.listing import read_record
from sparkscore.record.run_record import COMPLETE, HELD, RecordedOutput, RunRecord, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run.recording import recorded
from sparkscore.stage.lock import RunLock


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs", "night")
    folder.create()
    return folder


def interrupted(folder: RunFolder, error: BaseException, **noted: Any) -> RunRecord:
    record = new_record("night", None, {}).noting(**noted)
    with (
        pytest.raises(type(error)),
        RunLock(folder.lock_file, "night") as lock,
        recorded(folder, lock, record, "info"),
    ):
        raise error
    return read_record(folder.path.parent, "night")


@pytest.mark.parametrize(
    ("error", "begin"),
    [
        (InterruptedRunError(signal.SIGINT), "interrupted by Ctrl-C."),
        (InterruptedRunError(signal.SIGTERM), "interrupted by SIGTERM."),
        (KeyboardInterrupt(), "The run was interrupted."),
    ],
)
def test_before_it_publishes_nothing_is_published(folder: RunFolder, error: BaseException, begin: str) -> None:
    record = interrupted(folder, error)

    expected = f"{begin} Nothing was published. 'sparkscore resume night' continues where the run stopped."
    assert record.error is not None
    assert (record.state, record.error.code, record.error.message) == ("ABORT", "INTERRUPTED", expected)
    assert message_of(error) == expected


def test_while_it_publishes_nobody_knows(folder: RunFolder) -> None:
    error = InterruptedRunError(signal.SIGINT)

    record = interrupted(folder, error, output=RecordedOutput(columns={"x": "int"}))

    assert record.error is not None
    assert "Nothing was published" not in str(record.error.message)
    assert "may be published" in message_of(error)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_of_a_command_that_publishes_nothing_no_word_is_said_of_publishing(number: int) -> None:
    assert "publish" not in message_of(InterruptedRunError(number))


def test_what_fails_because_of_an_interrupt_says_what_became_of_the_data() -> None:
    interrupts = Interrupts()
    failure = SinkError(code=ErrorCode.PUBLISH_FAILED, what="y", next_step="z", state="The result may be published.")

    assert interrupts.behind(failure) is failure
    interrupts.received = InterruptedRunError(signal.SIGINT)
    assert message_of(interrupts.behind(failure)) == "interrupted by Ctrl-C. The result may be published."


@pytest.mark.parametrize(("state", "word"), [(COMPLETE, "complete"), (HELD, "held")])
def test_after_it_has_published_the_run_is_complete_and_the_answer_is_its_record(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, word: str
) -> None:
    def score(request: RunRequest, _: Interrupts) -> None:
        request.prepared = request.prepare()
        folder.write_record(new_record("night", None, {}).noting(state=state))
        raise InterruptedRunError(signal.SIGINT)

    monkeypatch.setattr(run_command, "_score", score)
    prepared: Any = SimpleNamespace(folder=folder)

    code = run_deployment(RunRequest(lambda: prepared, "night", None, as_json=True))

    said = capsys.readouterr()
    assert code == 130
    assert json.loads(said.out)["state"] == state
    assert said.err.startswith(f"error interrupted by Ctrl-C. Run 'night' is {word}.")
