"""Read rows with Spark: pin settings, add the source file of each row, select columns, and find NULLs.

Runs on the driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.functions import coalesce, col, concat, lit, raise_error
from pyspark.sql.functions import max as largest
from pyspark.sql.types import DataType, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError, names
from sparkscore.minibatch import BLOCK_COLUMNS, HIDDEN_COLUMNS, SOURCE_FILE_COLUMN
from sparkscore.spark.errors import REFUSED_VALUE, SPARK_ERRORS, explain_read_error
from sparkscore.spark.schema import column
from sparkscore.spark.settings import pinned_settings


@contextmanager
def pinned_reads(spark: SparkSession, what: str, *, for_writing: bool = False) -> Iterator[None]:
    """Pin the Spark settings that can change the rows that Spark reads, and convert Spark's exceptions.

    This is a context manager, which restores the settings when it exits.

    Args:
        spark: the session.
        what: the format or the name of the input, for the error message.
        for_writing: whether the settings that affect writing are pinned as well, including the time zone (UTC).

    Raises:
        SourceError: Spark could not read the input.
        ConfigError: a setting has a different value and cannot be changed.
    """
    try:
        with pinned_settings(spark, for_writing=for_writing):
            yield
    except SPARK_ERRORS as error:
        raise explain_read_error(error, what) from error


def with_source_file(frame: DataFrame) -> DataFrame:
    """Return the rows with the hidden columns: the source file, and the start and length of a block of this file.

    The block is the part of the file from which Spark reads the row. The values come from Spark's ``_metadata`` column.
    """
    metadata = frame.metadataColumn("_metadata")
    start, length = (metadata.getField(name) for name in ("file_block_start", "file_block_length"))
    file = metadata.getField("file_path").alias(SOURCE_FILE_COLUMN)
    return frame.select("*", file, start.alias(BLOCK_COLUMNS[0]), length.alias(BLOCK_COLUMNS[1]))


def input_schema(rows: DataFrame) -> StructType:
    """Return the schema of the input rows, without the columns that sparkscore adds when it reads files."""
    return StructType([field for field in rows.schema if field.name not in HIDDEN_COLUMNS])


def refuse_value(problem: str, data_type: DataType) -> Column:
    """Return an expression that makes the run fail when Spark evaluates it for a row.

    The error contains the row's source file, so the rows must have the hidden columns that `with_source_file` adds.

    Args:
        problem: a phrase with the column and the problem, such as ``column 'x': got a …``.
        data_type: the type of the expression.
    """
    file = coalesce(col(SOURCE_FILE_COLUMN), lit("?"))
    message = concat(lit(f"{REFUSED_VALUE[0]}{problem} in '"), file, lit(f"'{REFUSED_VALUE[1]}"))
    return raise_error(message).cast(data_type)


def select_columns(frame: DataFrame, wanted: tuple[str, ...] | None, what: str) -> DataFrame:
    """Return the rows with the wanted columns in the given order, followed by the hidden columns.

    Args:
        frame: the rows.
        wanted: the names of the columns, or None to return the rows unchanged.
        what: the format of the input, for the error message.

    Raises:
        SourceSchemaError: a wanted column is not in the input.
    """
    if wanted is None:
        return frame
    check_wanted([name for name in frame.columns if name not in HIDDEN_COLUMNS], wanted, what)
    return frame.select(*map(column, (*wanted, *HIDDEN_COLUMNS)))


def check_wanted(present: Sequence[str], wanted: Sequence[str], what: str) -> None:
    """Check that all wanted columns exist.

    Args:
        present: the columns of the input.
        wanted: the columns in 'input.columns'.
        what: the format of the input, for the error message.

    Raises:
        SourceSchemaError: a wanted column is not in the input.
    """
    missing = set(wanted) - set(present)
    if missing:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_COLUMNS,
            what=f"the {what} input has no column {names(missing)}",
            got=names(present),
            next_step="Correct 'input.columns'.",
        )


def find_nulls(frame: DataFrame, columns: Sequence[str], what: str) -> dict[str, bool]:
    """Return, for each column name, whether the column contains a NULL. One Spark action reads all of the columns.

    Args:
        frame: the rows.
        columns: the names of the columns, at least one.
        what: the format of the input, for the error message.

    Raises:
        SourceError: Spark could not read the columns.
    """
    with pinned_reads(frame.sparkSession, what):
        found = frame.agg(*(largest(column(name).isNull()) for name in columns)).first()
    # If there are no rows, Spark's `max` is NULL.
    return {name: bool(found and found[position]) for position, name in enumerate(columns)}
