"""What all sources of rows share: the file of each row, the chosen columns (driver)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.functions import coalesce, col, concat, lit, raise_error
from pyspark.sql.functions import max as largest
from pyspark.sql.types import DataType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError, names
from sparkscore.minibatch import BLOCK_COLUMNS, HIDDEN_COLUMNS, SOURCE_FILE_COLUMN
from sparkscore.spark.errors import REFUSED_VALUE, SPARK_ERRORS, explain_read_error
from sparkscore.spark.schema import column
from sparkscore.spark.settings import pinned_settings


@contextmanager
def pinned_reads(spark: SparkSession, what: str, *, for_writing: bool = False) -> Iterator[None]:
    """Pin the settings that change what Spark reads, and explain Spark's errors.

    Args:
        spark: the session.
        what: the format of the input, or its name, for the error.
        for_writing: whether the settings for writing are pinned as well.

    Raises:
        SourceError: Spark could not read the input.
    """
    try:
        with pinned_settings(spark, for_writing=for_writing):
            yield
    except SPARK_ERRORS as error:
        raise explain_read_error(error, what) from error


def with_source_file(frame: DataFrame) -> DataFrame:
    """Add each row's file and the block of it, as Spark's hidden ``_metadata`` column tells them."""
    metadata = frame.metadataColumn("_metadata")
    start, length = (metadata.getField(name) for name in ("file_block_start", "file_block_length"))
    file = metadata.getField("file_path").alias(SOURCE_FILE_COLUMN)
    return frame.select("*", file, start.alias(BLOCK_COLUMNS[0]), length.alias(BLOCK_COLUMNS[1]))


def refuse_value(told: str, kind: DataType) -> Column:
    """Give what fails the run in place of a value, with the row's file; `with_source_file` has added that.

    Args:
        told: the column and what was found in it, as ``column 'x': got a …``.
        kind: the type that the value should have had.
    """
    file = coalesce(col(SOURCE_FILE_COLUMN), lit("?"))
    return raise_error(concat(lit(f"{REFUSED_VALUE[0]}{told} in '"), file, lit(f"'{REFUSED_VALUE[1]}"))).cast(kind)


def select_columns(frame: DataFrame, wanted: tuple[str, ...] | None, what: str) -> DataFrame:
    """Keep the wanted columns, in their order, and the row's file.

    Raises:
        SourceSchemaError: a wanted column is not in the input.
    """
    if wanted is None:
        return frame
    present = [name for name in frame.columns if name not in HIDDEN_COLUMNS]
    missing = set(wanted) - set(present)
    if missing:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_COLUMNS,
            what=f"the {what} input has no column {names(missing)}",
            got=names(present),
            next_step="Correct 'input.columns'.",
        )
    return frame.select(*map(column, (*wanted, *HIDDEN_COLUMNS)))


def find_nulls(frame: DataFrame, columns: Sequence[str], what: str) -> dict[str, bool]:
    """Find out by reading them whether columns have a NULL; one Spark job over these columns.

    Raises:
        SourceError: Spark could not read them.
    """
    with pinned_reads(frame.sparkSession, what):
        found = frame.agg(*(largest(column(name).isNull()) for name in columns)).first()
    # Of no rows there is no largest.
    return {name: bool(found and found[place]) for place, name in enumerate(columns)}
