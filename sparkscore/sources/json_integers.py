"""Read JSON integers that are written as ``5.0`` or ``5e0``. Runs on the driver.

Spark's reader does not accept such numbers for integer columns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, DataType, DecimalType, IntegralType, MapType, StructField, StructType

from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.spark.schema import column

# This type holds all 64-bit integers. Spark's reader accepts '5.0' for it, but would round '5.5'. Such values do not
# get here: the survey of the files raises an error for them.
_EXACT: Final = DecimalType(20, 0)


def read_integers(load: Callable[[StructType], DataFrame], schema: StructType, respelled: Collection[str]) -> DataFrame:
    """Return the rows of JSON files in which some columns contain integers that are written as ``5.0``.

    These columns are read as decimals, which are then cast to the declared integer types.

    Args:
        load: a function that reads the files with a schema and adds the hidden columns.
        schema: the declared columns.
        respelled: the names of the columns with such integers. All of their numbers must fit the declared types.
    """
    if not respelled:
        return load(schema)
    fields = [StructField(field.name, _exact(field.dataType)) if field.name in respelled else field for field in schema]
    frame = load(StructType(fields))
    # Spark puts partition columns after all other columns.
    present = [name for name in frame.columns if name not in HIDDEN_COLUMNS]
    values = [
        column(name).cast(schema[name].dataType).alias(name) if name in respelled else column(name) for name in present
    ]
    return frame.select(*values, *map(column, HIDDEN_COLUMNS))


def _exact(data_type: DataType) -> DataType:
    """Return a copy of a type in which decimals replace the integer types.

    Integer types inside arrays, structs and map values are replaced as well. Map keys are left unchanged.
    """
    if isinstance(data_type, IntegralType):
        return _EXACT
    if isinstance(data_type, StructType):
        return StructType([StructField(field.name, _exact(field.dataType)) for field in data_type])
    if isinstance(data_type, ArrayType):
        return ArrayType(_exact(data_type.elementType))
    return MapType(data_type.keyType, _exact(data_type.valueType)) if isinstance(data_type, MapType) else data_type
