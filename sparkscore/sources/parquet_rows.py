"""Read Parquet files whose column types differ, as rows of one schema. Runs on the driver.

The run fails if a value cannot be converted exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from functools import reduce
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql.functions import arrays_zip, coalesce, col, forall, lit, make_dt_interval, timestamp_seconds, when
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    LongType,
    StructField,
    StructType,
    TimestampType,
)

from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.plan import InputFile
from sparkscore.sources.parquet_plan import Group, ParquetPlan
from sparkscore.sources.parquet_types import FileType, has_null_inside, in_order_of, is_same
from sparkscore.sources.rows import refuse_value, with_source_file
from sparkscore.spark.schema import column

#: A function that reads the given files with a schema.
Load = Callable[[StructType, tuple[InputFile, ...]], DataFrame]

_NANOSECONDS_IN_MICROSECOND: Final = 1000
_SECONDS_IN_NANOSECOND: Final = Decimal("0.000000001")
_BEHIND_LARGEST_BIGINT: Final = 2.0**63


def read_plan(plan: ParquetPlan, schema: StructType, keys: Collection[str], load: Load) -> DataFrame:
    """Return the rows of all files in a plan, with the hidden columns.

    Args:
        plan: the plan for reading the files.
        schema: the columns of the rows, including the partition columns.
        keys: the names of the partition columns.
        load: a function that reads the given files with a schema.
    """
    return reduce(DataFrame.union, [_read_group(group, schema, keys, load) for group in plan.groups])


def _read_group(group: Group, schema: StructType, keys: Collection[str], load: Load) -> DataFrame:
    """Read the rows of a group of files, and convert their values to the types in `schema`.

    Columns missing from the files are filled with NULL.
    """
    stored = [
        StructField(name, in_order_of(file_type.read, schema[name].dataType))
        for name, file_type in group.columns.items()
        if file_type.read is not None and not file_type.is_null
    ]
    present = {field.name: field.dataType for field in stored}
    folders = [field for field in schema if field.name in keys]
    frame = with_source_file(load(StructType([*stored, *folders]), group.files))
    values = {name: _value(name, group.columns[name], read, schema[name].dataType) for name, read in present.items()}
    values |= {field.name: column(field.name) for field in folders}
    missing = {field.name: lit(None).cast(field.dataType) for field in schema if field.name not in values}
    named = [{**values, **missing}[name].alias(name) for name in schema.names]
    return frame.select(*named, *map(col, HIDDEN_COLUMNS))


def _value(name: str, file_type: FileType, read: DataType, target: DataType) -> Column:
    """Return an expression that converts a column from the type `read` to the type `target`.

    NULL stays NULL. The run fails if `target` cannot hold a value exactly.

    Args:
        name: the name of the column.
        file_type: the type of the column in the files.
        read: the type with which Spark reads the column.
        target: the type of the column in the input.
    """
    stored = column(name)
    if file_type.is_nanos and not isinstance(target, LongType):
        problem = f"column '{name}': got a time with parts of a microsecond"
        is_whole = stored.isNull() | (stored % lit(_NANOSECONDS_IN_MICROSECOND) == lit(0))
        return when(is_whole, _time_of(stored, target)).otherwise(refuse_value(problem, target))
    if is_same(read, target):
        return stored
    if file_type.spark is not None and has_null_inside(file_type.spark):
        return stored.cast(target)
    cast = stored.try_cast(target)
    problem = f"column '{name}': got a {read.simpleString()} that {target.simpleString()} does not hold exactly"
    is_exact = cast.try_cast(read).eqNullSafe(stored) & _is_in_range(stored, cast, read, target)
    return when(is_exact, cast).otherwise(refuse_value(problem, target))


def _is_in_range(stored: Column, cast: Column, read: DataType, target: DataType) -> Column:
    """Return an expression that is false if a cast between integer and float types involves a float of 2**63 or more.

    Such a cast may change the value, but casting the result back does not show this: Spark casts the double 2**63 to
    the bigint 2**63 - 1, and that bigint back to the double 2**63. Arrays are checked element by element. The
    expression is true for NULL and for casts between other types.
    """
    if isinstance(read, ArrayType) and isinstance(target, ArrayType):
        pairs = arrays_zip(stored.alias("stored"), cast.alias("cast"))
        types = read.elementType, target.elementType
        return coalesce(forall(pairs, lambda each: _is_in_range(each["stored"], each["cast"], *types)), lit(True))
    if isinstance(read, IntegralType) and isinstance(target, (FloatType, DoubleType)):
        return coalesce(cast < lit(_BEHIND_LARGEST_BIGINT), lit(True))
    if isinstance(read, (FloatType, DoubleType)) and isinstance(target, IntegralType):
        return coalesce(stored < lit(_BEHIND_LARGEST_BIGINT), lit(True))
    return lit(True)


def _time_of(nanoseconds: Column, target: DataType) -> Column:
    """Return an expression that converts nanoseconds since 1970 to a timestamp of the type `target`.

    The expression uses decimals, so that the result does not depend on the session's time zone or other settings.
    """
    seconds = (nanoseconds.cast(DecimalType(19, 0)) * lit(_SECONDS_IN_NANOSECOND)).cast(DecimalType(18, 6))
    if isinstance(target, TimestampType):
        return timestamp_seconds(seconds)
    return lit("1970-01-01 00:00:00").cast(target) + make_dt_interval(secs=seconds)
