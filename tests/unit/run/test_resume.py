"""A run that stopped goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.errors import RunNotFoundError, SparkscoreError
from sparkscore.progress import SilentDisplay
from sparkscore.run import PreparedRun, execute
from sparkscore.run.resume import resume
from tests.support.ledger import check_ledger

Ask = Callable[..., PreparedRun]


def test_only_what_is_not_done_is_scored(session: Any, ask: Ask, files: Path, tmp_path: Path) -> None:
    calls = files / "calls.log"
    session.chances.failed = 1.0  # the job, after its first task
    with pytest.raises(SparkscoreError):
        execute(session, ask(), progress=SilentDisplay())
    session.chances.failed = 0.0
    done = set(calls.read_text().split())
    calls.unlink()

    run = resume(session, "night")

    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)
    assert 0 < len(done) < 3
    assert set(calls.read_text().split()) == {"a.txt", "b.txt", "c.txt"} - done


def test_a_complete_run_is_given_as_it_is(session: Any, ask: Ask, files: Path, tmp_path: Path) -> None:
    first = execute(session, ask(), progress=SilentDisplay())

    again = resume(session, "night", runs=tmp_path / "runs")

    assert again.record == first.record
    assert sorted((files / "calls.log").read_text().split()) == ["a.txt", "b.txt", "c.txt"]


def test_a_run_that_nobody_asked_for_is_named(session: Any) -> None:
    with pytest.raises(RunNotFoundError, match=r"\[REQUEST_NOT_FOUND\]"):
        resume(session, "never")
