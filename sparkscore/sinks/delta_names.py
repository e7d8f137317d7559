"""Refuse column names that a Delta table without column mapping cannot store. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pyspark.sql.types import ArrayType, DataType, MapType, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkSchemaError, names
from sparkscore.sinks.origins import Origins

# Source: Delta without column mapping does not allow these in column names.
_FORBIDDEN_IN_NAMES: Final = frozenset(" ,;{}()\n\t=")


def refuse_names(schema: StructType, origins: Origins) -> None:
    """Check the names of all columns, and of the fields of structs inside them.

    Raises:
        SinkSchemaError: Delta cannot store a name. For a column, the message contains the setting that renames it.
    """
    forbidden = [name for name in _all_names(schema) if set(name) & _FORBIDDEN_IN_NAMES]
    if not forbidden:
        return
    columns = [name for name in schema.names if name in forbidden]
    others = ["write Parquet", "leave columns out with 'output.carry'"]
    if columns:
        others.insert(0, f"set '{origins.renaming(columns, schema.names)}'")
    advice = ", or ".join(others)
    raise SinkSchemaError(
        code=ErrorCode.OUTPUT_COLUMN_NAMES,
        what=f"columns {names(forbidden)} of the result",
        got="a space or one of ,;{}()= in the name",
        expected="names that a Delta table can store",
        next_step=f"{advice[0].upper()}{advice[1:]}.",
    )


def _all_names(spark_type: DataType) -> Iterator[str]:
    if isinstance(spark_type, StructType):
        for field in spark_type:
            yield field.name
            yield from _all_names(field.dataType)
    elif isinstance(spark_type, ArrayType):
        yield from _all_names(spark_type.elementType)
    elif isinstance(spark_type, MapType):
        yield from _all_names(spark_type.keyType)
        yield from _all_names(spark_type.valueType)
