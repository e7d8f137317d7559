"""Read JSON integers written as ``5.0`` or ``5e0``, which Spark's reader does not take for integers (driver)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, DataType, DecimalType, IntegralType, MapType, StructField, StructType

from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.spark.schema import column

# Holds each integer of 64 bits; Spark's reader takes numbers with a point for it, and rounds what has a fraction.
_EXACT: Final = DecimalType(20, 0)


def read_integers(load: Callable[[StructType], DataFrame], schema: StructType, respelled: Collection[str]) -> DataFrame:
    """Give the rows with the declared types.

    Args:
        load: reads the files with a schema, and adds the hidden columns.
        schema: the declared types.
        respelled: the columns with integers that are written so; none of their values has a fraction or is beyond its
            type.
    """
    if not respelled:
        return load(schema)
    fields = [StructField(field.name, _exact(field.dataType)) if field.name in respelled else field for field in schema]
    frame = load(StructType(fields))
    # Spark moves the keys of folders behind all others.
    present = [name for name in frame.columns if name not in HIDDEN_COLUMNS]
    values = [
        column(name).cast(schema[name].dataType).alias(name) if name in respelled else column(name) for name in present
    ]
    return frame.select(*values, *map(column, HIDDEN_COLUMNS))


def _exact(kind: DataType) -> DataType:
    if isinstance(kind, IntegralType):
        return _EXACT
    if isinstance(kind, StructType):
        return StructType([StructField(field.name, _exact(field.dataType)) for field in kind])
    if isinstance(kind, ArrayType):
        return ArrayType(_exact(kind.elementType))
    return MapType(kind.keyType, _exact(kind.valueType)) if isinstance(kind, MapType) else kind
