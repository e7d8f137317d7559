"""Write a Spark schema as records, manifests and Arrow have it, and read it back (driver).

PySpark's own conversions to and from Arrow are private and differ between its versions: 4.0 and 4.1 take Arrow's
timestamps without a zone for instants, and only 4.2 asks for the zone of the others. Here an instant is always in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql.functions import col
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    NullType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    UserDefinedType,
)

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SinkSchemaError, SourceSchemaError
from sparkscore.signature import parse_ddl

_INSTANT: Final = pa.timestamp("us", "UTC")
_SIMPLE: Final[tuple[tuple[type[DataType], pa.DataType], ...]] = (
    (NullType, pa.null()),
    (BooleanType, pa.bool_()),
    (ByteType, pa.int8()),
    (ShortType, pa.int16()),
    (IntegerType, pa.int32()),
    (LongType, pa.int64()),
    (FloatType, pa.float32()),
    (DoubleType, pa.float64()),
    (StringType, pa.string()),
    (BinaryType, pa.binary()),
    (DateType, pa.date32()),
    (TimestampType, _INSTANT),
    (TimestampNTZType, pa.timestamp("us")),
)
_BY_ARROW: Final = {arrow: kind for kind, arrow in _SIMPLE}
# Other widths of the same values.
_NARROWED: Final = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}


def column(name: str) -> Column:
    """Give the column with exactly this name; Spark takes ``a.b`` for the field of a struct."""
    return col(quoted(name))


def quoted(name: str) -> str:
    """Quote a name for Spark SQL, whatever characters it has."""
    return "`" + name.replace("`", "``") + "`"


def columns_of(schema: StructType) -> dict[str, str]:
    """Name the columns, each with Spark's name of its type."""
    return {field.name: field.dataType.simpleString() for field in schema}


def schema_of(columns: Mapping[str, str]) -> StructType:
    """Give the schema that `columns_of` wrote.

    Spark's own parser takes ``timestamp`` for what the session's ``spark.sql.timestampType`` says, so it is asked only
    for types that Arrow does not know.
    """
    ddl = ", ".join(f"`{name.replace('`', '``')}` {kind}" for name, kind in columns.items())
    try:
        return from_arrow(parse_ddl(ddl))
    except ConfigError:
        return StructType(StructType.fromDDL(ddl).fields)  # type: ignore[attr-defined]  # declared as any DataType


def to_arrow(schema: StructType) -> pa.Schema:
    """Give the columns in Arrow's types, as workers get and stage them.

    Raises:
        SourceSchemaError: a type has no counterpart in Arrow.
    """
    return pa.schema([_arrow_field(field.name, field.dataType, nullable=field.nullable) for field in schema])


def arrow_type_or_none(kind: DataType) -> pa.DataType | None:
    """Give a type's counterpart in Arrow; None where there is none."""
    try:
        return _arrow_type(kind)
    except SourceSchemaError:
        return None


def from_arrow(schema: pa.Schema) -> StructType:
    """Give the columns in Spark's types.

    Raises:
        SinkSchemaError: a type has no counterpart in Spark.
    """
    return StructType([StructField(field.name, _spark_type(field.type), field.nullable) for field in schema])


def _arrow_field(name: str, kind: DataType, *, nullable: bool) -> pa.Field:
    return pa.field(name, _arrow_type(kind), nullable=nullable)


def _arrow_type(kind: DataType) -> pa.DataType:
    if isinstance(kind, DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    if isinstance(kind, ArrayType):
        return pa.list_(_arrow_field("element", kind.elementType, nullable=kind.containsNull))
    if isinstance(kind, MapType):
        key = _arrow_field("key", kind.keyType, nullable=False)
        return pa.map_(key, _arrow_field("value", kind.valueType, nullable=kind.valueContainsNull))
    if isinstance(kind, StructType):
        return pa.struct([_arrow_field(field.name, field.dataType, nullable=field.nullable) for field in kind])
    if isinstance(kind, UserDefinedType):
        return _arrow_type(kind.sqlType())
    for spark, arrow in _SIMPLE:
        if isinstance(kind, spark):
            return arrow
    raise SourceSchemaError(
        code=ErrorCode.INPUT_TYPES,
        what="a column of the rows",
        got=f"type {kind.simpleString()}",
        expected="a type that Arrow and Parquet hold exactly",
        next_step="Leave the column out with 'input.columns', or cast it first.",
    )


def _spark_type(kind: pa.DataType) -> DataType:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return ArrayType(_spark_type(kind.value_type), kind.value_field.nullable)
    if pa.types.is_map(kind):
        return MapType(_spark_type(kind.key_type), _spark_type(kind.item_type), kind.item_field.nullable)
    if pa.types.is_struct(kind):
        return from_arrow(pa.schema(list(kind)))
    if pa.types.is_dictionary(kind):
        return _spark_type(kind.value_type)
    return _plain_spark_type(kind)


def _plain_spark_type(kind: pa.DataType) -> DataType:
    if pa.types.is_decimal(kind):
        return DecimalType(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return TimestampNTZType() if kind.tz is None else TimestampType()
    if pa.types.is_fixed_size_binary(kind):
        return BinaryType()
    found = _BY_ARROW.get(_NARROWED.get(kind, kind))
    if found is None:
        raise SinkSchemaError(
            code=ErrorCode.OUTPUT_TYPES,
            what="a column of the Parquet files at the output",
            got=f"type {kind}",
            expected="a type that Spark has",
            next_step="Name another --output.",
        )
    return found()
