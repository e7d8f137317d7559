"""Parse ``input.schema``, which declares the columns of an input. Runs on the driver."""

from __future__ import annotations

from pyspark.sql.types import StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, names
from sparkscore.signature.same_name import doubled_names
from sparkscore.spark.errors import SPARK_ERRORS, condition_of


def declared_schema(ddl: str | None) -> StructType | None:
    """Return the columns that ``input.schema`` declares, or None if it is empty or not set.

    Spark's DDL parser reads the string, so the caller must pin Spark's settings, for example with `pinned_reads`.

    Raises:
        ConfigError: ``input.schema`` is not a list of columns with types, or two of the names are equal or differ only
            in case (code ``INPUT_SCHEMA``).
    """
    if not ddl:
        return None
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
    return declared


def not_null_columns(declared: StructType | None) -> frozenset[str]:
    """Return the names of the columns that are declared NOT NULL, or an empty set if no columns are declared."""
    return frozenset(field.name for field in declared or () if not field.nullable)


def _wrong(got: str) -> ConfigError:
    """Return the error for an invalid ``input.schema``."""
    return ConfigError(
        code=ErrorCode.INPUT_SCHEMA,
        what="'input.schema'",
        got=got,
        expected="names and types in Spark's DDL, for example: id bigint, price decimal(10,2), day date",
        next_step="Correct it. Put names with characters other than letters, digits and _ in backticks.",
    )
