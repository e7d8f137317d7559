"""Write the record and the log of a run from start to end, even if the run fails. Runs on the driver."""

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
from sparkscore.record.run_record import ABORT, COMPLETE, FAIL, RUNNING, RunRecord, end_record
from sparkscore.record.run_store import Claim, RunStore
from sparkscore.redaction import RedactingFormatter
from sparkscore.run.verdict import details
from sparkscore.spark.connect_errors import connect_error_behind
from sparkscore.spark.errors import SPARK_ERRORS, explain_spark_error, interrupt_behind

logger = logging.getLogger("sparkscore")


class Recording:
    """The record of a run that this driver is working on.

    Attributes:
        folder: the run's folder.
        content: the record so far.
    """

    def __init__(self, folder: RunStore, lock: Claim, content: RunRecord) -> None:
        self.folder = folder
        self._lock = lock
        self._final_state = COMPLETE
        self.content = content

    def note(self, **parts: object) -> None:
        """Set fields of the record, and write the record to the run's folder.

        Raises:
            SinkConflictError: this driver lost the run's lock, for example because another driver resumed the run.
            LineageError: the record cannot be written.
        """
        self.content = self.content.noting(**parts)
        self.folder.write_record(self.content, self._lock.check)

    @contextmanager
    def timed(self, step: Literal["plan", "score", "publish"]) -> Iterator[None]:
        """Add the duration of the ``with`` block to the seconds of a step in the record.

        The duration is also added if the block fails. The record is not written to the run's folder.
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            so_far = self.content.seconds
            total = round(getattr(so_far, step) + time.perf_counter() - start, 3)
            self.content = self.content.noting(seconds=so_far.model_copy(update={step: total}))

    def ends_as(self, state: str) -> None:
        """Set the final state that the record gets if no error occurs. The default is COMPLETE."""
        self._final_state = state

    def end(self, state: str | None = None, error: BaseException | None = None) -> None:
        """Write the record with its final state.

        Args:
            state: the final state. If None, the state set by `ends_as`, or COMPLETE.
            error: the error with which the run failed, or None.

        Raises:
            SinkConflictError: this driver lost the run's lock, for example because another driver resumed the run.
            LineageError: the record cannot be written.
        """
        self.content = end_record(self.content, state or self._final_state, error)
        self.folder.write_record(self.content, self._lock.check)

    def end_interrupted(self, interrupt: BaseException) -> None:
        """Write the record with the state ABORT, and add a note to the interrupt's exception.

        The note says whether rows may be published, and how to resume the run.

        Raises:
            SinkConflictError: this driver lost the run's lock, for example because another driver resumed the run.
            LineageError: the record cannot be written.
        """
        resume = f"'sparkscore resume {self.content.run_id}'"
        interrupt.add_note(
            f"Its rows may be published: {resume} finds out, and continues where the run stopped."
            if self.content.may_show_rows
            else f"Nothing was published. {resume} continues where the run stopped."
        )
        self.end(ABORT, interrupt)


@contextmanager
def recorded(folder: RunStore, lock: Claim, record: RunRecord, logging_level: str) -> Iterator[Recording]:
    """Keep the record and the log of a run up to date while the ``with`` block works on the run.

    The run's state is RUNNING at first, and COMPLETE, HELD, FAIL or ABORT at the end. If the block fails, the
    `SparkscoreError` that is raised has the record in its ``record`` attribute.

    Args:
        folder: the run's folder.
        lock: the run's lock, which this driver holds.
        record: the record so far.
        logging_level: the level of the run's log, from the deployment.

    Raises:
        SparkscoreError: the ``with`` block failed, or the record or the log cannot be written. Spark errors and
            unexpected errors are converted to a `SparkscoreError`. An interrupt (`KeyboardInterrupt` or `SystemExit`)
            is not converted, but gets a note.
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
        # All exceptions are caught, because every failure must be in the record.
        except Exception as error:
            details.debug("the run failed", exc_info=True)
            if (interrupt := interrupt_behind(error, handled_before)) is not None:
                recording.end_interrupted(interrupt)
                raise interrupt from error
            lost = connect_error_behind(error, run_id=recording.content.run_id)
            if lost is not None:
                lost.state = state_of(recording.content)
                lost.record = _ended(recording, lost)
                raise lost from error
            if isinstance(error, SparkscoreError):
                error.record = _ended(recording, error)
                raise
            explained = explain_spark_error(error) if isinstance(error, SPARK_ERRORS) else _unexpected(error)
            explained.record = _ended(recording, explained)
            raise explained from error
        recording.end()


def state_of(record: RunRecord) -> str:
    """Return a sentence that says whether a run that Spark cannot go on with may have published rows."""
    if record.may_show_rows:
        return "Its rows may be published; what was scored is kept."
    return "Nothing was published; what was scored is kept."


def _unexpected(error: Exception) -> SparkscoreError:
    if isinstance(known := named(error), SparkscoreError):
        return known
    return ScoringError(
        code=ErrorCode.UNEXPECTED,
        what="the run failed for a reason that sparkscore does not know",
        got=type(error).__name__,
        state="Nothing was published, unless the log says otherwise.",
        next_step="Please report it with the traceback in the log.",
    )


def _ended(recording: Recording, error: SparkscoreError) -> dict[str, Any]:
    with suppress(SparkscoreError):  # The run's own error matters more than a failure to write the record.
        recording.end(FAIL, error)
    return recording.content.as_dict()


def refuse_other_run(record: RunRecord, identity: str, run_id: str, *, waits: bool = False) -> None:
    """Raise an error if a published or held run with the same run id has a different identity.

    Args:
        record: the record of the published or held run.
        identity: the identity of the new request.
        run_id: the run id, which the run and the new request share.
        waits: whether the run is held. The message then advises publishing or discarding the run.

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
    """Append log messages to the run's log while the ``with`` block runs.

    The log also gets the details of failures, which are shown nowhere else because they may contain row values.
    """
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
