from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sparkscore import errors
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import (
    ErrorThresholdExceededError,
    ModelError,
    OutputContractError,
    ScoringError,
    ScoringScriptError,
    SourceNotFoundError,
    SourceSchemaError,
    SparkscoreError,
)
from sparkscore.outcome import Failure, describe_failure
from sparkscore.run.verdict import decide, failure_error
from sparkscore.stage import MiniBatchReport
from sparkscore.tolerance import Tolerance

DONE = MiniBatchReport(
    unit=0, mini_batch="0-0", place=None, items=10, scored=10, failed=0, rows=10, calls=1, seconds=0.1,
    scored_at=datetime(2026, 1, 1, tzinfo=UTC), worker="w1", loads=1,
)  # fmt: skip
RAISED = Failure(ErrorCode.SCRIPT_RUN, "ValueError", "no row for Ada", "score.py, line 7", "Traceback: Ada")
FAILED = replace(DONE, mini_batch="4-1", scored=0, failed=10, failure=RAISED)


@pytest.mark.parametrize("planned", [None, 20])
def test_a_run_of_which_all_was_scored_passes(planned: int | None) -> None:
    decide([DONE, DONE], planned, "score.py", Tolerance())


@pytest.mark.parametrize("planned", [19, 21])
def test_a_run_whose_counts_differ_from_the_plan_does_not_pass(planned: int) -> None:
    with pytest.raises(ScoringError) as caught:
        decide([DONE, DONE], planned, "score.py", Tolerance())

    assert (caught.value.code, caught.value.got) == ("ITEMS_LOST", "20 items")
    assert "Nothing was published." in str(caught.value)


def test_a_run_without_mini_batches_had_no_input() -> None:
    with pytest.raises(SourceNotFoundError, match="INPUT_EMPTY"):
        decide([], None, "score.py", Tolerance())


@pytest.mark.parametrize(("planned", "state"), [(30, "10 of 30 items"), (None, "10 items")])
def test_one_failed_mini_batch_fails_the_run_and_says_where(planned: int | None, state: str) -> None:
    with pytest.raises(ScoringScriptError) as caught:
        decide([DONE, FAILED, replace(FAILED, mini_batch="5-0")], planned, "scoring script 'score.py'", Tolerance())

    assert str(caught.value) == (
        "[SCRIPT_RUN] scoring script 'score.py' raised ValueError in run() for mini-batch '4-1' (score.py, line 7): "
        f"got 'no row for Ada'. {state} were scored before the run stopped. Nothing was published. "
        "Correct the script; the whole traceback is in the log."
    )


@pytest.mark.parametrize(
    ("code", "advice"), [("MODEL_LOAD", "sparkscore env build"), ("MODEL_PREDICT", "settings.error_threshold")]
)
def test_a_model_that_raises_is_not_called_wrong(code: str, advice: str) -> None:
    error = failure_error(
        Failure(ErrorCode(code), "ValueError", "Input X contains NaN."), "model 'm'", "mini-batch '0-0'", ""
    )

    assert isinstance(error, ModelError)
    assert "Correct the model" not in str(error)
    assert advice in error.next_step


def test_a_shortfall_fails_the_run_though_items_were_scored() -> None:
    failure = Failure(ErrorCode.OUTPUT_ROWS, "OutputContractError", "run() returned 3 elements for 10 items")

    with pytest.raises(OutputContractError, match=r"3 elements for 10 items \(mini-batch '0-0'\)"):
        decide([replace(DONE, scored=3, failed=7, failure=failure)], 10, "score.py", Tolerance())


TOLERATED = replace(DONE, mini_batch="4-1", scored=7, failed=3, failure=RAISED)


@pytest.mark.parametrize(
    ("thresholds", "passed"),
    [
        (Tolerance(-1), ""),
        (Tolerance(6), ""),
        (Tolerance(5), "6 failed items, 'settings.error_threshold' allows 5"),
        (Tolerance(-1, 2), ""),
        (Tolerance(-1, 1), "2 mini-batches with failed items, 'settings.mini_batch_error_threshold' allows 1"),
        (Tolerance(-1, 0), "2 mini-batches with failed items"),
        (Tolerance(-1, -1, 50), ""),
        (Tolerance(-1, -1, 49.9), "50 % of 4 mini-batches had failed items, 'settings.allowed_failed_percent' allows"),
    ],
)
def test_any_threshold_that_is_passed_fails_the_run(thresholds: Tolerance, passed: str) -> None:
    reports = [DONE, TOLERATED, DONE, TOLERATED]
    if not passed:
        decide(reports, 40, "score.py", thresholds)
        return

    with pytest.raises(ErrorThresholdExceededError) as caught:
        decide(reports, 40, "score.py", thresholds)

    assert caught.value.code == "ERROR_THRESHOLD"
    assert caught.value.what.startswith(passed)
    assert "raised ValueError in run() for mini-batch '4-1'" in str(caught.value)
    assert "34 of 40 items were scored" in str(caught.value)


def test_a_run_without_one_success_fails_whatever_it_tolerates() -> None:
    with pytest.raises(ScoringScriptError, match=r"SCRIPT_RUN.*No item was scored.*whatever it tolerates"):
        decide([FAILED], 10, "score.py", Tolerance(-1))


def test_a_run_that_returned_nothing_at_all_fails_whatever_it_tolerates() -> None:
    nothing = Failure(ErrorCode.OUTPUT_ROWS, "OutputContractError", "run() returned 0 elements for 10 items")

    with pytest.raises(OutputContractError, match=r"returned 0 elements.*No item was scored"):
        decide([replace(FAILED, failure=nothing)] * 2, 20, "score.py", Tolerance(-1))
    decide([DONE, replace(FAILED, failure=nothing)], 20, "score.py", Tolerance(-1))


def test_what_failed_and_was_tolerated_is_not_lost() -> None:
    with pytest.raises(ScoringError, match="ITEMS_LOST"):
        decide([DONE, TOLERATED], 21, "score.py", Tolerance(-1))


@pytest.mark.parametrize(
    ("code", "phase"), [("MODEL_LOAD", "while it was loaded"), ("MODEL_PREDICT", "while it predicted")]
)
def test_the_message_says_that_a_model_raised(code: str, phase: str) -> None:
    error = failure_error(Failure(ErrorCode(code), "OSError", "x"), "model 'm'", "mini-batch '1'", "State.")

    assert isinstance(error, ModelError)
    assert error.what == f"model 'm' raised OSError {phase} for mini-batch '1'"


@pytest.mark.parametrize(
    ("code", "phase"),
    [("SCRIPT_IMPORT", "while it was imported"), ("SCRIPT_INIT", "in init()"), ("SCRIPT_RUN", "in run()")],
)
def test_the_message_says_which_part_of_the_script_raised(code: str, phase: str) -> None:
    error = failure_error(
        Failure(ErrorCode(code), "OSError", "x"), "scoring script 'score.py'", "mini-batch '1'", "State."
    )

    assert error.what == f"scoring script 'score.py' raised OSError {phase} for mini-batch '1'"


def test_the_users_text_is_one_line_cut_and_without_secrets() -> None:
    text = "password=hunter2 " + "line\n" * 100

    error = failure_error(Failure(ErrorCode.SCRIPT_RUN, "ValueError", text), "score.py", "mini-batch '1'", "State.")

    assert error.got == f"'{('password=*** ' + 'line ' * 100)[:200]}…'"
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(("length", "shown"), [(200, f"'{'x' * 200}'"), (201, f"'{'x' * 200}…'")])
def test_a_text_is_cut_at_200_characters(length: int, shown: str) -> None:
    assert failure_error(Failure(ErrorCode.SCRIPT_RUN, "E", "x" * length), "s", "p", "").got == shown


def test_a_secret_is_masked_before_the_text_is_cut() -> None:
    text = "x" * 180 + " password=" + "hunter2" * 20

    assert "hunter" not in str(failure_error(Failure(ErrorCode.SCRIPT_RUN, "E", text), "s", "p", ""))


def test_the_log_gets_the_whole_text_and_traceback_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    failure = Failure(ErrorCode.SCRIPT_RUN, "E", "x" * 1000, "", "File score.py\n  connect(password='hunter2')")

    with caplog.at_level(logging.DEBUG, "sparkscore"):
        failure_error(failure, "score.py", "mini-batch '1'", "")

    assert "x" * 1000 in caplog.text
    assert "File score.py" in caplog.text
    assert "hunter2" not in caplog.text
    assert all(record.levelno == logging.DEBUG for record in caplog.records)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            SourceSchemaError(code=ErrorCode.INPUT_INEXACT, what="column 'a'.", next_step="Use it."),
            SourceSchemaError,
        ),
        (ScoringScriptError(code=ErrorCode.SCRIPT_NO_RUN, what="no run", next_step="Add it."), ScoringScriptError),
        (OutputContractError(code=ErrorCode.OUTPUT_ROWS, what="2 for 3", next_step=""), OutputContractError),
    ],
)
def test_an_error_of_ours_arrives_as_what_it_was(error: errors.SparkscoreError, kind: type) -> None:
    arrived = failure_error(describe_failure(error), "score.py", "mini-batch '1'", "State.")

    assert type(arrived) is kind
    assert (arrived.code, arrived.what) == (error.code, f"{error.what.rstrip('.')} (mini-batch '1')")
    assert arrived.next_step == (error.next_step or "The whole message is in the log.")


@pytest.mark.parametrize("name", ["names", "annotations", "SinkError", "unheard of"])
def test_a_failure_without_a_class_of_ours_is_a_scoring_error(name: str) -> None:
    assert type(failure_error(Failure(ErrorCode.UNEXPECTED, name, "text"), "score.py", "it", "")) is ScoringError


def test_a_failure_that_was_not_described_is_told_all_the_same() -> None:
    assert "raised unknown in run()" in str(failure_error(None, "score.py", "mini-batch '1'", ""))


def test_a_scorer_that_did_not_load_somewhere_fails_the_run_whatever_is_tolerated() -> None:
    failure = Failure(ErrorCode.LOAD_PROCESS_ENDED, "ModelLoadError", "the process ended while loading")
    lost = replace(DONE, failed=1, scored=0, failure=failure, is_loaded=False)

    with pytest.raises(SparkscoreError) as caught:
        decide([DONE, lost], 100, "scoring script 'score.py'", Tolerance(-1, -1))

    assert caught.value.code == "LOAD_PROCESS_ENDED"
