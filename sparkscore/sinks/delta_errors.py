"""Create the errors for publishing to a Delta table. Runs on the driver."""

from __future__ import annotations

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SinkConflictError, SinkError, names
from sparkscore.sinks.target import Target, how_to_publish
from sparkscore.spark.errors import condition_of, file_behind, reason_of


def cannot_write(target: Target, reason: str) -> ConfigError:
    """Return the error for ``output.writer: worker`` if the workers cannot write the files of the table."""
    return ConfigError(
        code=ErrorCode.OUTPUT_WRITER,
        what=f"the files of the Delta table '{target.path}' cannot be written by the workers",
        got=reason,
        state="Nothing was scored.",
        next_step="Set 'output.writer: auto', or remove the line: Spark then writes the rows.",
    )


def publish_failed(target: Target, error: Exception) -> SinkError:
    """Return the error for a commit that failed in Spark."""
    unread = file_behind(error)
    return SinkError(
        code=ErrorCode.PUBLISH_FAILED,
        what=f"publishing to the Delta table '{target.path}'",
        got=f"{condition_of(error)} for '{unread}'" if unread else reason_of(error),
        state="The table is as it was before the run.",
        next_step=f"Spark's whole message is in the log. {how_to_publish(target)}",
    )


def note_failed(target: Target, error: OSError) -> SinkError:
    """Return the error for a file that must be in the stage before the first commit, but could not be written."""
    return SinkError(
        code=ErrorCode.PUBLISH_FAILED,
        what=f"publishing to the Delta table '{target.path}'",
        got=error.strerror or type(error).__name__,
        state="The table is as it was before the run.",
        next_step=how_to_publish(target),
    )


def unreadable(target: Target, error: Exception) -> SinkError:
    """Return the error for a table whose history or rows Spark cannot read."""
    return SinkError(
        code=ErrorCode.TABLE_UNREADABLE,
        what=f"the history of the Delta table '{target.path}'",
        got=reason_of(error),
        state="It is not known whether it holds rows of this run.",
        next_step="Spark's whole message is in the log; correct the cause and run the same run id again.",
    )


def not_a_table(target: Target) -> SinkConflictError:
    """Return the error for an output that has files but is not a Delta table."""
    return SinkConflictError(
        code=ErrorCode.OUTPUT_NOT_A_TABLE,
        what=f"output '{target.path}'",
        got=f"{names(target.entries())}, and no Delta table",
        expected="a Delta table, or nothing",
        next_step="Name another --output, or move those files away.",
    )
