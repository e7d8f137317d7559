"""Convert Spark exceptions to sparkscore errors. Runs on the driver.

Spark's messages may contain row values and Java stack traces. A converted error therefore contains only parts of the
message, for example a file path or the error condition ``PATH_NOT_FOUND``.
"""

from __future__ import annotations

import re

from pyspark.errors import PySparkException

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import NO_SPACE, ScoringError, SinkError, SourceError, SourceSchemaError, SparkscoreError
from sparkscore.location import plain_path
from sparkscore.parquet.problems import refused_value
from sparkscore.spark.causes import cause_in
from sparkscore.spark.host_errors import explain_hidden_file, explain_host_error
from sparkscore.worker.task_error import error_in

try:
    from py4j.protocol import Py4JError
except ImportError:  # the package pyspark-client, for Spark Connect, does not have py4j

    class Py4JError(Exception):  # type: ignore[no-redef]
        """Stand-in for py4j's exception class when py4j is not installed. It is never raised."""


#: Exceptions that calls to Spark may raise: PySpark's own, and JVM exceptions that PySpark does not translate.
SPARK_ERRORS = (PySparkException, Py4JError)

#: Codes of errors that are caused by processes or hosts rather than by items. Scoring again may succeed.
OF_PROCESSES = frozenset(
    {
        *(ErrorCode.SPARK_JOB, ErrorCode.WORKER_DIED, ErrorCode.CHUNK_DIFFERS, ErrorCode.LOAD_PROCESS_ENDED),
        *(ErrorCode.INPUT_NOT_SEEN, ErrorCode.PACKAGE_MISSING, ErrorCode.WORKER_PYTHON),
    }
)

_CANNOT_READ = ("FAILED_READ_FILE", "MALFORMED", "CANNOT_READ", "UNABLE_TO_INFER_SCHEMA", "PATH_NOT_FOUND")
#: Start and end of the message that sparkscore passes to Spark SQL's ``raise_error``. They mark the message in the text
#: of Spark's exception.
REFUSED_VALUE = ("[INPUT_VALUE] ", " [/INPUT_VALUE]")
_REFUSED_VALUE = re.compile(r"\[INPUT_VALUE\] (.*?): got (.*?) in '(.*?)' \[/INPUT_VALUE\]")
_REPAIR = (
    "Repair or remove the input that cannot be read: a truncated file, a row with too many or too few values, or a "
    "file with a different header. Spark's whole message is in the log."
)
_ADVICE = {
    "EMPTY_PARTITION_COLUMN_VALUE": "Rename folders 'key=' without a value (key=__HIVE_DEFAULT_PARTITION__ is NULL), "
    "or name the files with a glob, so that folders do not become columns.",
    "UNSUPPORTED_CHAR_OR_VARCHAR_AS_STRING": "Declare char and varchar columns as string in 'input.schema'.",
    "UNSUPPORTED_TIME_TYPE": "Declare columns of times of day as string in 'input.schema'.",
}
_VACUUMED = (
    "VACUUM removes files that the newest version does not need. Read a newer version ('input.version'), or restore "
    "the file."
)
_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]{3,}(?:\.[A-Z0-9_]+)*)\]")
_COLUMN = re.compile(r"`(.+)` already exists")
_READ_FILE = re.compile(r"while reading file (.+?)\.(?: |$)", re.MULTILINE)
# Source: Spark's VectorizedColumnReader. Spark 4.2 lacks BYTE_STREAM_SPLIT, which PyArrow decodes.
_ENCODING = re.compile(r"UnsupportedOperationException: (?:\[\w+\] )?Unsupported encoding: ([A-Z_]+)")
# Conditions that only say that some code failed.
_VAGUE = ("PYTHON_EXCEPTION", "FAILED_EXECUTE_UDF", "INTERNAL_ERROR")
_WORKER_DIED = ("Python worker exited unexpectedly", "Python worker process terminated")


def condition_of(error: Exception) -> str:
    """Return Spark's error condition, such as ``PATH_NOT_FOUND``, or the exception's class name if there is none.

    If PySpark has not translated a JVM exception, the condition is taken from the message.
    """
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    in_text = _CONDITION.search(str(error))
    return condition or (in_text[1] if in_text else type(error).__name__)


def reason_of(error: Exception) -> str:
    """Return why a Spark job failed, for an error message.

    This is Spark's error condition, the exception class of the deepest cause, or both. A detail of the cause, such as
    the path of a missing file, is added only if it cannot contain values from rows.
    """
    condition, cause = condition_of(error), cause_in(str(error))
    if cause is not None and (condition in _VAGUE or condition == type(error).__name__):
        return str(cause)
    return f"{condition} ({cause})" if cause is not None and cause.detail else condition


def file_behind(error: Exception) -> str:
    """Return the path of the file that Spark could not read, or an empty string if the message has no path."""
    path = _READ_FILE.search(str(error))
    return plain_path(path[1]) if path else ""


def explain_read_error(error: Exception, what: str = "") -> SparkscoreError:
    """Return the sparkscore error for an input that Spark cannot read.

    If Spark reports a duplicate column name, the error is a `SourceSchemaError`. Otherwise, the error names the file if
    Spark's message does. If Spark cannot decode the encoding of a Parquet column, the error names the encoding.

    Args:
        error: the exception that Spark raised.
        what: input format to show in the message, for example ``Delta``. May be empty.
    """
    if condition_of(error) == "COLUMN_ALREADY_EXISTS":
        return _doubled_column(error, what)
    path = file_behind(error)
    if (hidden := explain_hidden_file(str(error), path)) is not None:
        return hidden
    subject = f"input file '{path}'" if path else "input"
    told = " ".join(word for word in ("Spark cannot read the", what, subject) if word)
    if encoding := _ENCODING.search(str(error)):
        return _undecoded(told, encoding[1])
    is_vacuumed = what == "Delta" and condition_of(error) == "FAILED_READ_FILE.FILE_NOT_EXIST"
    return SourceError(
        code=ErrorCode.INPUT_UNREADABLE,
        what=told,
        got=condition_of(error),
        next_step=_VACUUMED if is_vacuumed else _ADVICE.get(condition_of(error), _REPAIR),
    )


def _undecoded(what: str, encoding: str) -> SourceError:
    return SourceError(
        code=ErrorCode.INPUT_UNREADABLE,
        what=what,
        got=f"values with the encoding {encoding}",
        expected="an encoding of Parquet that this version of Spark can decode",
        next_step="If 'input.reader' is spark, set 'input.reader: worker', or leave it out. Otherwise write the file "
        "again without this encoding.",
    )


def _doubled_column(error: Exception, what: str) -> SourceSchemaError:
    found = _COLUMN.search(str(error))
    return SourceSchemaError(
        code=ErrorCode.INPUT_COLUMN_NAMES,
        what=f"the {what} input has a column name that cannot be told from another".replace("  ", " "),
        got=f"'{found[1]}', in upper and lower case, or written with another letter that Java takes for the same"
        if found
        else "",
        expected="names that differ in more than case",
        next_step="Rename the columns in the input.",
    )


def explain_spark_error(error: Exception) -> SparkscoreError:
    """Return the sparkscore error that describes why a Spark job failed.

    These causes are recognized from Spark's exception:

    - an error that sparkscore itself raised in a task (``INPUT_VALUE``, ``CHUNK_DIFFERS`` or ``FILE_SPLIT``)
    - an input that cannot be read
    - a worker process that ended
    - a full disk

    For any other cause, the error code is ``SPARK_JOB``.
    """
    if (found := _error_of_a_task(str(error)) or explain_host_error(str(error))) is not None:
        return found
    if condition_of(error).startswith(_CANNOT_READ):
        return explain_read_error(error)
    if any(text in str(error) for text in _WORKER_DIED):
        return ScoringError(
            code=ErrorCode.WORKER_DIED,
            what="a worker process ended while it scored",
            got="no exception: killed from outside, out of memory, or crashed in native code",
            state="Nothing was published.",
            next_step="Look at the end of Spark's log; smaller mini-batches need less memory. With 'isolation: none' a "
            "script can end the worker process; with 'isolation: process' only its mini-batch fails.",
        )
    if any(text in str(error) for text in NO_SPACE):
        return SinkError(
            code=ErrorCode.STAGE_NO_SPACE,
            what="a worker could not write to the stage",
            got="no space left on the device",
            state="Nothing was published; what was staged is kept.",
            next_step="Make room where the output is, or name another 'output.stage', and run the same run id again.",
        )
    return ScoringError(
        code=ErrorCode.SPARK_JOB,
        what="the Spark job failed",
        got=reason_of(error),
        state="Nothing was published.",
        next_step="Spark's whole message is in the log.",
    )


def _error_of_a_task(text: str) -> SparkscoreError | None:
    """Recreate the error that sparkscore raised in a task, or return None if the message contains none.

    The driver sees a task's error only as part of Spark's message.

    Args:
        text: the message of Spark's exception.
    """
    if found := _REFUSED_VALUE.search(text):
        column, got, file = found.groups()
        return refused_value(column, got, plain_path(file))
    return error_in(text)


def interrupt_behind(error: BaseException, handled_before: BaseException | None = None) -> BaseException | None:
    """Return the interrupt that led to an exception, or None if there was no interrupt.

    An interrupt is a ``KeyboardInterrupt`` or a ``SystemExit``. The exception itself and its chain of ``__context__``
    exceptions are searched.

    Args:
        error: the exception that was caught.
        handled_before: an exception that was already being handled when the run began. The search stops at this
            exception, because it is unrelated to the run.
    """
    # Source: PySpark's `toArrow` waits for its job in a ``finally`` block. If an interrupt cancels the job, the
    # exception of the cancelled job replaces the interrupt, which becomes the ``__context__`` of the exception.
    behind: BaseException | None = error
    while behind is not None and behind is not handled_before:
        if isinstance(behind, (KeyboardInterrupt, SystemExit)):
            return behind
        behind = behind.__context__
    return None
