"""What all sources of rows share: the file of each row, the chosen columns (driver)."""

from __future__ import annotations

from pyspark.sql import DataFrame

from sparkscore.errors import SourceSchemaError, names
from sparkscore.minibatch import BLOCK_COLUMNS, HIDDEN_COLUMNS, SOURCE_FILE_COLUMN
from sparkscore.spark_schema import column


def with_source_file(frame: DataFrame) -> DataFrame:
    """Add each row's file and the block of it, as Spark's hidden ``_metadata`` column tells them."""
    metadata = frame.metadataColumn("_metadata")
    start, length = (metadata.getField(name) for name in ("file_block_start", "file_block_length"))
    file = metadata.getField("file_path").alias(SOURCE_FILE_COLUMN)
    return frame.select("*", file, start.alias(BLOCK_COLUMNS[0]), length.alias(BLOCK_COLUMNS[1]))


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
            code="INPUT_COLUMNS",
            what=f"the {what} input has no column {names(missing)}",
            got=names(present),
            next_step="Correct 'input.columns'.",
        )
    return frame.select(*map(column, (*wanted, *HIDDEN_COLUMNS)))
