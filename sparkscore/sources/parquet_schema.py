"""Find the columns of Parquet files from their footers, as Spark would find them. Runs on the driver."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Final

from pyspark.sql.types import DataType, NullType, StructField, StructType

from sparkscore.parquet.stored import UnreadableError
from sparkscore.sources.footers import Footer
from sparkscore.sources.parquet_types import filled

_INNER: Final = ("elementType", "keyType", "valueType")


def schema_of_footers(footers: Sequence[Footer | None]) -> StructType | None:
    """Return the schema that Spark would infer from Parquet files, or None if the footers alone do not show it.

    The footers show it if all of them can be read, they have the same columns in the same order, and Spark has a type
    for each column. If Spark wrote a file, the schema that Spark stored in it must have the same types. Types that only
    Spark knows, such as vectors, are never the same.
    """
    distinct = list({id(footer): footer for footer in footers}.values())
    schemas = [_schema_of(footer) for footer in distinct]
    first = schemas[0] if schemas else None
    return first if all(schema is not None and schema == first for schema in schemas) else None


def all_nullable(schema: StructType) -> StructType:
    """Return a copy of a schema in which all columns and nested values may be NULL, as in rows that Spark reads."""
    return StructType([StructField(field.name, _nullable(field.dataType)) for field in schema])


def check_types_of_spark(footer: Footer, names: Collection[str]) -> None:
    """Check that columns have the same types in the schema that Spark stored in the file as in their stored values.

    The types differ for intervals, for example, because intervals are stored as numbers.

    Args:
        footer: the footer of a file.
        names: the columns to check.

    Raises:
        UnreadableError: a column has another type in Spark's schema, or Spark's schema cannot be read.
    """
    if not footer.stored.spark_schema:
        return
    try:
        fields = json.loads(footer.stored.spark_schema)["fields"]
        stored = {str(field["name"]): field for field in fields}
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError("Spark's schema cannot be read") from error
    for name, file_type in footer.columns.items():
        if name in names:
            spark = file_type.spark
            ours = None if spark is None else StructField(name, _nullable(spark)).jsonValue()
            if ours is None or not _is_same_field(ours, stored.get(name)):
                raise UnreadableError(f"column '{name}' has another type in Spark's schema")


def _nullable(data_type: DataType) -> DataType:
    return filled(data_type, NullType())


def _schema_of(footer: Footer | None) -> StructType | None:
    if footer is None:
        return None
    types = {name: file_type.spark for name, file_type in footer.columns.items()}
    fields = [StructField(name, _nullable(found)) for name, found in types.items() if found is not None]
    schema = StructType(fields)
    is_known = len(fields) == len(types) and _agrees(schema, footer.stored.spark_schema)
    return schema if is_known and not any(file_type.is_null for file_type in footer.columns.values()) else None


def _agrees(schema: StructType, of_spark: str) -> bool:
    """Return whether the schema that Spark stored in a file, if any, has the same columns and types."""
    if not of_spark:
        return True
    try:
        stored = json.loads(of_spark)
    except ValueError:
        return False
    # NOTE: PySpark's own parser is not used, because it unpickles code that a user-defined type in the file contains.
    return _is_same(schema.jsonValue(), stored)


def _is_same(ours: object, stored: object) -> bool:
    """Return whether two types in Spark's JSON form are the same, apart from which values may be NULL."""
    if not (isinstance(ours, dict) and isinstance(stored, dict)):
        return ours == stored
    if ours.get("type") != stored.get("type"):
        return False
    if ours.get("type") != "struct":
        return all(_is_same(ours[part], stored.get(part)) for part in _INNER if part in ours)
    fields, others = ours["fields"], stored.get("fields")
    if not isinstance(others, list) or len(fields) != len(others):
        return False
    return all(_is_same_field(one, other) for one, other in zip(fields, others, strict=True))


def _is_same_field(ours: dict[str, object], stored: object) -> bool:
    if not isinstance(stored, dict) or ours["name"] != stored.get("name"):
        return False
    # In such entries, Spark stores what the type itself does not say, for example a collation.
    has_note = any(str(key).startswith("__") for key in stored.get("metadata") or ())
    return not has_note and _is_same(ours["type"], stored.get("type"))
