"""Convert Spark schemas to and from Arrow schemas and dictionaries. Runs on the driver.

PySpark's own Arrow conversions are private and differ between versions. The Arrow types that this module returns have
the time zone UTC for Spark's ``timestamp``, and no time zone for ``timestamp_ntz``.
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
_BY_ARROW: Final = {arrow: spark for spark, arrow in _SIMPLE}
# Arrow types that differ only in the size of their offsets.
_NARROWED: Final = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}


def column(name: str) -> Column:
    """Return the Spark column with exactly this name, even if the name contains dots."""
    return col(quoted(name))


def quoted(name: str) -> str:
    """Return a name in backquotes for use in Spark SQL. The name may contain any characters."""
    return "`" + name.replace("`", "``") + "`"


def columns_of(schema: StructType) -> dict[str, str]:
    """Return a Spark schema as a dictionary of column names and type names."""
    return {field.name: field.dataType.simpleString() for field in schema}


def schema_of(columns: Mapping[str, str]) -> StructType:
    """Convert a dictionary of column names and type names, as returned by `columns_of`, to a Spark schema."""
    # Spark's own parser is used only if `parse_ddl` does not know one of the types, because Spark's result for
    # ``timestamp`` depends on the session's setting ``spark.sql.timestampType``.
    ddl = ", ".join(f"{quoted(name)} {type_name}" for name, type_name in columns.items())
    try:
        return from_arrow(parse_ddl(ddl))
    except ConfigError:
        return StructType(StructType.fromDDL(ddl).fields)  # type: ignore[attr-defined]  # declared as any DataType


def to_arrow(schema: StructType) -> pa.Schema:
    """Convert a Spark schema to an Arrow schema.

    Raises:
        SourceSchemaError: a Spark type has no supported counterpart in Arrow.
    """
    return pa.schema([_arrow_field(field.name, field.dataType, nullable=field.nullable) for field in schema])


def arrow_type_or_none(spark_type: DataType) -> pa.DataType | None:
    """Return the Arrow type for a Spark type, or None if the Spark type is not supported."""
    try:
        return _arrow_type(spark_type)
    except SourceSchemaError:
        return None


def from_arrow(schema: pa.Schema) -> StructType:
    """Convert an Arrow schema to a Spark schema.

    Raises:
        SinkSchemaError: an Arrow type has no supported counterpart in Spark.
    """
    return StructType([StructField(field.name, _spark_type(field.type), field.nullable) for field in schema])


def _arrow_field(name: str, spark_type: DataType, *, nullable: bool) -> pa.Field:
    return pa.field(name, _arrow_type(spark_type), nullable=nullable)


def _arrow_type(spark_type: DataType) -> pa.DataType:
    if isinstance(spark_type, DecimalType):
        return pa.decimal128(spark_type.precision, spark_type.scale)
    if isinstance(spark_type, ArrayType):
        return pa.list_(_arrow_field("element", spark_type.elementType, nullable=spark_type.containsNull))
    if isinstance(spark_type, MapType):
        key = _arrow_field("key", spark_type.keyType, nullable=False)
        return pa.map_(key, _arrow_field("value", spark_type.valueType, nullable=spark_type.valueContainsNull))
    if isinstance(spark_type, StructType):
        return pa.struct([_arrow_field(field.name, field.dataType, nullable=field.nullable) for field in spark_type])
    if isinstance(spark_type, UserDefinedType):
        return _arrow_type(spark_type.sqlType())
    for spark, arrow in _SIMPLE:
        if isinstance(spark_type, spark):
            return arrow
    raise SourceSchemaError(
        code=ErrorCode.INPUT_TYPES,
        what="a column of the rows",
        got=f"type {spark_type.simpleString()}",
        expected="a type that Arrow and Parquet hold exactly",
        next_step="Leave the column out with 'input.columns', or cast it first.",
    )


def _spark_type(arrow_type: pa.DataType) -> DataType:
    types = pa.types
    if types.is_list(arrow_type) or types.is_large_list(arrow_type) or types.is_fixed_size_list(arrow_type):
        return ArrayType(_spark_type(arrow_type.value_type), arrow_type.value_field.nullable)
    if types.is_map(arrow_type):
        key_type, value_type = _spark_type(arrow_type.key_type), _spark_type(arrow_type.item_type)
        return MapType(key_type, value_type, arrow_type.item_field.nullable)
    if types.is_struct(arrow_type):
        return from_arrow(pa.schema(list(arrow_type)))
    if types.is_dictionary(arrow_type):
        return _spark_type(arrow_type.value_type)
    return _plain_spark_type(arrow_type)


def _plain_spark_type(arrow_type: pa.DataType) -> DataType:
    if pa.types.is_decimal(arrow_type):
        return DecimalType(arrow_type.precision, arrow_type.scale)
    if pa.types.is_timestamp(arrow_type):
        return TimestampNTZType() if arrow_type.tz is None else TimestampType()
    if pa.types.is_fixed_size_binary(arrow_type):
        return BinaryType()
    found = _BY_ARROW.get(_NARROWED.get(arrow_type, arrow_type))
    if found is None:
        raise SinkSchemaError(
            code=ErrorCode.OUTPUT_TYPES,
            what="a column of the Parquet files at the output",
            got=f"type {arrow_type}",
            expected="a type that Spark has",
            next_step="Name another --output.",
        )
    return found()
