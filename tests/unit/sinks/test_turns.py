from __future__ import annotations

import time
from pathlib import Path

import pytest

from sparkscore.errors import SinkError
from sparkscore.sinks import turns
from sparkscore.sinks.target import Target
from sparkscore.sinks.turns import forget_dead_turn, turn_at
from sparkscore.stage.layout import STAGE_FOLDER, TARGET_LOCK
from sparkscore.stage.lock import RunLock


def target_in(folder: Path, run_id: str = "night") -> Target:
    return Target(folder / "out", "append", (), run_id, "run_id")


def lock_in(folder: Path) -> Path:
    return folder / "out" / STAGE_FOLDER / TARGET_LOCK


def test_one_run_at_a_time_changes_an_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 0.0)

    with turn_at(target_in(tmp_path)) as check:
        check()
        busy = pytest.raises(SinkError, match=r"\[OUTPUT_BUSY\].*The output is as it was before the run")
        with busy, turn_at(target_in(tmp_path, "other")):
            pass

    assert not lock_in(tmp_path).parent.exists()


def test_who_waits_gets_the_lock_when_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_in(tmp_path).parent.mkdir(parents=True)
    first = RunLock(lock_in(tmp_path), "other")
    first.__enter__()
    monkeypatch.setattr(time, "sleep", lambda _: first.__exit__())

    with turn_at(target_in(tmp_path)) as check:
        check()


def test_a_run_that_lost_the_lock_does_not_go_on(tmp_path: Path) -> None:
    with turn_at(target_in(tmp_path)) as check:
        lock_in(tmp_path).unlink()
        with pytest.raises(SinkError, match=r"\[OUTPUT_BUSY\]"):
            check()


def test_a_lock_that_cannot_be_written_is_a_failure_to_publish(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, where a folder must be")

    with pytest.raises(SinkError, match=r"\[PUBLISH_FAILED\]"), turn_at(target_in(tmp_path)):
        pass


def test_the_lock_of_a_run_that_works_stays(tmp_path: Path) -> None:
    lock_in(tmp_path).parent.mkdir(parents=True)
    forget_dead_turn(target_in(tmp_path))
    assert not lock_in(tmp_path).parent.exists()

    with turn_at(target_in(tmp_path)) as check:
        forget_dead_turn(target_in(tmp_path, "other"))
        check()
