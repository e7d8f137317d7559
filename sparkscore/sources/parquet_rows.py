"""Read Parquet files of several types as rows of one type; a value that it does not hold fails the run (driver)."""

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

#: Reads files with a schema.
Load = Callable[[StructType, tuple[InputFile, ...]], DataFrame]

# In a microsecond, and as a part of a second.
_NANOSECONDS: Final = 1000
_EDGE: Final = 2.0**63
_NANOSECOND: Final = Decimal("0.000000001")


def read_plan(plan: ParquetPlan, schema: StructType, keys: Collection[str], load: Load) -> DataFrame:
    """Give the rows of all files, each with its file.

    Args:
        plan: how the files are read.
        schema: the columns of the rows, also the keys of folders.
        keys: the keys of folders.
        load: reads some of the files.
    """
    return reduce(DataFrame.union, [_read_group(group, schema, keys, load) for group in plan.groups])


def _read_group(group: Group, schema: StructType, keys: Collection[str], load: Load) -> DataFrame:
    stored = [
        StructField(name, in_order_of(kind.read, schema[name].dataType))
        for name, kind in group.columns.items()
        if kind.read is not None and not kind.is_null
    ]
    present = {field.name: field.dataType for field in stored}
    folders = [field for field in schema if field.name in keys]
    frame = with_source_file(load(StructType([*stored, *folders]), group.files))
    values = {name: _value(name, group.columns[name], kind, schema[name].dataType) for name, kind in present.items()}
    values |= {field.name: column(field.name) for field in folders}
    missing = {field.name: lit(None).cast(field.dataType) for field in schema if field.name not in values}
    named = [{**values, **missing}[name].alias(name) for name in schema.names]
    return frame.select(*named, *map(col, HIDDEN_COLUMNS))


def _value(name: str, kind: FileType, read: DataType, target: DataType) -> Column:
    stored = column(name)
    if kind.is_nanos and not isinstance(target, LongType):
        told = f"column '{name}': got a time with parts of a microsecond"
        is_whole = stored.isNull() | (stored % lit(_NANOSECONDS) == lit(0))
        return when(is_whole, _moment(stored, target)).otherwise(refuse_value(told, target))
    if is_same(read, target):
        return stored
    if kind.spark is not None and has_null_inside(kind.spark):
        return stored.cast(target)
    cast = stored.try_cast(target)
    told = f"column '{name}': got a {read.simpleString()} that {target.simpleString()} does not hold exactly"
    is_exact = cast.try_cast(read).eqNullSafe(stored) & _is_below_edge(stored, cast, read, target)
    return when(is_exact, cast).otherwise(refuse_value(told, target))


def _is_below_edge(stored: Column, cast: Column, read: DataType, target: DataType) -> Column:
    """Tell whether a number is below 2^63: casts between bigint and doubles take that for the largest bigint."""
    if isinstance(read, ArrayType) and isinstance(target, ArrayType):
        pairs = arrays_zip(stored.alias("stored"), cast.alias("cast"))
        kinds = read.elementType, target.elementType
        return coalesce(forall(pairs, lambda each: _is_below_edge(each["stored"], each["cast"], *kinds)), lit(True))
    if isinstance(read, IntegralType) and isinstance(target, (FloatType, DoubleType)):
        return coalesce(cast < lit(_EDGE), lit(True))
    if isinstance(read, (FloatType, DoubleType)) and isinstance(target, IntegralType):
        return coalesce(stored < lit(_EDGE), lit(True))
    return lit(True)


def _moment(nanoseconds: Column, target: DataType) -> Column:
    """Give the time of a number of nanoseconds, by decimals: no zone or setting of a session has a part in it."""
    seconds = (nanoseconds.cast(DecimalType(19, 0)) * lit(_NANOSECOND)).cast(DecimalType(18, 6))
    if isinstance(target, TimestampType):
        return timestamp_seconds(seconds)
    return lit("1970-01-01 00:00:00").cast(target) + make_dt_interval(secs=seconds)
