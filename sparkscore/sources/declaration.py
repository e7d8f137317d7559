"""Read the columns that 'input.schema' declares (driver)."""

from __future__ import annotations

from pyspark.sql.types import StructField, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, names
from sparkscore.signature.same_name import doubled_names
from sparkscore.spark.errors import SPARK_ERRORS, condition_of


def declared_fields(ddl: str) -> list[StructField]:
    """Give the declared columns, as Spark's own parser reads them; its settings must be pinned.

    Raises:
        ConfigError: code ``INPUT_SCHEMA``: it is no list of columns.
    """
    try:
        declared = StructType.fromDDL(ddl)
    except SPARK_ERRORS as error:
        raise _wrong(condition_of(error)) from error
    if not isinstance(declared, StructType):
        raise _wrong("a type without a column")
    if not declared.fields:
        raise _wrong("no column")
    if doubled := doubled_names(declared.names):
        raise _wrong(f"{names(doubled)}, names that cannot be told from each other")
    return list(declared.fields)


def _wrong(got: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.INPUT_SCHEMA,
        what="'input.schema'",
        got=got,
        expected="names and types in Spark's DDL, for example: id bigint, price decimal(10,2), day date",
        next_step="Correct it; names with other signs than letters, digits and _ stand in backticks.",
    )
