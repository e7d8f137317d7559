"""Find functions that convert the stored columns of a Parquet file to the types of the input.

Runs on the driver and the workers. The driver calls `find_conversions` to decide whether the workers can read a file,
and the workers call it to read the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa

from sparkscore.parquet.casting import Convert, as_microseconds, find_cast
from sparkscore.parquet.nested import as_list, as_map, as_struct
from sparkscore.parquet.stored import Leaf, StoredColumn, StoredFile, UnreadableError
from sparkscore.parquet.uuids import as_texts
from sparkscore.signature.naming import MAX_DECIMAL_DIGITS, SCALAR_NAMES, type_name
from sparkscore.signature.same_name import keys_of

_CODECS: Final = frozenset({"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4", "BROTLI"})
_TIMES: Final = ("Date", "Timestamp")
_UTC: Final = pa.timestamp("us", "UTC")
_LOCAL: Final = pa.timestamp("us")
# Types that are read as another type that holds the same values. Spark does the same, except for half floats, which it
# cannot read.
_READ_AS: Final = {
    pa.float16(): pa.float32(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.date64(): pa.date32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}
_LONGEST_DECIMAL: Final = 16
# By physical type, the logical types that Spark's reader and PyArrow read alike, and those that only PyArrow reads:
# Float16 and UUID.
_MEANINGS: Final = {
    "BOOLEAN": {"None"},
    "INT32": {"None", "Int", "Date", "Decimal", "Null"},
    "INT64": {"None", "Int", "Decimal", "Timestamp"},
    "INT96": {"None"},
    "FLOAT": {"None"},
    "DOUBLE": {"None"},
    "BYTE_ARRAY": {"None", "String", "Decimal", "JSON", "BSON"},
    "FIXED_LEN_BYTE_ARRAY": {"None", "Decimal", "Float16", "UUID"},
}


def find_conversions(file: StoredFile, columns: Mapping[str, pa.DataType]) -> dict[str, Convert]:
    """Return a conversion function for each column of the input that a file has.

    Each function takes the column as PyArrow reads it, and returns it with the type of the input. It raises an
    `InexactError` if the type cannot hold a value exactly. There are no functions for columns that the file lacks.

    Args:
        file: the footer of the file.
        columns: the types in the input, by column name.

    Raises:
        UnreadableError: the values might differ from those that Spark's reader returns.
    """
    if wrong := file.codecs - _CODECS:
        raise UnreadableError(f"values are packed with {min(wrong)}")
    stored = file.columns()
    keys = {key for name in stored for key in keys_of(name)}
    if clashing := next((name for name in columns if name not in stored and keys_of(name) & keys), None):
        raise UnreadableError(f"column '{clashing}' is spelled in another way")
    found = {}
    for name, target in columns.items():
        if name in stored:
            try:
                found[name] = _find_column(stored[name], target, file)
            except UnreadableError as error:
                raise UnreadableError(f"column '{name}' {error}") from error
    return found


def _find_column(column: StoredColumn, target: pa.DataType, file: StoredFile) -> Convert:
    """Return the function that converts a column to its type in the input.

    Args:
        column: the column of the file.
        target: the type in the input.
        file: the footer of the file.
    """
    if column.field.name in file.null_lists:
        raise UnreadableError("has lists of a fixed length that may be NULL")
    if file.is_legacy and any(leaf.physical == "INT96" or leaf.logical.startswith(_TIMES) for leaf in column.leaves):
        raise UnreadableError("has dates or times in the calendar of Spark 2")
    leaves = iter(column.leaves)
    return _find(column.field.type, target, leaves, column.field.name.count("."))


def _find(source: pa.DataType, target: pa.DataType, leaves: Iterator[Leaf], dots: int) -> Convert:
    """Return the function that converts a column, or part of a nested column, to its type in the input.

    Args:
        source: the type as PyArrow reads it.
        target: the type in the input.
        leaves: an iterator over the column's leaves. The leaves of this part are consumed.
        dots: the number of dots in the path of this part. Lists and maps in the standard layout add two levels to the
            path. In any other layout, Spark and PyArrow might read different values.
    """
    if isinstance(source, pa.BaseExtensionType):
        inner = _find(source.storage_type, target, leaves, dots)
        return lambda array: inner(array.storage if isinstance(array, pa.ExtensionArray) else array)
    if pa.types.is_null(source):
        next(leaves)
        return lambda array: pa.nulls(len(array), target)
    if pa.types.is_dictionary(source):
        inner = _find(source.value_type, target, leaves, dots)
        return lambda array: inner(array.dictionary_decode())
    if pa.types.is_nested(source):
        return _find_nested(source, target, leaves, dots)
    convert = _find_leaf(source, target, next(leaves), dots)
    # PyArrow may read JSON texts and UUIDs as extension types even if the footer's schema does not say so.
    return lambda array: convert(array.storage if isinstance(array, pa.ExtensionArray) else array)


def _find_nested(source: pa.DataType, target: pa.DataType, leaves: Iterator[Leaf], dots: int) -> Convert:
    """Return the function that converts lists, maps or structs. The arguments are those of `_find`."""
    if pa.types.is_map(source) and pa.types.is_map(target):
        key = _find(source.key_type, target.key_type, leaves, dots + 2)
        return as_map(target, key, _find(source.item_type, target.item_type, leaves, dots + 2))
    if pa.types.is_struct(source) and pa.types.is_struct(target):
        return _find_struct(source, target, leaves, dots)
    if source.num_fields == 1 and not pa.types.is_struct(source) and pa.types.is_list(target):
        return as_list(target, _find(source.value_type, target.value_type, leaves, dots + 2))
    raise _other_type(source, target)


def _find_struct(source: pa.DataType, target: pa.DataType, leaves: Iterator[Leaf], dots: int) -> Convert:
    """Return the function that converts structs. Fields are matched by name, and missing fields are NULL."""
    names = [field.name for field in source]
    keys = [key for name in names for key in keys_of(name)]
    wanted = {field.name: field.type for field in target}
    if len(set(names)) < len(names) or not set(names) <= wanted.keys():
        raise _other_type(source, target)
    if clashing := next((name for name in wanted.keys() - set(names) if keys_of(name) & set(keys)), None):
        raise UnreadableError(f"has a field whose name differs from '{clashing}' in case only")
    found = {
        field.name: _find(field.type, wanted[field.name], leaves, dots + 1 + field.name.count(".")) for field in source
    }
    return as_struct(target, names, found)


def _find_leaf(source: pa.DataType, target: pa.DataType, leaf: Leaf, dots: int) -> Convert:
    """Return the function that converts values that are not nested."""
    meaning = leaf.logical.partition("(")[0]
    if meaning not in _MEANINGS.get(leaf.physical, set()):
        raise UnreadableError(f"has values of the type {leaf.logical}")
    if leaf.path.count(".") != dots:
        raise UnreadableError("has lists or maps in an old layout")
    if meaning == "Decimal" and leaf.length > _LONGEST_DECIMAL:
        raise UnreadableError("has decimals in more than 16 bytes")
    if pa.types.is_timestamp(source):
        return _find_time(source, target, leaf)
    if meaning == "UUID":
        return _find_uuid(target)
    read = _read_as(source)
    cast = None if read is None else find_cast(read, target)
    if cast is None:
        raise _other_type(source, target)
    return cast if read == source else lambda array: cast(array.cast(read))


def _find_time(source: pa.DataType, target: pa.DataType, leaf: Leaf) -> Convert:
    """Return the function that converts timestamps.

    The stored type shows whether the timestamps are instants. For files of older writers, PyArrow's type does not.
    """
    is_int96 = leaf.physical == "INT96"
    if source.unit == "ns" and target == pa.int64() and not is_int96:
        return lambda array: array.cast(target)
    read = _UTC if is_int96 or "isAdjustedToUTC=true" in leaf.logical else _LOCAL
    if target != read:
        raise _other_type(read, target)
    return lambda array: as_microseconds(array, read)


def _find_uuid(target: pa.DataType) -> Convert:
    """Return the function that converts UUIDs to texts, as Spark does for Iceberg tables. Spark has no UUID type."""
    if target != pa.string():
        raise _other_type(pa.string(), target)
    return as_texts


def _read_as(source: pa.DataType) -> pa.DataType | None:
    """Return the type in which values that are neither nested nor timestamps are read, or None if there is none."""
    if pa.types.is_decimal(source):
        return pa.decimal128(source.precision, source.scale) if source.precision <= MAX_DECIMAL_DIGITS else None
    if pa.types.is_fixed_size_binary(source):
        return pa.binary()
    if pa.types.is_duration(source):
        return pa.int64()
    return source if source in SCALAR_NAMES else _READ_AS.get(source)


def _other_type(source: pa.DataType, target: pa.DataType) -> UnreadableError:
    return UnreadableError(
        f"has the type {type_name(source)}, which does not become {type_name(target)} in the same way"
    )
