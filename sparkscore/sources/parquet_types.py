"""Map the types in Parquet files to Spark's types, and recognize types that Spark would misread. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
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
    IntegralType,
    LongType,
    MapType,
    NullType,
    NumericType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

_MOST_DIGITS: Final = 38
_BIGINT_DIGITS: Final = 19
_INTEGERS: Final = ("tinyint", "smallint", "int", "bigint")
_AS_FLOAT: Final = "write it as float, in pandas with .astype('float32')"
_RAW: Final = "write it as a type with its meaning, or declare it {declared} to get the stored numbers"


@dataclass(frozen=True)
class FileType:
    """The type of a column in a Parquet file.

    Attributes:
        arrow_type: Arrow's name of the type.
        spark: Spark's type for the same values, or None if Spark has no such type.
        stored: the type with which Spark reads the values from the file, or None if it is the same as `spark`.
        fix: if Spark has no type for the values, advice on how to write them with a different type.
        is_nanos: whether the values are nanosecond timestamps, which Spark can read only as integers.
        needs_worker: whether Spark cannot read the values, or parts of nested values, but the workers can.
    """

    arrow_type: str
    spark: DataType | None
    stored: DataType | None = None
    fix: str = ""
    is_nanos: bool = False
    needs_worker: bool = False

    @property
    def is_null(self) -> bool:
        """Whether the column has no type, because all its values are NULL."""
        return isinstance(self.spark, NullType)

    @property
    def read(self) -> DataType | None:
        """The type with which Spark reads the column, or None if Spark cannot read it.

        A column whose values are all NULL has no type and is read as integers. The same applies to parts of nested
        columns.
        """
        found = self.spark if self.stored is None else self.stored
        return None if found is None else filled(found, IntegerType())


def file_type(field: pa.Field, *, is_int96: bool, is_uuid: bool = False) -> FileType:
    """Return the type of a column in a Parquet file.

    Args:
        field: the column, as Arrow reads it from the file's footer.
        is_int96: whether the column's timestamps, including nested ones, are stored as INT96. Spark reads these as its
            type ``timestamp``.
        is_uuid: whether the column's values are UUIDs. With some writers, the type that Arrow reads does not show it.
    """
    if is_uuid:
        return _uuid()
    if is_int96:
        return replace(_plain(_as_instants(field.type)), arrow_type=f"int96 ({field.type})")
    extension = _extension_of(field)
    if extension:
        return replace(_extension(field.type, extension), arrow_type=extension)
    return _plain(field.type)


def _as_instants(arrow_type: pa.DataType) -> pa.DataType:
    """Return a copy of an Arrow type in which all timestamps are in UTC, including those in lists, maps and structs."""
    if pa.types.is_timestamp(arrow_type):
        return pa.timestamp("us", "UTC")
    if pa.types.is_map(arrow_type):
        return pa.map_(_as_instants(arrow_type.key_type), _as_instants(arrow_type.item_type))
    if pa.types.is_struct(arrow_type):
        return pa.struct([field.with_type(_as_instants(field.type)) for field in arrow_type])
    if pa.types.is_nested(arrow_type):
        return pa.list_(_as_instants(arrow_type.value_type))
    return arrow_type


def _extension_of(field: pa.Field) -> str:
    """Return the name of a column's Arrow extension type, or an empty string if it has none."""
    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    name: bytes = (field.metadata or {}).get(b"ARROW:extension:name", b"")
    return name.decode(errors="replace")


def _extension(arrow_type: pa.DataType, name: str) -> FileType:
    """Return the `FileType` of a column with an Arrow extension type."""
    storage = arrow_type.storage_type if isinstance(arrow_type, pa.BaseExtensionType) else arrow_type
    if name == "arrow.uuid":
        return _uuid()
    stored = _plain(storage)
    # The stored values are numbers. Their meaning is in the file's metadata, which Spark does not read.
    if pa.types.is_integer(storage) or pa.types.is_floating(storage):
        read = stored.spark
        return FileType(name, None, read, fix=_RAW.format(declared="" if read is None else read.simpleString()))
    return stored


def _uuid() -> FileType:
    """Return the `FileType` of a column of UUIDs. The workers read them as texts, because Spark has no UUID type."""
    return FileType("arrow.uuid", StringType(), fix="write it as text, in pandas with .astype(str)", needs_worker=True)


def _plain(arrow_type: pa.DataType) -> FileType:
    """Return the `FileType` of a column without an Arrow extension type."""
    make = next((make for is_of_type, make in _TYPES if is_of_type(arrow_type)), None)
    return FileType(str(arrow_type), None) if make is None else replace(make(arrow_type), arrow_type=str(arrow_type))


def _decimal(arrow_type: pa.DataType) -> FileType:
    if arrow_type.precision > _MOST_DIGITS:
        return _refused(f"write it as a decimal of up to {_MOST_DIGITS} digits, or as text")
    return FileType("", DecimalType(arrow_type.precision, arrow_type.scale))


def _timestamp(arrow_type: pa.DataType) -> FileType:
    instant = TimestampNTZType() if arrow_type.tz is None else TimestampType()
    return FileType("", instant, LongType(), is_nanos=True) if arrow_type.unit == "ns" else FileType("", instant)


def _refused(fix: str) -> FileType:
    return FileType("", None, fix=fix)


def _always(spark: DataType) -> Callable[[pa.DataType], FileType]:
    """Return a function that ignores its argument and returns a `FileType` with the given Spark type."""
    return lambda _: FileType("", spark)


def _nested(arrow_type: pa.DataType) -> FileType:
    """Return the `FileType` of a column of lists, maps or structs.

    The result has no Spark type if Spark has no type for an inner value, or if inner values are nanosecond timestamps.
    """
    text = str(arrow_type)
    inner = [file_type(arrow_type.field(number), is_int96=False) for number in range(arrow_type.num_fields)]
    if pa.types.is_map(arrow_type):
        inner = [file_type(arrow_type.key_field, is_int96=False), file_type(arrow_type.item_field, is_int96=False)]
    for each in inner:
        if each.spark is None or each.is_nanos:
            fix = "write it in microseconds, in pandas with coerce_timestamps='us'" if each.is_nanos else each.fix
            return FileType(text, None, fix=fix)
    fix = next((each.fix for each in inner if each.needs_worker), "")
    spark = _nested_of(arrow_type, [each.spark for each in inner if each.spark is not None])
    return FileType(text, spark, fix=fix, needs_worker=bool(fix))


def _nested_of(arrow_type: pa.DataType, types: Sequence[DataType]) -> DataType:
    """Return Spark's type for a nested Arrow type whose parts have the given types in Spark."""
    if pa.types.is_map(arrow_type):
        return MapType(types[0], types[1])
    if pa.types.is_struct(arrow_type):
        names = [arrow_type.field(number).name for number in range(arrow_type.num_fields)]
        return StructType([StructField(*pair) for pair in zip(names, types, strict=True)])
    return ArrayType(types[0])


def _is_text(arrow_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type) or pa.types.is_string_view(arrow_type)
    )


def _is_bytes(arrow_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(arrow_type)
        or pa.types.is_large_binary(arrow_type)
        or pa.types.is_fixed_size_binary(arrow_type)
        or pa.types.is_binary_view(arrow_type)
    )


# The first predicate that holds for an Arrow type decides.
_TYPES: Final[tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], FileType]], ...]] = (
    (pa.types.is_null, _always(NullType())),
    (pa.types.is_boolean, _always(BooleanType())),
    (pa.types.is_int8, _always(ByteType())),
    (pa.types.is_int16, _always(ShortType())),
    (pa.types.is_uint8, _always(ShortType())),
    (pa.types.is_int32, _always(IntegerType())),
    (pa.types.is_uint16, _always(IntegerType())),
    (pa.types.is_int64, _always(LongType())),
    (pa.types.is_uint32, _always(LongType())),
    (pa.types.is_uint64, _always(DecimalType(20, 0))),
    (pa.types.is_float32, _always(FloatType())),
    (pa.types.is_float64, _always(DoubleType())),
    (pa.types.is_date, _always(DateType())),
    (_is_text, _always(StringType())),
    (_is_bytes, _always(BinaryType())),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_dictionary, lambda arrow_type: _plain(arrow_type.value_type)),
    (pa.types.is_nested, _nested),
    (pa.types.is_float16, lambda _: FileType("", FloatType(), fix=_AS_FLOAT, needs_worker=True)),
    (pa.types.is_time, lambda _: _refused("write it as text, in pandas with .astype(str)")),
    (pa.types.is_duration, lambda _: FileType("", None, LongType(), fix=_RAW.format(declared="bigint"))),
)


def merged(one: DataType, other: DataType) -> DataType | None:
    """Return a type that holds the values of two types unchanged, or None if the types cannot be merged.

    - Decimals are merged if they have the same scale.
    - Arrays and maps are merged if their elements, keys and values can be merged.
    - Structs are merged into a struct with the fields of both, if the types of each shared field can be merged.
    - `NullType` is merged with any type.
    - All other types must be equal.

    >>> merged(NullType(), LongType()), merged(DecimalType(4, 2), DecimalType(9, 2)), merged(LongType(), DoubleType())
    (LongType(), DecimalType(9,2), None)
    """
    if isinstance(one, NullType) or isinstance(other, NullType):
        return other if isinstance(one, NullType) else one
    if isinstance(one, DecimalType) and isinstance(other, DecimalType):
        return DecimalType(max(one.precision, other.precision), one.scale) if one.scale == other.scale else None
    if isinstance(one, ArrayType) and isinstance(other, ArrayType):
        inner = merged(one.elementType, other.elementType)
        return None if inner is None else ArrayType(inner)
    if isinstance(one, MapType) and isinstance(other, MapType):
        key, value = merged(one.keyType, other.keyType), merged(one.valueType, other.valueType)
        return None if key is None or value is None else MapType(key, value)
    if isinstance(one, StructType) and isinstance(other, StructType):
        return _merged_structs(one, other)
    return one if is_same(one, other) else None


def _merged_structs(one: StructType, other: StructType) -> StructType | None:
    """Return a struct with the fields of both structs, or None if the two types of a field cannot be merged."""
    types: dict[str, DataType] = {field.name: field.dataType for field in one}
    for field in other:
        both = merged(types[field.name], field.dataType) if field.name in types else field.dataType
        if both is None:
            return None
        types[field.name] = both
    return StructType([StructField(name, data_type) for name, data_type in types.items()])


def widened(one: DataType, other: DataType) -> DataType | None:
    """Return the type that integers of two types, or integers and doubles, are cast to, or None for other types.

    Two integer types become the wider one. An integer type and double become double. Each value must be checked when it
    is read, because a double cannot hold every bigint exactly.

    >>> widened(IntegerType(), LongType()), widened(DoubleType(), ShortType()), widened(LongType(), FloatType())
    (LongType(), DoubleType(), None)
    """
    if isinstance(one, IntegralType) and isinstance(other, IntegralType):
        return max(one, other, key=lambda each: _INTEGERS.index(each.simpleString()))
    pair = (one, other) if isinstance(one, DoubleType) else (other, one)
    return DoubleType() if isinstance(pair[0], DoubleType) and isinstance(pair[1], IntegralType) else None


def is_same(one: DataType, other: DataType) -> bool:
    """Return whether two types are equal, ignoring whether they allow NULL."""
    return one.simpleString() == other.simpleString()


def has_null_inside(data_type: DataType) -> bool:
    """Return whether part of a nested type is `NullType`, because all values of that part are NULL."""
    return not isinstance(data_type, NullType) and not is_same(data_type, filled(data_type, StringType()))


def filled(data_type: DataType, leaf: DataType) -> DataType:
    """Return a copy of a type in which `leaf` replaces each `NullType`, including those in arrays, maps and structs.

    >>> filled(ArrayType(NullType()), LongType())
    ArrayType(LongType(), True)
    """
    if isinstance(data_type, NullType):
        return leaf
    if isinstance(data_type, ArrayType):
        return ArrayType(filled(data_type.elementType, leaf))
    if isinstance(data_type, MapType):
        return MapType(filled(data_type.keyType, leaf), filled(data_type.valueType, leaf))
    if isinstance(data_type, StructType):
        return StructType([StructField(field.name, filled(field.dataType, leaf)) for field in data_type])
    return data_type


def is_shape_of(part: DataType, whole: DataType) -> bool:
    """Return whether two types are equal, except that a `NullType` in the first matches any type that is not nested."""
    if isinstance(part, ArrayType) and isinstance(whole, ArrayType):
        return is_shape_of(part.elementType, whole.elementType)
    if isinstance(part, MapType) and isinstance(whole, MapType):
        return is_shape_of(part.keyType, whole.keyType) and is_shape_of(part.valueType, whole.valueType)
    if isinstance(part, StructType) and isinstance(whole, StructType):
        pairs = zip(part, whole, strict=False)
        return part.names == whole.names and all(is_shape_of(one.dataType, other.dataType) for one, other in pairs)
    if isinstance(part, NullType):
        return not isinstance(whole, (ArrayType, MapType, StructType))
    return is_same(part, whole)


def in_order_of(part: DataType, whole: DataType) -> DataType:
    """Return a copy of the first type, with its struct fields in the order of the second type.

    Fields that only the second type has are added, so that they are read as NULL. Fields that are missing from the
    second type are placed last. The order matters because Spark reads struct fields from files by name but casts
    structs by position.
    """
    if isinstance(part, ArrayType) and isinstance(whole, ArrayType):
        return ArrayType(in_order_of(part.elementType, whole.elementType))
    if isinstance(part, MapType) and isinstance(whole, MapType):
        return MapType(in_order_of(part.keyType, whole.keyType), in_order_of(part.valueType, whole.valueType))
    if isinstance(part, StructType) and isinstance(whole, StructType):
        types = {field.name: field.dataType for field in part}
        fields = [
            StructField(each.name, in_order_of(types.get(each.name, each.dataType), each.dataType)) for each in whole
        ]
        return StructType([*fields, *(field for field in part if field.name not in whole.names)])
    return part


def is_castable(one: DataType, other: DataType) -> bool:
    """Return whether values of the first type can be cast to the second type. Some values may not fit.

    Casts are allowed between equal types, between numeric types, from dates to timestamp_ntz (at midnight), and between
    arrays of these. Other casts are not allowed, for example between numbers and strings, or between timestamps with
    and without a time zone.
    """
    if isinstance(one, ArrayType) and isinstance(other, ArrayType):
        return is_castable(one.elementType, other.elementType)
    if isinstance(one, DateType) and isinstance(other, TimestampNTZType):
        return True
    return is_same(one, other) or (isinstance(one, NumericType) and isinstance(other, NumericType))


def common_type(one: DataType | None, other: DataType | None) -> str:  # noqa: PLR0911 - a line for each pair of types
    """Return the name of a type to which the values of two different types can be cast.

    The result is an empty string if there is no such type, or if one of the arguments is None. The type may not be able
    to hold all values, so each value is checked when it is read.
    """
    if one is None or other is None or not (is_castable(one, other) or is_castable(other, one)):
        return ""
    if isinstance(one, DateType) or isinstance(other, DateType):
        return "timestamp_ntz"
    if isinstance(one, ArrayType) and isinstance(other, ArrayType):
        return f"array<{common_type(one.elementType, other.elementType)}>"
    if isinstance(one, IntegralType) and isinstance(other, IntegralType):
        return max(one.simpleString(), other.simpleString(), key=_INTEGERS.index)
    if isinstance(one, DecimalType) and isinstance(other, DecimalType):
        scale = max(one.scale, other.scale)
        return f"decimal({min(38, scale + max(one.precision - one.scale, other.precision - other.scale))},{scale})"
    if isinstance(one, (FloatType, DoubleType)) or isinstance(other, (FloatType, DoubleType)):
        return "double"
    (decimal,) = (each for each in (one, other) if isinstance(each, DecimalType))
    digits = max(_BIGINT_DIGITS, decimal.precision - decimal.scale) + decimal.scale
    return f"decimal({digits},{decimal.scale})" if digits <= _MOST_DIGITS else "double"
