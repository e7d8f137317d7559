"""Let Spark fill record batches without measuring them, if they cannot become too large. Runs on the driver.

Spark limits a record batch for Python in rows and in bytes. For the limit in bytes, it adds up the sizes of all columns
before each row, which takes about as long as writing the row. The limit has no effect on rows of numbers and times.
Source: ``BatchedPythonArrowInput.underBatchSizeLimit``, which measures nothing if the limit is the largest integer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql.types import (
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from sparkscore.minibatch import SOURCE_FILE_COLUMN
from sparkscore.spark.connect import is_connect
from sparkscore.spark.errors import SPARK_ERRORS
from sparkscore.spark.settings import setting_of

_MOST_ROWS: Final = "spark.sql.execution.arrow.maxRecordsPerBatch"
_MOST_BYTES: Final = "spark.sql.execution.arrow.maxBytesPerBatch"
_NOT_MEASURED: Final = str(2**31 - 1)
# Spark's default for the limit in bytes since 4.1. In Spark 4.0 it is four times as large.
_DEFAULT_BYTES: Final = 64 * 1024 * 1024
_BYTES: Final[dict[type[DataType], int]] = {
    BooleanType: 1,
    ByteType: 1,
    ShortType: 2,
    DateType: 4,
    FloatType: 4,
    IntegerType: 4,
    DoubleType: 8,
    LongType: 8,
    TimestampNTZType: 8,
    TimestampType: 8,
    DecimalType: 16,
}
# Of each value, for whether it is NULL. Arrow has one bit.
_NULL_BYTES: Final = 1
# Stores limit the paths of files to about 1,000 bytes. With a longer one, a record batch may be larger.
_PATH_BYTES: Final = 1024


@contextmanager
def unmeasured_batches(rows: DataFrame) -> Iterator[None]:
    """Let jobs of this thread send rows to Python without measuring record batches, if no batch can become too large.

    Record batches are the same with and without this. Nothing is changed for a Spark Connect session, which has no
    settings for a thread, or if the session sets the limit in bytes.

    Args:
        rows: the rows that the jobs send.
    """
    if is_connect(rows.sparkSession) or not _are_small(rows):
        yield
        return
    # A setting of the session would also be one for jobs of other threads, whose rows may be large. Spark itself
    # overwrites this one if the session has the setting.
    context = rows.sparkSession.sparkContext
    before = None
    with suppress(*SPARK_ERRORS):  # a platform may forbid these calls
        before = context.getLocalProperty(_MOST_BYTES)
        context.setLocalProperty(_MOST_BYTES, _NOT_MEASURED)
    try:
        yield
    finally:
        # If the session or its JVM has ended, the error that says so is already being raised.
        with suppress(*SPARK_ERRORS, OSError, AttributeError):
            context.setLocalProperty(_MOST_BYTES, before)  # type: ignore[arg-type]  # None removes it


def _are_small(rows: DataFrame) -> bool:
    """Return whether as many rows as a record batch may have are smaller than Spark's default limit in bytes."""
    row_bytes = _largest_row(rows.schema)
    count = setting_of(rows.sparkSession, _MOST_ROWS) or ""
    # Zero and negative numbers mean that there is no limit in rows.
    return row_bytes is not None and count.isdigit() and 0 < int(count) * row_bytes <= _DEFAULT_BYTES


def _largest_row(schema: StructType) -> int | None:
    """Return the largest size of a row in bytes, or None if it is not known, for example because there are texts."""
    total = 0
    for field in schema:
        if field.name == SOURCE_FILE_COLUMN:
            found: int | None = _PATH_BYTES
        elif isinstance(field.dataType, StructType):
            found = _largest_row(field.dataType)
        else:
            found = _BYTES.get(type(field.dataType))
        if found is None:
            return None
        total += found + _NULL_BYTES
    return total
