"""Decide whether a run may publish, from what was staged; once, before anything is published (driver)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sparkscore import errors
from sparkscore.errors import (
    ModelError,
    ScoringError,
    ScoringScriptError,
    SourceNotFoundError,
    SparkscoreError,
)
from sparkscore.outcome import Failure
from sparkscore.redaction import redact
from sparkscore.worker import MiniBatchReport

#: What only the run's log gets: tracebacks and whole messages of the user's code, which may hold row contents.
details = logging.getLogger("sparkscore.details")
details.propagate = False
details.setLevel(logging.DEBUG)

_SHOWN_CHARACTERS = 200
_PHASES = {
    "SCRIPT_IMPORT": "while it was imported",
    "SCRIPT_INIT": "in init()",
    "SCRIPT_RUN": "in run()",
    "MODEL_LOAD": "while it was loaded",
    "MODEL_PREDICT": "while it predicted",
}


def decide(reports: Sequence[MiniBatchReport], planned_items: int | None, scorer: str) -> None:
    """Let a run pass only if every planned item was scored.

    Args:
        reports: the reports of the successful task attempts.
        planned_items: number of items, where the plan knows it.
        scorer: the scoring script or model, in words.

    Raises:
        ScoringError: an item failed, or the counts do not add up.
        SourceNotFoundError: there was nothing to score.
    """
    scored = sum(report.scored for report in reports)
    failed = [report for report in reports if report.failure is not None]
    if failed:
        total = "" if planned_items is None else f" of {planned_items}"
        state = f"{scored}{total} items were scored before the run stopped. Nothing was published."
        raise failure_error(failed[0].failure, scorer, f"mini-batch '{failed[0].mini_batch}'", state)
    if not reports:
        raise nothing_to_score()
    if planned_items is not None and scored != planned_items:
        raise ScoringError(
            code="ITEMS_LOST",
            what="the tasks' reports do not add up",
            got=f"{scored} items",
            expected=f"{planned_items}, as planned",
            state="Nothing was published.",
            next_step="Run again; if it stays so, please report it with the run's folder.",
        )


def nothing_to_score() -> SourceNotFoundError:
    """Make the error for an input whose rows, once read, are none."""
    return SourceNotFoundError(
        code="INPUT_EMPTY",
        what="the input has nothing to score",
        got="0 rows",
        next_step="Check --input and 'input.format'.",
    )


def failure_error(failure: Failure | None, scorer: str, place: str, state: str) -> SparkscoreError:
    """Make the error for a failed mini-batch; the user's whole message and traceback go to the log.

    Args:
        failure: what failed.
        scorer: the scoring script or model, in words.
        place: the mini-batch, in words.
        state: what happened to the data.
    """
    failure = failure or Failure("SCRIPT_RUN", "unknown", "")
    told = redact(f"{failure.error_class}: {failure.message}\n{failure.traceback_text}")
    details.debug("%s: %s", place, told)
    if failure.code in _PHASES:
        kind, subject = (ModelError, "model") if failure.code.startswith("MODEL") else (ScoringScriptError, "script")
        return kind(
            code=failure.code,
            what=f"{scorer} raised {failure.error_class} {_PHASES[failure.code]} for {place}"
            + (f" ({failure.place})" if failure.place else ""),
            got=_shown(failure.message),
            state=state,
            next_step=failure.next_step or f"Correct the {subject}; the whole traceback is in the log.",
        )
    return _kind_of(failure)(
        code=failure.code,
        what=f"{failure.message.rstrip('.')} ({place})",
        state=state,
        next_step=failure.next_step or "The whole message is in the log.",
    )


def _kind_of(failure: Failure) -> type[SparkscoreError]:
    """Find the class of the error that a worker described."""
    kind = getattr(errors, failure.error_class, ScoringError)
    return kind if isinstance(kind, type) and issubclass(kind, SparkscoreError) else ScoringError


def _shown(message: str) -> str:
    """Give the user's own text as the terminal and the record may show it: one line, cut, without secrets."""
    line = " ".join(redact(message).split())
    if len(line) > _SHOWN_CHARACTERS:
        return f"'{line[:_SHOWN_CHARACTERS]}…'"
    # The text of a KeyError is the key with its quotes.
    return line if line.startswith("'") and line.endswith("'") else f"'{line}'"
