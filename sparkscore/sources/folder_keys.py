"""Convert the keys of partition folders ``key=value`` to their declared types, or refuse them (driver).

Spark's own conversion reads ``300`` as the tinyint 44, rounds decimals, and reads times in the session's time zone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StringType, StructField, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.plan import InputFile
from sparkscore.sources.csv_values import value_of
from sparkscore.spark.schema import column
from sparkscore.survey.declared_texts import find_misfits, is_of_texts

# The value that Hive and Spark write for NULL.
_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


def check_key_values(
    files: Sequence[InputFile], folder: Path, declared: StructType, keys: Collection[str], zone: str
) -> None:
    """Refuse keys whose declared type does not hold the values in the folder names.

    Args:
        files: the files.
        folder: the folder that contains the partition folders.
        declared: the columns of the input.
        keys: the keys of the partition folders.
        zone: the time zone of times that are written without one.

    Raises:
        SourceSchemaError: with the folder whose value does not fit.
    """
    for field in declared:
        if field.name not in keys:
            continue
        declared_type = field.dataType.simpleString()
        folders = _folders_of(files, folder, field.name)
        values = [None if value == _NULL else value for value in folders]
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
                got=f"folder '{folders[_NULL]}'",
                next_step="Declare it without NOT NULL.",
            )


def _folders_of(files: Sequence[InputFile], folder: Path, key: str) -> dict[str, str]:
    """Return the values of a key, each with the name of the first folder that has it."""
    found: dict[str, str] = {}
    for path in dict.fromkeys(Path(file.path).parent for file in files):
        for part in path.relative_to(folder).parts:
            name, equals, value = part.partition("=")
            if equals and unquote(name) == key:
                found.setdefault(unquote(value), part)
    return found


def as_texts(schema: StructType, keys: Collection[str]) -> StructType:
    """Return a schema in which the keys of partition folders are strings."""
    return StructType([StructField(field.name, StringType()) if field.name in keys else field for field in schema])


def with_key_values(frame: DataFrame, schema: StructType, keys: Collection[str], zone: str) -> DataFrame:
    """Return rows whose keys have the types of a schema, for rows whose keys are strings.

    Args:
        frame: the rows.
        schema: the columns of the input, in which the keys have their declared types.
        keys: the keys of the partition folders.
        zone: the time zone of times that are written without one.
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
