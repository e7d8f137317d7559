"""Convert the values of partition columns to their declared types, or raise an error if a value does not fit.

Runs on the driver.

The values come from the names of ``key=value`` folders. Spark's own conversion reads ``300`` as the tinyint 44, rounds
decimals, and reads timestamps in the session's time zone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError
from sparkscore.location import folder_text
from sparkscore.minibatch import HIDDEN_COLUMNS, SOURCE_FILE_COLUMN
from sparkscore.parquet import FolderKeys, KeyValues
from sparkscore.parquet.keys import NULL_KEY, keys_in
from sparkscore.parquet.stored import UnreadableError
from sparkscore.plan import InputFile
from sparkscore.sources.csv_values import value_of
from sparkscore.spark.schema import column
from sparkscore.survey.declared_texts import find_misfits, is_of_texts
from sparkscore.worker.intake import settle_types


def check_key_values(
    files: Sequence[InputFile], folder: Path, declared: StructType, keys: Collection[str], zone: str
) -> None:
    """Check that the values in folder names fit the declared types of the partition columns.

    Args:
        files: the files of the input.
        folder: the folder that contains the partition folders.
        declared: the schema of the input.
        keys: the names of the partition columns.
        zone: the time zone for timestamps without a time zone.

    Raises:
        SourceSchemaError: a value does not fit the declared type, or is NULL in a column that is declared NOT NULL. The
            message contains the name of the folder.
    """
    for field in declared:
        if field.name not in keys:
            continue
        declared_type = field.dataType.simpleString()
        folders = _folders_of(files, folder, field.name)
        values = [None if value == NULL_KEY else value for value in folders]
        if is_of_texts(declared_type):
            wrong = [int(index) for index in find_misfits(pa.array(values, pa.string()), declared_type, (), zone)]
        else:
            wrong = list(range(len(values)))
        if wrong:
            raise SourceSchemaError(
                code=ErrorCode.INPUT_VALUE,
                what=f"folder '{list(folders.values())[wrong[0]]}', whose key 'input.schema' declares as "
                f"{declared_type}",
                got="a text that this type does not hold exactly",
                next_step=f"Declare '{field.name} string', or do not declare it, which has the same effect. Or rename "
                "the folder.",
            )
        if None in values and not field.nullable:
            raise SourceSchemaError(
                code=ErrorCode.INPUT_NULL,
                what=f"column '{field.name}', the key of folders, which 'input.schema' declares NOT NULL",
                got=f"folder '{folders[NULL_KEY]}'",
                next_step="Declare it without NOT NULL.",
            )


def key_values(path: str, folder: Path, keys: Sequence[str]) -> tuple[str | None, ...]:
    """Return the values of the partition columns for a file path, in the order of ``keys``. None stands for NULL."""
    parts = keys_in(Path(path).parent, folder)
    return tuple(None if (value := parts[key][0]) == NULL_KEY else value for key in keys)


def read_keys(
    spark: SparkSession, files: Sequence[InputFile], folder: Path, schema: StructType, keys: Sequence[str], zone: str
) -> FolderKeys:
    """Return the values of the partition columns, for workers that read the files themselves.

    For partition columns that are not strings, a Spark job converts the distinct texts in the folder names.

    Args:
        spark: the session.
        files: the files of the input.
        folder: the folder that contains the partition folders.
        schema: the schema of the input, including the types of the partition columns.
        keys: the names of the partition columns.
        zone: the time zone for timestamps without a time zone.

    Raises:
        UnreadableError: Spark would decode the name of a folder differently.
    """
    for parent in dict.fromkeys(Path(file.path).parent for file in files):
        part = str(parent.relative_to(folder))
        # Spark decodes each escaped byte as a separate character.
        if unquote(part) != unquote(part, "latin-1"):
            raise UnreadableError(
                f"the name of the folder '{folder_text(parent)}' has escaped bytes of a character beyond ASCII"
            )
    typed = [
        _typed_values(spark, tuple(_folders_of(files, folder, name)), schema[name], zone)
        for name in keys
        if name in schema.names and not isinstance(schema[name].dataType, StringType)
    ]
    return FolderKeys(str(folder), tuple(keys), tuple(typed))


def _typed_values(spark: SparkSession, texts: Sequence[str], field: StructField, zone: str) -> KeyValues:
    """Return the values of a partition column for the texts in the folder names."""
    found = tuple(None if text == NULL_KEY else text for text in texts)
    rows = [(number, text, None) for number, text in enumerate(found)]
    frame = spark.createDataFrame(rows, f"number bigint, text string, {SOURCE_FILE_COLUMN} string")
    value = value_of(column("text"), field.name, field.dataType, zone).alias("value")
    batches = frame.select("number", value).toArrow().sort_by("number").combine_chunks().to_batches()
    return KeyValues(field.name, found, settle_types(batches[0]).column("value"))


def _folders_of(files: Sequence[InputFile], folder: Path, key: str) -> dict[str, str]:
    """Return the distinct values of a partition column, each with the name of the first folder that sets it.

    Args:
        files: the files of the input.
        folder: the folder that contains the partition folders.
        key: the name of the partition column.
    """
    found: dict[str, str] = {}
    for path in dict.fromkeys(Path(file.path).parent for file in files):
        if key in (parts := keys_in(path, folder)):
            found.setdefault(*parts[key])
    return found


def as_texts(schema: StructType, keys: Collection[str]) -> StructType:
    """Return a copy of a schema in which the partition columns are strings."""
    return StructType([StructField(field.name, StringType()) if field.name in keys else field for field in schema])


def with_key_values(frame: DataFrame, schema: StructType, keys: Collection[str], zone: str) -> DataFrame:
    """Return the rows with their partition columns converted from strings to the types in a schema.

    Args:
        frame: the rows, with the hidden columns. The partition columns are strings.
        schema: the schema of the input, including the types of the partition columns.
        keys: the names of the partition columns.
        zone: the time zone for timestamps without a time zone.
    """
    types = {field.name: field.dataType for field in schema if field.name in keys}
    if all(isinstance(key_type, StringType) for key_type in types.values()):
        return frame
    values = [
        value_of(column(name), name, types[name], zone).alias(name) if name in types else column(name)
        for name in frame.columns
        if name not in HIDDEN_COLUMNS
    ]
    return frame.select(*values, *map(column, HIDDEN_COLUMNS))
