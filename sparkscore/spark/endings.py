"""Determine why a run ended, from the exception that it raised. Runs on the driver."""

from __future__ import annotations

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError, SinkConflictError, SinkError
from sparkscore.spark.connect_errors import connect_error_behind
from sparkscore.spark.errors import OF_PROCESSES, SPARK_ERRORS, interrupt_behind
from sparkscore.stage.ending import Ending


def ending_of(error: BaseException) -> Ending:
    """Return why a run ended, given the exception that it raised."""
    if interrupt_behind(error) is not None:
        return Ending.INTERRUPTED
    is_lost = connect_error_behind(error) is not None
    if is_lost or isinstance(error, SPARK_ERRORS) or getattr(error, "code", "") in OF_PROCESSES:
        return Ending.MACHINES
    if getattr(error, "code", "") == ErrorCode.OTHER_FORMAT:
        return Ending.OTHER_FORMAT
    if getattr(error, "code", "") == ErrorCode.DELTA_SESSION:
        return Ending.NOT_WRITTEN
    if isinstance(error, SinkConflictError):
        return Ending.OVERTAKEN
    return Ending.NOT_WRITTEN if isinstance(error, (SinkError, LineageError)) else Ending.REFUSED
