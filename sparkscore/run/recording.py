"""Keep the run's record and log from its first to its last moment, however it ends (driver)."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from sparkscore.digest import different_parts
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ScoringError, SparkscoreError, named, names
from sparkscore.printable import printable
from sparkscore.record.run_record import ABORT, COMPLETE, FAIL, RUNNING, RunRecord, end_record
from sparkscore.record.run_store import Claim, RunStore
from sparkscore.redaction import RedactingFormatter, redact
from sparkscore.run.verdict import details
from sparkscore.spark.errors import SPARK_ERRORS, explain_spark_error, interrupt_behind

logger = logging.getLogger("sparkscore")


def _make_printable(record: logging.LogRecord) -> bool:
    """Escape what would act on a terminal: without a handler, Python writes warnings to stderr as they are."""
    record.msg, record.args = printable(redact(record.getMessage())), None
    return True


logger.addFilter(_make_printable)


class Recording:
    """The record of a run in progress."""

    def __init__(self, folder: RunStore, lock: Claim, content: RunRecord) -> None:
        self.folder = folder
        self._lock = lock
        self._final_state = COMPLETE
        self.content = content

    def note(self, **parts: object) -> None:
        """Add to the record and write it.

        Raises:
            SinkConflictError: another driver took this one for dead, and the record is its own.
            LineageError: the record cannot be written.
        """
        self.content = self.content.noting(**parts)
        self.folder.write_record(self.content, self._lock.check)

    @contextmanager
    def timed(self, step: Literal["plan", "score", "publish"]) -> Iterator[None]:
        """Add to the seconds of a step, also when it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            so_far = self.content.seconds
            total = round(getattr(so_far, step) + time.perf_counter() - start, 3)
            self.content = self.content.noting(seconds=so_far.model_copy(update={step: total}))

    def ends_as(self, state: str) -> None:
        """Say how a run ends that ends without an error, if not as COMPLETE."""
        self._final_state = state

    def end(self, state: str | None = None, error: BaseException | None = None) -> None:
        """Write the final state.

        Raises:
            SinkConflictError: another driver took this one for dead, and the record is its own.
            LineageError: the record cannot be written.
        """
        self.content = end_record(self.content, state or self._final_state, error)
        self.folder.write_record(self.content, self._lock.check)

    def end_interrupted(self, interrupt: BaseException) -> None:
        """Note at an interrupt what became of the data, and write that the run was interrupted; errors as `end`."""
        # Its columns are in the record from the moment on in which the run begins to publish.
        may_be_there = bool(self.content.output.columns)
        told = "Its rows may be published: the same run id tells." if may_be_there else "Nothing was published."
        interrupt.add_note(f"{told} 'sparkscore resume {self.content.run_id}' goes on where the run stopped.")
        self.end(ABORT, interrupt)


@contextmanager
def recorded(folder: RunStore, lock: Claim, record: RunRecord, logging_level: str) -> Iterator[Recording]:
    """Record a run: RUNNING at its start, then COMPLETE, FAIL or ABORT, and give the error its record.

    Args:
        folder: the run's folder.
        lock: the run's lock, which is held.
        record: its record so far.
        logging_level: the deployment's.

    Raises:
        SparkscoreError: what failed; an error of Spark's comes as one of ours.
    """
    handled_before = sys.exception()
    with _logging_to(folder, logging_level):
        recording = Recording(folder, lock, record.noting(state=RUNNING, error=None))
        recording.note()
        try:
            yield recording
        except (KeyboardInterrupt, SystemExit) as error:
            recording.end_interrupted(error)
            raise
        # Every way to fail ends up in the record.
        except Exception as error:
            details.debug("the run failed", exc_info=True)
            if (interrupt := interrupt_behind(error, handled_before)) is not None:
                recording.end_interrupted(interrupt)
                raise interrupt from error
            if isinstance(error, SparkscoreError):
                error.record = _ended(recording, error)
                raise
            explained = explain_spark_error(error) if isinstance(error, SPARK_ERRORS) else _unexpected(error)
            explained.record = _ended(recording, explained)
            raise explained from error
        recording.end()


def _unexpected(error: Exception) -> SparkscoreError:
    if isinstance(known := named(error), SparkscoreError):
        return known
    return ScoringError(
        code=ErrorCode.UNEXPECTED,
        what="the run failed for a reason that sparkscore does not know",
        got=type(error).__name__,
        state="Nothing was published, unless the log says so.",
        next_step="Please report it with the traceback in the log.",
    )


def _ended(recording: Recording, error: SparkscoreError) -> dict[str, Any]:
    with suppress(SparkscoreError):  # what made the run fail comes before a record that cannot be written
        recording.end(FAIL, error)
    return recording.content.as_dict()


def refuse_other_run(record: RunRecord, identity: str, run_id: str, *, waits: bool = False) -> None:
    """Refuse a run id that belongs to a complete run with another input, script, model or configuration.

    Args:
        record: the record of that run.
        identity: the identity of this request.
        run_id: the id.
        waits: whether its rows are scored and wait to be published.

    Raises:
        ConfigError: the identities differ.
    """
    found = record.identity or ""
    if found != identity:
        raise ConfigError(
            code=ErrorCode.RUN_ID_USED,
            what=f"run id '{run_id}' belongs to a run that is {'held' if waits else 'done'}",
            got=f"another {names(different_parts(found, identity))}: {identity}",
            expected=found,
            next_step=f"Publish it with 'sparkscore publish {run_id}' or drop it with 'sparkscore publish {run_id} "
            "--discard' first, or choose another --run-id."
            if waits
            else "Choose another --run-id, or leave it out.",
        )


@contextmanager
def _logging_to(folder: RunStore, logging_level: str) -> Iterator[None]:
    """Write the run's messages, and the details that only its log gets, to the run's log."""
    handler = folder.log_handler()
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.setLevel(logging_level.upper())
    for log in (logger, details):
        log.addHandler(handler)
    try:
        yield
    finally:
        for log in (logger, details):
            log.removeHandler(handler)
        logger.setLevel(level)
        with suppress(OSError):
            handler.close()
