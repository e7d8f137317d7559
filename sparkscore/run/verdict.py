"""Decide from the workers' reports whether a run may publish its result. Runs on the driver."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sparkscore.error_classes import error_class_of
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import (
    ErrorThresholdExceededError,
    ScoringError,
    SourceNotFoundError,
    SparkscoreError,
)
from sparkscore.outcome import Failure
from sparkscore.redaction import redact
from sparkscore.stage import MiniBatchReport
from sparkscore.tolerance import Tolerance

#: A logger that writes only to the run's log. It gets tracebacks and messages of user code, which may show row values.
details = logging.getLogger("sparkscore.details")
details.propagate = False
details.setLevel(logging.DEBUG)

_SHOWN_CHARACTERS = 200
_PHASES = {
    ErrorCode.SCRIPT_IMPORT: "while it was imported",
    ErrorCode.SCRIPT_INIT: "in init()",
    ErrorCode.SCRIPT_RUN: "in run()",
    ErrorCode.MODEL_LOAD: "while it was loaded",
    ErrorCode.MODEL_PREDICT: "while it predicted",
}

_CORRECT_SCRIPT = "Correct the script; the whole traceback is in the log."
# If a model raises an error, the cause may also be in the rows or in the installed version of its library.
_ADVICE = {
    ErrorCode.MODEL_LOAD: "If the workers have another version of its library than the one that saved it, give them "
    "that one ('sparkscore env build'); else save it again. The whole traceback is in the log.",
    ErrorCode.MODEL_PREDICT: "Look in these rows for what the model has not been trained with, such as NULL, infinity "
    "or another type of a column; 'settings.error_threshold' tolerates rows that fail. The whole traceback is in the "
    "log.",
}


def decide(reports: Sequence[MiniBatchReport], planned_items: int | None, scorer: str, tolerance: Tolerance) -> None:
    """Raise an error if a run must not publish, for example because too many items or mini-batches failed.

    Args:
        reports: the reports of the successful task attempts, each about one mini-batch.
        planned_items: number of items in the input, or None if it was unknown before scoring.
        scorer: name of the scoring script or model, for messages.
        tolerance: how many items and mini-batches may fail.

    Raises:
        SparkscoreError: more items or mini-batches failed than are tolerated, no item was scored, or the scorer could
            not be loaded. The error is an `ErrorThresholdExceededError`, or the error of a failed mini-batch.
        ScoringError: the reports have more or fewer items than `planned_items`.
        SourceNotFoundError: there are no reports, which means that the input has no items.
    """
    if not reports:
        raise nothing_to_score()
    scored = sum(report.scored for report in reports)
    # If the scorer could not be loaded, the task skipped its other mini-batches. No threshold tolerates that.
    not_loaded = [report for report in reports if not report.is_loaded]
    failed = not_loaded or [report for report in reports if report.failure is not None]
    passed = "" if not_loaded else _passed(reports, tolerance)
    if failed and (passed or not_loaded or not scored):
        total = "" if planned_items is None else f" of {planned_items}"
        state = f"{scored}{total} items were scored before the run stopped. Nothing was published."
        if not (scored or passed or not_loaded):
            state = f"No item was scored; then a run fails, whatever it tolerates. {state}"
        first = failure_error(failed[0].failure, scorer, f"mini-batch '{failed[0].mini_batch}'", state)
        raise first if tolerance.is_none or not passed else _too_many(passed, first, state)
    done = scored + sum(report.failed for report in reports)
    if planned_items is not None and done != planned_items:
        raise ScoringError(
            code=ErrorCode.ITEMS_LOST,
            what="the tasks' reports do not add up",
            got=f"{done} items",
            expected=f"{planned_items}, as planned",
            state="Nothing was published.",
            next_step="Run again. If it fails again, please report it with the run's folder.",
        )


def _passed(reports: Sequence[MiniBatchReport], tolerance: Tolerance) -> str:
    """Return a phrase about the threshold that was exceeded, or an empty string if none was exceeded."""
    items = sum(report.failed for report in reports)
    return tolerance.passed(items, sum(report.failed > 0 for report in reports), len(reports))


def _too_many(passed: str, first: SparkscoreError, state: str) -> ErrorThresholdExceededError:
    return ErrorThresholdExceededError(
        code=ErrorCode.ERROR_THRESHOLD,
        what=passed,
        got=f"first {first.what}: {first.got}" if first.got else f"first {first.what}",
        state=state,
        next_step="Correct the input or the model, or tolerate more; the log has each failure.",
    )


def nothing_to_score() -> SourceNotFoundError:
    """Return the error for an input that has no items."""
    return SourceNotFoundError(
        code=ErrorCode.INPUT_EMPTY,
        what="the input has nothing to score",
        got="0 rows",
        next_step="Check --input and 'input.format'.",
    )


def failure_error(failure: Failure | None, scorer: str, mini_batch: str, state: str) -> SparkscoreError:
    """Return the error for a failed mini-batch, and write the full message and traceback to the run's log.

    Args:
        failure: the failure that a worker reported, or None if the report has no failure.
        scorer: name of the scoring script or model, for the message.
        mini_batch: name of the mini-batch, for the message.
        state: a sentence about what happened to the data, for the message.
    """
    failure = failure or Failure(ErrorCode.SCRIPT_RUN, "unknown", "")
    details.debug("%s: %s", mini_batch, redact(f"{failure.error_class}: {failure.message}\n{failure.traceback_text}"))
    if failure.code in _PHASES:
        return error_class_of(failure.code)(
            code=failure.code,
            what=f"{scorer} raised {failure.error_class} {_PHASES[failure.code]} for {mini_batch}"
            + (f" ({failure.place})" if failure.place else ""),
            got=_shown(failure.message),
            state=state,
            next_step=failure.next_step or _ADVICE.get(failure.code, _CORRECT_SCRIPT),
        )
    return error_class_of(failure.code)(
        code=failure.code,
        what=f"{failure.message.rstrip('.')} ({mini_batch})",
        state=state,
        next_step=failure.next_step or "The whole message is in the log.",
    )


def _shown(message: str) -> str:
    """Return a message from user code in quotes, on one line, with secrets masked, and truncated if it is long."""
    line = " ".join(redact(message).split())
    if len(line) > _SHOWN_CHARACTERS:
        return f"'{line[:_SHOWN_CHARACTERS]}…'"
    # The message of a KeyError is the key, which is already in quotes.
    return line if line.startswith("'") and line.endswith("'") else f"'{line}'"
