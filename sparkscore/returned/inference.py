"""Find a column's Spark type from its values, where no schema declares one; runs on workers."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError, names
from sparkscore.returned import kinds
from sparkscore.returned.arrays import is_any_list, is_bytes, is_text
from sparkscore.returned.forms import Form, Objects, Vector, open_values
from sparkscore.returned.kinds import class_name, describe, is_missing, is_nan, kind_of, way_out
from sparkscore.returned.objects import Runs, convert_objects, flatten, keys_difference
from sparkscore.returned.refusal import STATE, Refusal, raised_for
from sparkscore.signature.ddl import MAX_DEPTH
from sparkscore.signature.naming import MAX_DECIMAL_DIGITS
from sparkscore.signature.same_name import doubled_names

_STORABLE: Final = "a value that a column can hold"
_DECLARE_IN_SCHEMA: Final = "Return one kind of value per column, or declare the column's type in output.schema."
_CAST: Final = "Cast it to a type that Spark has, for example with .cast('int64') or .cast('string')."

_TYPE_OF_KIND: Final = {
    kinds.BOOLEAN: pa.bool_(),
    kinds.INTEGER: pa.int64(),
    kinds.FLOAT: pa.float64(),
    kinds.DECIMAL: pa.decimal128(MAX_DECIMAL_DIGITS, 18),
    kinds.STRING: pa.string(),
    kinds.BINARY: pa.binary(),
    kinds.DATE: pa.date32(),
    kinds.TIMESTAMP: pa.timestamp("us", "UTC"),
    kinds.TIMESTAMP_NTZ: pa.timestamp("us"),
}
_NUMBERS: Final = {kinds.INTEGER, kinds.FLOAT}
_KIND_OF_DTYPE: Final = {"b": kinds.BOOLEAN, "i": kinds.INTEGER, "u": kinds.INTEGER, "f": kinds.FLOAT}
_KIND_OF_ARROW: Final = (
    (pa.types.is_boolean, kinds.BOOLEAN),
    (pa.types.is_integer, kinds.INTEGER),
    (pa.types.is_floating, kinds.FLOAT),
    (is_text, kinds.STRING),
    (is_bytes, kinds.BINARY),
    (pa.types.is_date, kinds.DATE),
)


class _NothingToSee(Exception):  # noqa: N818 - becomes OUTPUT_ALL_NULL
    """No value says what type the column, or a part of it, has."""


def infer_type(values: Any, column: str) -> pa.DataType:
    """Give the Spark type that holds every one of the values.

    Integers are bigint and floats double, whatever their width; both in one column are double if each integer is exact.

    Raises:
        OutputContractError: code ``OUTPUT_TYPE`` for values of different kinds, or of none that a column can hold;
            ``OUTPUT_ALL_NULL`` where no value tells the type.
    """
    try:
        with raised_for(column, _STORABLE):
            return _infer(open_values(values), 0)
    except _NothingToSee:
        raise OutputContractError(
            code=ErrorCode.OUTPUT_ALL_NULL,
            what=f"the type of column '{column}' cannot be seen",
            got="no value but NULL",
            expected="at least one value in the first mini-batch",
            state=STATE,
            next_step=f"Declare output.schema in the deployment, for example: {column} {_example_of(values)}.",
        ) from None


def _example_of(values: Any) -> str:
    """Give a type that the values may have, of which nothing is known but whether they are lists."""
    form = open_values(values)
    items = form.items if isinstance(form, Objects) else []
    are_lists = is_any_list(form.type) if isinstance(form, pa.Array) else any(map(_is_list, items))
    return "array<double>" if are_lists else "double"


def _is_list(item: Any) -> bool:
    return not is_missing(item) and kind_of(item) == kinds.ARRAY


def _infer(form: Form, depth: int) -> pa.DataType:
    if depth > MAX_DEPTH:
        raise Refusal(f"values nested more than {MAX_DEPTH} deep", advice="Return flatter values.")
    if isinstance(form, Vector):
        return _infer_vector(form)
    if isinstance(form, Objects):
        return _infer_objects(form, depth)
    return _infer_arrow(form.type, depth)


def _infer_vector(vector: Vector) -> pa.DataType:
    moment = kinds.TIMESTAMP if vector.is_utc else kinds.TIMESTAMP_NTZ
    type_ = _TYPE_OF_KIND[_KIND_OF_DTYPE.get(vector.data.dtype.kind, moment)]
    for _ in range(vector.data.ndim - 1):
        type_ = _array_of(type_)
    return type_


def _infer_objects(objects: Objects, depth: int) -> pa.DataType:
    items = _without_pandas_nan(objects)
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        if not is_missing(item):
            first.setdefault(kind_of(item), index)
    if not first:
        raise _NothingToSee
    if first.keys() == _NUMBERS:
        convert_objects(Objects(items), pa.float64())  # refuses an integer that a double would round
        return pa.float64()
    kind, start = next(iter(first.items()))
    other = next((at for found, at in first.items() if {found, kind} not in ({kind}, _NUMBERS)), None)
    if other is not None:
        expected = f"{describe(items[start])} like element {start + 1}"
        raise Refusal(describe(items[other]), expected=expected, advice=_DECLARE_IN_SCHEMA, position=other)
    return _type_of_items(kind, items, start, depth)


def _type_of_items(kind: str, items: list[Any], start: int, depth: int) -> pa.DataType:
    if kind == kinds.ARRAY:
        return _infer_lists(items, depth)
    if kind == kinds.DICT:
        return _infer_dicts(items, start, depth)
    if kind not in _TYPE_OF_KIND:
        raise Refusal(describe(items[start]), expected=_STORABLE, advice=way_out(items[start]), position=start)
    return _TYPE_OF_KIND[kind]


def _without_pandas_nan(objects: Objects) -> list[Any]:
    """Give the items; where NaN may stand for NULL it does so unless there is nothing else to see."""
    if not objects.is_nan_missing:
        return objects.items
    others = [None if is_nan(item) else item for item in objects.items]
    return objects.items if all(map(is_missing, others)) else others


def _infer_lists(items: list[Any], depth: int) -> pa.DataType:
    return _array_of(_infer_children(items, flatten([item for item in items if not is_missing(item)]), depth))


def _infer_children(items: list[Any], children: Form, depth: int) -> pa.DataType:
    """Give the type of all that the items hold; a refusal names the item."""
    runs = Runs()
    for item in items:
        runs.add(None if is_missing(item) else len(item))
    try:
        return _infer(children, depth + 1)
    except Refusal as refusal:
        raise refusal.at(runs.owner(refusal.position)) from None


def _infer_dicts(items: list[Any], start: int, depth: int) -> pa.DataType:
    wanted = items[start].keys()
    if wanted and all(type(key) is int for key in wanted):
        return _infer_maps(items, start, depth)
    for key in wanted:
        if not isinstance(key, str):
            raise Refusal(
                f"a dict with a key of {class_name(key)}", expected="text keys, or integers alone", position=start
            )
    if not wanted or doubled_names(wanted):
        raise Refusal("a dict without keys, or with keys that Spark takes for one", expected="keys", position=start)
    for index, item in enumerate(items):
        if not is_missing(item) and item.keys() != wanted:
            got = f"a dict {keys_difference(item, set(wanted))}"
            expected = f"the keys {names(wanted)} of element {start + 1}"
            raise Refusal(got, expected=expected, advice=_DECLARE_IN_SCHEMA, position=index)
    return pa.struct([pa.field(key, _infer(_values_of(items, key), depth + 1)) for key in wanted])


def _infer_maps(items: list[Any], start: int, depth: int) -> pa.DataType:
    """Give the type of dicts by number, such as the probabilities of classes that ONNX models give."""
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
        raise _NothingToSee
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
    kind = next((kind for test, kind in _KIND_OF_ARROW if test(type_)), None)
    if kind is None:
        raise Refusal(f"Arrow {type_}", expected=_STORABLE, advice=_CAST)
    return _TYPE_OF_KIND[kind]


def _array_of(element: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", element))
