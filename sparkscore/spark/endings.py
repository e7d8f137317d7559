"""Tell from an error how an attempt at a run ended (driver)."""

from __future__ import annotations

from sparkscore.errors import LineageError, SinkConflictError, SinkError
from sparkscore.spark.errors import OF_PROCESSES, SPARK_ERRORS, interrupt_behind
from sparkscore.stage.ending import Ending


def ending_of(error: BaseException) -> Ending:
    """Return how an attempt ended that raised an error."""
    if interrupt_behind(error) is not None:
        return Ending.INTERRUPTED
    if isinstance(error, SPARK_ERRORS) or getattr(error, "code", "") in OF_PROCESSES:
        return Ending.MACHINES
    if isinstance(error, SinkConflictError):
        return Ending.OVERTAKEN
    return Ending.NOT_WRITTEN if isinstance(error, (SinkError, LineageError)) else Ending.REFUSED
