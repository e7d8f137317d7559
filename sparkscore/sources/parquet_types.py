"""What Spark gives a script for the types of Parquet files, and what it cannot read (driver)."""

from __future__ import annotations

from collections.abc import Callable
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
_RAW: Final = "write it as what it means, or declare it {kind} to get the stored numbers"


@dataclass(frozen=True)
class FileType:
    """The type of a column in a file.

    Attributes:
        told: what the file says, in Arrow's words.
        spark: Spark's type of the same values; None where there is none.
        stored: the type in which Spark reads the stored values, where that is another.
        fix: what to do about a type that is refused; empty for all others.
        is_nanos: whether it is a time in nanoseconds, which Spark reads as numbers only.
    """

    told: str
    spark: DataType | None
    stored: DataType | None = None
    fix: str = ""
    is_nanos: bool = False

    @property
    def is_null(self) -> bool:
        """Whether the column has no type, since all its values are NULL."""
        return isinstance(self.spark, NullType)

    @property
    def read(self) -> DataType | None:
        """The type to read it with; Spark reads parts without a type as integers, all of which are NULL."""
        told = self.spark if self.stored is None else self.stored
        return None if told is None else filled(told, IntegerType())


def file_type(field: pa.Field, *, is_int96: bool) -> FileType:
    """Give the type of a column.

    Args:
        field: the column, as Arrow reads the file's footer.
        is_int96: whether its times, also those inside, are stored in the old form, which Spark takes for instants.
    """
    if is_int96:
        return replace(_plain(_as_instants(field.type)), told=f"int96 ({field.type})")
    extension = _extension_of(field)
    if extension:
        return replace(_extension(field.type, extension), told=extension)
    return _plain(field.type)


def _as_instants(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    if pa.types.is_map(kind):
        return pa.map_(_as_instants(kind.key_type), _as_instants(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_instants(field.type)) for field in kind])
    return pa.list_(_as_instants(kind.value_type)) if pa.types.is_list(kind) else kind


def _extension_of(field: pa.Field) -> str:
    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    name: bytes = (field.metadata or {}).get(b"ARROW:extension:name", b"")
    return name.decode(errors="replace")


def _extension(kind: pa.DataType, name: str) -> FileType:
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if name == "arrow.uuid":
        return FileType(name, None, fix="write it as text, in pandas by .astype(str)")
    stored = _plain(storage)
    # A bare number, whose meaning is in a note that Spark does not read.
    if pa.types.is_integer(storage) or pa.types.is_floating(storage):
        read = stored.spark
        return FileType(name, None, read, fix=_RAW.format(kind="" if read is None else read.simpleString()))
    return stored


def _plain(kind: pa.DataType) -> FileType:
    make = next((make for is_kind, make in _KINDS if is_kind(kind)), None)
    return FileType(str(kind), None) if make is None else replace(make(kind), told=str(kind))


def _decimal(kind: pa.DataType) -> FileType:
    if kind.precision > _MOST_DIGITS:
        return _refused(f"write it as a decimal of up to {_MOST_DIGITS} digits, or as text")
    return FileType("", DecimalType(kind.precision, kind.scale))


def _timestamp(kind: pa.DataType) -> FileType:
    instant = TimestampNTZType() if kind.tz is None else TimestampType()
    return FileType("", instant, LongType(), is_nanos=True) if kind.unit == "ns" else FileType("", instant)


def _refused(fix: str) -> FileType:
    return FileType("", None, fix=fix)


def _always(spark: DataType) -> Callable[[pa.DataType], FileType]:
    return lambda _: FileType("", spark)


def _nested(kind: pa.DataType) -> FileType:
    told = str(kind)
    inner = [file_type(kind.field(number), is_int96=False) for number in range(kind.num_fields)]
    if pa.types.is_map(kind):
        inner = [file_type(kind.key_field, is_int96=False), file_type(kind.item_field, is_int96=False)]
    for each in inner:
        if each.spark is None or each.is_nanos:
            fix = "write it in microseconds, in pandas by coerce_timestamps='us'" if each.is_nanos else each.fix
            return FileType(told, None, fix=fix)
    types = [each.spark for each in inner if each.spark is not None]
    if pa.types.is_map(kind):
        return FileType(told, MapType(types[0], types[1]))
    if pa.types.is_struct(kind):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        return FileType(told, StructType([StructField(*pair) for pair in zip(names, types, strict=True)]))
    return FileType(told, ArrayType(types[0]))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


_KINDS: Final[tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], FileType]], ...]] = (
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
    (pa.types.is_dictionary, lambda kind: _plain(kind.value_type)),
    (pa.types.is_nested, _nested),
    (pa.types.is_float16, lambda _: _refused("write it as float, in pandas by .astype('float32')")),
    (pa.types.is_time, lambda _: _refused("write it as text, in pandas by .astype(str)")),
    (pa.types.is_duration, lambda _: FileType("", None, LongType(), fix=_RAW.format(kind="bigint"))),
)


def merged(one: DataType, other: DataType) -> DataType | None:
    """Give the type that holds the values of two without a change, as Spark merges them; None if there is none.

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
    types: dict[str, DataType] = {field.name: field.dataType for field in one}
    for field in other:
        kind = merged(types[field.name], field.dataType) if field.name in types else field.dataType
        if kind is None:
            return None
        types[field.name] = kind
    return StructType([StructField(name, kind) for name, kind in types.items()])


def is_same(one: DataType, other: DataType) -> bool:
    """Tell whether two types differ in nothing but whether NULL is allowed."""
    return one.simpleString() == other.simpleString()


def has_null_inside(kind: DataType) -> bool:
    """Tell whether a nested type has a part without a type."""
    return not isinstance(kind, NullType) and not is_same(kind, filled(kind, StringType()))


def filled(kind: DataType, leaf: DataType) -> DataType:
    """Give a type with another one in place of the parts that have none.

    >>> filled(ArrayType(NullType()), LongType())
    ArrayType(LongType(), True)
    """
    if isinstance(kind, NullType):
        return leaf
    if isinstance(kind, ArrayType):
        return ArrayType(filled(kind.elementType, leaf))
    if isinstance(kind, MapType):
        return MapType(filled(kind.keyType, leaf), filled(kind.valueType, leaf))
    if isinstance(kind, StructType):
        return StructType([StructField(field.name, filled(field.dataType, leaf)) for field in kind])
    return kind


def is_shape_of(kind: DataType, whole: DataType) -> bool:
    """Tell whether two types differ in nothing but parts without a type, which are plain types in the other."""
    if isinstance(kind, ArrayType) and isinstance(whole, ArrayType):
        return is_shape_of(kind.elementType, whole.elementType)
    if isinstance(kind, MapType) and isinstance(whole, MapType):
        return is_shape_of(kind.keyType, whole.keyType) and is_shape_of(kind.valueType, whole.valueType)
    if isinstance(kind, StructType) and isinstance(whole, StructType):
        pairs = zip(kind, whole, strict=False)
        return kind.names == whole.names and all(is_shape_of(one.dataType, other.dataType) for one, other in pairs)
    if isinstance(kind, NullType):
        return not isinstance(whole, (ArrayType, MapType, StructType))
    return is_same(kind, whole)


def in_order_of(kind: DataType, whole: DataType) -> DataType:
    """Give a type with its fields as the other one has them: Spark reads fields by name, and casts them by place.

    A field that is absent is NULL, whatever its type.
    """
    if isinstance(kind, ArrayType) and isinstance(whole, ArrayType):
        return ArrayType(in_order_of(kind.elementType, whole.elementType))
    if isinstance(kind, MapType) and isinstance(whole, MapType):
        return MapType(in_order_of(kind.keyType, whole.keyType), in_order_of(kind.valueType, whole.valueType))
    if isinstance(kind, StructType) and isinstance(whole, StructType):
        own = {field.name: field.dataType for field in kind}
        fields = [
            StructField(each.name, in_order_of(own.get(each.name, each.dataType), each.dataType)) for each in whole
        ]
        return StructType([*fields, *(field for field in kind if field.name not in whole.names)])
    return kind


def is_castable(one: DataType, other: DataType) -> bool:
    """Tell whether values of a type can be cast to another one and compared; numbers, and days as times of their start.

    Booleans and texts are no numbers, and an instant is no time without a zone.
    """
    if isinstance(one, ArrayType) and isinstance(other, ArrayType):
        return is_castable(one.elementType, other.elementType)
    if isinstance(one, DateType) and isinstance(other, TimestampNTZType):
        return True
    return is_same(one, other) or (isinstance(one, NumericType) and isinstance(other, NumericType))


def common_type(one: DataType | None, other: DataType | None) -> str:  # noqa: PLR0911 - a line for each pair of kinds
    """Name the type that holds the values of two, where each can be checked; nothing if there is none."""
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
    (decimal,) = (kind for kind in (one, other) if isinstance(kind, DecimalType))
    digits = max(_BIGINT_DIGITS, decimal.precision - decimal.scale) + decimal.scale
    return f"decimal({digits},{decimal.scale})" if digits <= _MOST_DIGITS else "double"
