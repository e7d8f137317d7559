"""Read JSON integers that are written as ``5.0`` or ``5e0``, which Spark's reader does not accept (driver)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, DataType, DecimalType, IntegralType, MapType, StructField, StructType

from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.spark.schema import column

# This type holds each 64-bit integer. For it, Spark's reader accepts numbers with a point, and rounds fractions. The
# survey has refused values with a fraction before.
_EXACT: Final = DecimalType(20, 0)


def read_integers(load: Callable[[StructType], DataFrame], schema: StructType, respelled: Collection[str]) -> DataFrame:
    """Read JSON files in which some columns have integers written as ``5.0``, as decimals that are cast to integers.

    Args:
        load: reads the files with a schema, and adds the hidden columns.
        schema: the declared types.
        respelled: the columns with such integers. All their values are integers within the declared type.
    """
    if not respelled:
        return load(schema)
    fields = [StructField(field.name, _exact(field.dataType)) if field.name in respelled else field for field in schema]
    frame = load(StructType(fields))
    # Spark moves the keys of folders behind all other columns.
    present = [name for name in frame.columns if name not in HIDDEN_COLUMNS]
    values = [
        column(name).cast(schema[name].dataType).alias(name) if name in respelled else column(name) for name in present
    ]
    return frame.select(*values, *map(column, HIDDEN_COLUMNS))


def _exact(data_type: DataType) -> DataType:
    """Return a type with decimals in place of its integers, also inside arrays, maps and structs."""
    if isinstance(data_type, IntegralType):
        return _EXACT
    if isinstance(data_type, StructType):
        return StructType([StructField(field.name, _exact(field.dataType)) for field in data_type])
    if isinstance(data_type, ArrayType):
        return ArrayType(_exact(data_type.elementType))
    return MapType(data_type.keyType, _exact(data_type.valueType)) if isinstance(data_type, MapType) else data_type
