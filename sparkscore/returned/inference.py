"""Infer a column's Spark type from its values if no schema declares it. Runs on the workers."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError, names
from sparkscore.returned import value_types
from sparkscore.returned.arrays import is_any_list, is_bytes, is_text
from sparkscore.returned.forms import Form, Objects, Vector, open_values
from sparkscore.returned.objects import ListOffsets, convert_objects, flatten, keys_difference
from sparkscore.returned.refusal import STATE, Refusal, raised_for
from sparkscore.returned.value_types import advice_for, class_name, describe, is_missing, is_nan, value_type
from sparkscore.signature.ddl import MAX_DEPTH
from sparkscore.signature.naming import MAX_DECIMAL_DIGITS
from sparkscore.signature.same_name import doubled_names

_STORABLE: Final = "a value that a column can hold"
_DECLARE_IN_SCHEMA: Final = "Return values of one type in each column, or declare the column's type in output.schema."
_CAST: Final = "Cast it to a type that Spark has, for example with .cast('int64') or .cast('string')."

_ARROW_TYPES: Final = {
    value_types.BOOLEAN: pa.bool_(),
    value_types.INTEGER: pa.int64(),
    value_types.FLOAT: pa.float64(),
    value_types.DECIMAL: pa.decimal128(MAX_DECIMAL_DIGITS, 18),
    value_types.STRING: pa.string(),
    value_types.BINARY: pa.binary(),
    value_types.DATE: pa.date32(),
    value_types.TIMESTAMP: pa.timestamp("us", "UTC"),
    value_types.TIMESTAMP_NTZ: pa.timestamp("us"),
}
_NUMBERS: Final = {value_types.INTEGER, value_types.FLOAT}
_TYPE_OF_DTYPE: Final = {
    "b": value_types.BOOLEAN,
    "i": value_types.INTEGER,
    "u": value_types.INTEGER,
    "f": value_types.FLOAT,
}
_TYPE_OF_ARROW: Final = (
    (pa.types.is_boolean, value_types.BOOLEAN),
    (pa.types.is_integer, value_types.INTEGER),
    (pa.types.is_floating, value_types.FLOAT),
    (is_text, value_types.STRING),
    (is_bytes, value_types.BINARY),
    (pa.types.is_date, value_types.DATE),
)


class _NoValueError(Exception):
    """Raised if a column's type cannot be inferred because the column, or a part of it, has only NULLs."""


def infer_type(values: Any, column: str) -> pa.DataType:
    """Infer a column's Spark type from its values, and return it as an Arrow type.

    Integers of any width become bigint, and floats become double. A column with both becomes double. A value may still
    be too large for the inferred type; `coerce` checks this.

    Raises:
        OutputContractError: no type fits all values (code ``OUTPUT_TYPE``), for example because numbers and strings are
            mixed; or the column or a part of it, such as the elements of its lists, has no values except NULLs
            (code ``OUTPUT_ALL_NULL``).
    """
    try:
        with raised_for(column, _STORABLE):
            return _infer(open_values(values), 0)
    except _NoValueError:
        raise OutputContractError(
            code=ErrorCode.OUTPUT_ALL_NULL,
            what=f"the type of column '{column}' cannot be inferred",
            got="no value but NULL",
            expected="at least one value in the first mini-batch",
            state=STATE,
            next_step=f"Declare output.schema in the deployment, for example: {column} {_example_of(values)}.",
        ) from None


def _example_of(values: Any) -> str:
    form = open_values(values)
    items = form.items if isinstance(form, Objects) else []
    are_lists = is_any_list(form.type) if isinstance(form, pa.Array) else any(map(_is_list, items))
    return "array<double>" if are_lists else "double"


def _is_list(item: Any) -> bool:
    return not is_missing(item) and value_type(item) == value_types.ARRAY


def _infer(form: Form, depth: int) -> pa.DataType:
    if depth > MAX_DEPTH:
        raise Refusal(f"values nested more than {MAX_DEPTH} deep", advice="Return flatter values.")
    if isinstance(form, Vector):
        return _infer_vector(form)
    if isinstance(form, Objects):
        return _infer_objects(form, depth)
    return _infer_arrow(form.type, depth)


def _infer_vector(vector: Vector) -> pa.DataType:
    timestamp = value_types.TIMESTAMP if vector.is_utc else value_types.TIMESTAMP_NTZ
    type_ = _ARROW_TYPES[_TYPE_OF_DTYPE.get(vector.data.dtype.kind, timestamp)]
    for _ in range(vector.data.ndim - 1):
        type_ = _array_of(type_)
    return type_


def _infer_objects(objects: Objects, depth: int) -> pa.DataType:
    items = _without_pandas_nan(objects)
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        if not is_missing(item):
            first.setdefault(value_type(item), index)
    if not first:
        raise _NoValueError
    if first.keys() == _NUMBERS:
        convert_objects(Objects(items), pa.float64())  # raises a Refusal for an integer that a double would round
        return pa.float64()
    first_type, start = next(iter(first.items()))
    other = next((index for found, index in first.items() if {found, first_type} not in ({first_type}, _NUMBERS)), None)
    if other is not None:
        expected = f"{describe(items[start])} like element {start + 1}"
        raise Refusal(describe(items[other]), expected=expected, advice=_DECLARE_IN_SCHEMA, position=other)
    return _type_of_items(first_type, items, start, depth)


def _type_of_items(item_type: str, items: list[Any], start: int, depth: int) -> pa.DataType:
    if item_type == value_types.ARRAY:
        return _infer_lists(items, depth)
    if item_type == value_types.DICT:
        return _infer_dicts(items, start, depth)
    if item_type not in _ARROW_TYPES:
        raise Refusal(describe(items[start]), expected=_STORABLE, advice=advice_for(items[start]), position=start)
    return _ARROW_TYPES[item_type]


def _without_pandas_nan(objects: Objects) -> list[Any]:
    """Return a column's values, with each NaN that stands for NULL replaced by None.

    NaN stands for NULL in pandas object columns. However, if the column contains only NaN and NULL, NaN is kept,
    so that the column's type is inferred as double.
    """
    if not objects.is_nan_missing:
        return objects.items
    others = [None if is_nan(item) else item for item in objects.items]
    return objects.items if all(map(is_missing, others)) else others


def _infer_lists(items: list[Any], depth: int) -> pa.DataType:
    return _array_of(_infer_children(items, flatten([item for item in items if not is_missing(item)]), depth))


def _infer_children(items: list[Any], children: Form, depth: int) -> pa.DataType:
    """Return the type of the values inside lists or dictionaries.

    Args:
        items: the lists or dictionaries.
        children: the values inside all of them, as one column.
        depth: the items' nesting level.

    Raises:
        Refusal: no type fits all values. Its position is that of the list or dictionary, not that of the value inside.
        _NoValueError: there are no values except NULLs.
    """
    list_offsets = ListOffsets()
    for item in items:
        list_offsets.add(None if is_missing(item) else len(item))
    try:
        return _infer(children, depth + 1)
    except Refusal as refusal:
        raise refusal.at(list_offsets.owner(refusal.position)) from None


def _infer_dicts(items: list[Any], start: int, depth: int) -> pa.DataType:
    wanted = items[start].keys()
    if wanted and all(type(key) is int for key in wanted):
        return _infer_maps(items, start, depth)
    for key in wanted:
        if not isinstance(key, str):
            raise Refusal(
                f"a dict with a key of {class_name(key)}", expected="text keys, or only integers", position=start
            )
    if not wanted or doubled_names(wanted):
        raise Refusal(
            "a dict without keys, or with keys that Spark takes for the same name", expected="keys", position=start
        )
    for index, item in enumerate(items):
        if not is_missing(item) and item.keys() != wanted:
            got = f"a dict {keys_difference(item, set(wanted))}"
            expected = f"the keys {names(wanted)} of element {start + 1}"
            raise Refusal(got, expected=expected, advice=_DECLARE_IN_SCHEMA, position=index)
    return pa.struct([pa.field(key, _infer(_values_of(items, key), depth + 1)) for key in wanted])


def _infer_maps(items: list[Any], start: int, depth: int) -> pa.DataType:
    """Return the map type of dictionaries with integer keys, for example class probabilities from an ONNX model."""
    for index, item in enumerate(items):
        if not is_missing(item) and not all(type(key) is int for key in item):
            expected = f"integers as keys, like element {start + 1}"
            raise Refusal("a dict with other keys", expected=expected, advice=_DECLARE_IN_SCHEMA, position=index)
    values = [value for item in items if not is_missing(item) for value in item.values()]
    return pa.map_(pa.int64(), _infer_children(items, Objects(values), depth))


def _values_of(items: list[Any], key: str) -> Objects:
    return Objects([None if is_missing(item) else item[key] for item in items])


def _infer_arrow(type_: pa.DataType, depth: int) -> pa.DataType:
    if depth > MAX_DEPTH:
        raise Refusal(f"values nested more than {MAX_DEPTH} deep", advice="Return flatter values.")
    if pa.types.is_null(type_):
        raise _NoValueError
    if is_any_list(type_):
        return _array_of(_infer_arrow(type_.value_type, depth + 1))
    if pa.types.is_struct(type_) and type_.num_fields:
        return pa.struct([pa.field(field.name, _infer_arrow(field.type, depth + 1)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(_infer_arrow(type_.key_type, depth + 1), _infer_arrow(type_.item_type, depth + 1))
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return _infer_arrow(type_.value_type, depth)
    return _infer_arrow_scalar(type_)


def _infer_arrow_scalar(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", None if type_.tz is None else "UTC")
    if pa.types.is_decimal(type_) and type_.precision <= MAX_DECIMAL_DIGITS and 0 <= type_.scale <= type_.precision:
        return pa.decimal128(type_.precision, type_.scale)
    found = next((name for is_of_type, name in _TYPE_OF_ARROW if is_of_type(type_)), None)
    if found is None:
        raise Refusal(f"Arrow {type_}", expected=_STORABLE, advice=_CAST)
    return _ARROW_TYPES[found]


def _array_of(element: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", element))
