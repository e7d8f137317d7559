"""Give the keys of folders ``key=value`` the values of their declared types, exactly or not at all (driver).

Spark's own conversion makes 44 of ``300`` for a tinyint, rounds decimals, and reads times in the session's zone.
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

#: What Hive and Spark write for NULL.
_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


def check_key_values(
    files: Sequence[InputFile], folder: Path, declared: StructType, keys: Collection[str], zone: str
) -> None:
    """Refuse keys whose declared type does not hold what the folders say.

    Raises:
        SourceSchemaError: with the folder.
    """
    for field in declared:
        if field.name not in keys:
            continue
        kind = field.dataType.simpleString()
        folders = _folders_of(files, folder, field.name)
        values = [None if value == _NULL else value for value in folders]
        if is_of_texts(kind):
            wrong = [int(place) for place in find_misfits(pa.array(values, pa.string()), kind, (), zone)]
        else:
            wrong = list(range(len(values)))
        if wrong:
            raise SourceSchemaError(
                code=ErrorCode.INPUT_VALUE,
                what=f"folder '{list(folders.values())[wrong[0]]}', the key of which 'input.schema' declares as {kind}",
                got="a text that this type does not hold exactly",
                next_step=f"Declare '{field.name} string', or leave it out, which is the same; or rename the folder.",
            )
        if None in values and not field.nullable:
            raise SourceSchemaError(
                code=ErrorCode.INPUT_NULL,
                what=f"column '{field.name}', the key of folders, which 'input.schema' declares NOT NULL",
                got=f"folder '{folders[_NULL]}'",
                next_step="Declare it without NOT NULL.",
            )


def _folders_of(files: Sequence[InputFile], folder: Path, key: str) -> dict[str, str]:
    """Give each value of a key, with the first folder that has it."""
    found: dict[str, str] = {}
    for path in dict.fromkeys(Path(file.path).parent for file in files):
        for part in path.relative_to(folder).parts:
            name, equals, value = part.partition("=")
            if equals and unquote(name) == key:
                found.setdefault(unquote(value), part)
    return found


def as_texts(schema: StructType, keys: Collection[str]) -> StructType:
    """Give a schema in which the keys are texts."""
    return StructType([StructField(field.name, StringType()) if field.name in keys else field for field in schema])


def with_key_values(frame: DataFrame, schema: StructType, keys: Collection[str], zone: str) -> DataFrame:
    """Give rows whose keys are texts the keys of the schema; the order of the columns stays."""
    kinds = {field.name: field.dataType for field in schema if field.name in keys}
    if all(isinstance(kind, StringType) for kind in kinds.values()):
        return frame
    values = [
        value_of(column(name), name, kinds[name], zone).alias(name) if name in kinds else column(name)
        for name in frame.columns
        if name not in HIDDEN_COLUMNS
    ]
    return frame.select(*values, *map(column, HIDDEN_COLUMNS))
