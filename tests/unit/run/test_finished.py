"""A run id that is asked for again, after its run ended in one way or another."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.errors import ConfigError
from sparkscore.progress import SilentDisplay
from sparkscore.record.listing import read_record
from sparkscore.record.run_record import RUNNING, RecordedQuarantine
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run import PreparedRun, execute
from tests.support.ledger import check_ledger

Ask = Callable[..., PreparedRun]


def run(session: Any, prepared: PreparedRun) -> Any:
    return execute(session, prepared, progress=SilentDisplay())


def calls_in(files: Path) -> int:
    return len((files / "calls.log").read_text().split())


def test_the_id_of_a_complete_run_of_another_request_is_refused(session: Any, ask: Ask, files: Path) -> None:
    run(session, ask())

    with pytest.raises(ConfigError, match=r"\[RUN_ID_USED\].*another 'config'") as caught:
        run(session, ask(settings__error_threshold=1))

    assert "Choose another --run-id" in caught.value.next_step
    assert calls_in(files) == 3


def test_the_id_of_a_complete_run_whose_rows_are_gone_is_refused(session: Any, ask: Ask, tmp_path: Path) -> None:
    run(session, ask())
    shutil.rmtree(tmp_path / "out" / "run_id=night")

    with pytest.raises(ConfigError, match=r"\[RUN_RESULT_GONE\]"):
        run(session, ask())


def test_a_driver_that_died_after_it_had_published_left_a_complete_run(
    session: Any, ask: Ask, files: Path, tmp_path: Path
) -> None:
    (files / "b.txt").write_text("fails")
    first = run(session, ask(settings__error_threshold=1))
    folder = RunFolder(tmp_path / "runs", "night")
    folder.write_record(first.recorded.noting(state=RUNNING, quarantine=RecordedQuarantine(rows=0)))

    again = run(session, ask(settings__error_threshold=1))

    check_ledger(again.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)
    assert read_record(tmp_path / "runs", "night").state == "COMPLETE"
    assert calls_in(files) == 3


def test_a_held_run_is_given_as_it_waits(session: Any, ask: Ask, files: Path) -> None:
    held = run(session, ask(publish="audit"))

    again = run(session, ask(publish="audit"))

    assert again.record == held.record
    assert calls_in(files) == 3


def test_a_held_run_of_another_request_is_refused_with_what_to_do(session: Any, ask: Ask) -> None:
    run(session, ask(publish="audit"))

    with pytest.raises(ConfigError, match=r"\[RUN_ID_USED\].*is held") as caught:
        run(session, ask(publish="audit", settings__error_threshold=1))

    assert "'sparkscore publish night --discard'" in caught.value.next_step


def test_a_held_run_whose_stage_is_gone_is_scored_again(session: Any, ask: Ask, files: Path) -> None:
    held = run(session, ask(publish="audit"))
    shutil.rmtree(held.record["stage"])

    again = run(session, ask(publish="audit"))

    assert again.record["state"] == "HELD"
    assert calls_in(files) == 6


def test_rows_that_wait_for_another_output_are_not_forgotten(session: Any, ask: Ask, tmp_path: Path) -> None:
    held = run(session, ask(publish="audit"))

    with pytest.raises(ConfigError, match=r"\[RUN_ID_USED\].*wait in") as caught:
        run(session, ask(publish="audit", output__location=str(tmp_path / "elsewhere")))

    assert "another output" in caught.value.got
    assert Path(held.record["stage"]).is_dir()
