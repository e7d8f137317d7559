"""A command starts Spark without Delta where it can, and again with Delta where Spark turns out to need it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.cli import run_command
from sparkscore.cli.interrupts import InterruptedRunError
from sparkscore.cli.run_command import RunRequest, run_deployment
from sparkscore.cli.spark_options import SparkOptions
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import MissingDependencyError, SparkscoreError
from sparkscore.record.runs_folder import RunFolder
from sparkscore.spark import jvm_session, prerequisites


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The JVMs that were ended, of a process that has started one, whose session is stopped."""
    found: list[str] = []

    def end() -> bool:
        found.append("the JVM")
        return True

    monkeypatch.setattr(jvm_session, "end_jvm", end)
    monkeypatch.setattr(prerequisites, "has_delta_release", lambda: True)
    return found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, list[bool]]]:
    """Return a function that executes a run, and returns the exit code, and for each start whether it had Delta."""

    def begin(*errors: BaseException, needs_delta: bool = False, server: str | None = None) -> tuple[int, list[bool]]:
        starts: list[bool] = []
        left = list(errors)

        def execute(*_: object, delta: bool) -> dict[str, Any]:
            starts.append(delta)
            if left:
                raise left.pop(0)
            return {"state": "COMPLETE"}

        monkeypatch.setattr(run_command, "_execute", execute)
        monkeypatch.setattr("sparkscore.run.needs.may_need_delta", lambda _: needs_delta)
        prepared: Any = SimpleNamespace(folder=RunFolder(tmp_path / "runs", "night"), run_id="night")
        spark = SparkOptions(remote=server)
        return run_deployment(RunRequest(lambda: prepared, "night", None, spark, as_json=True)), starts

    return begin


def no_delta(state: str = "Nothing was published; what was scored is kept.") -> SparkscoreError:
    return MissingDependencyError(
        code=ErrorCode.DELTA_SESSION,
        what="output 'out' is a Delta table",
        state=state,
        next_step="Run 'sparkscore publish night'.",
        record={"state": "FAIL", "run_id": "night"},
    )


def test_spark_is_started_again_with_delta(run: Callable[..., tuple[int, list[bool]]], ended: list[str]) -> None:
    assert run(no_delta()) == (0, [False, True])
    assert ended == ["the JVM"]


def test_a_run_that_needs_no_delta_is_started_once(
    run: Callable[..., tuple[int, list[bool]]], ended: list[str]
) -> None:
    assert run() == (0, [False])
    assert ended == []


def test_a_second_error_is_the_answer(run: Callable[..., tuple[int, list[bool]]], ended: list[str]) -> None:
    assert run(no_delta(), no_delta()) == (2, [False, True])
    assert ended == ["the JVM"]


@pytest.mark.parametrize("case", ["another error", "it had Delta", "a JVM that must not end", "no release of Delta"])
def test_otherwise_the_first_error_is_the_answer(
    run: Callable[..., tuple[int, list[bool]]], ended: list[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    error = no_delta()
    if case == "another error":
        error = MissingDependencyError(code=ErrorCode.DELTA_JAR, what="no jar", next_step="")
    elif case == "a JVM that must not end":
        monkeypatch.setattr(jvm_session, "end_jvm", lambda: False)
    elif case == "no release of Delta":
        monkeypatch.setattr(prerequisites, "has_delta_release", lambda: False)
    needs_delta = case == "it had Delta"

    assert run(error, needs_delta=needs_delta) == (2, [needs_delta])
    assert ended == []


def test_with_a_server_nothing_is_started_again(run: Callable[..., tuple[int, list[bool]]], ended: list[str]) -> None:
    assert run(no_delta(), server="sc://localhost:1") == (2, [False])
    assert ended == []


@pytest.mark.usefixtures("ended")
def test_if_spark_does_not_start_again_the_state_of_the_data_is_still_said(
    run: Callable[..., tuple[int, list[bool]]], capsys: pytest.CaptureFixture[str]
) -> None:
    no_jar = MissingDependencyError(code=ErrorCode.DELTA_JAR, what="no jar", next_step="Run 'sparkscore doctor'.")

    assert run(no_delta(), no_jar) == (2, [False, True])

    said = capsys.readouterr()
    assert json.loads(said.out) == {"state": "FAIL", "run_id": "night"}
    assert (
        "[DELTA_JAR] no jar. Nothing was published; what was scored is kept. Run 'sparkscore doctor'. Run" in said.err
    )


@pytest.mark.usefixtures("ended")
def test_an_interrupt_between_the_starts_says_how_to_go_on(
    run: Callable[..., tuple[int, list[bool]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(no_delta(), InterruptedRunError(signal.SIGINT)) == (130, [False, True])

    expected = "interrupted by Ctrl-C. Nothing was published; what was scored is kept. 'sparkscore resume night'"
    assert expected in capsys.readouterr().err
