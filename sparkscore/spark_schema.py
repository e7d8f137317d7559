"""Write a Spark schema as records and manifests keep it, and read it back (driver)."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql.types import StructType


def columns_of(schema: StructType) -> dict[str, str]:
    """Name the columns, each with Spark's name of its type."""
    return {field.name: field.dataType.simpleString() for field in schema}


def schema_of(columns: Mapping[str, str]) -> StructType:
    """Give the schema that `columns_of` wrote; needs a Spark session."""
    ddl = ", ".join(f"`{name.replace('`', '``')}` {kind}" for name, kind in columns.items())
    return StructType(StructType.fromDDL(ddl).fields)  # type: ignore[attr-defined]  # declared as any DataType
