"""Convert Python values to an Arrow array of a Spark type without changing any value. Runs on the workers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sparkscore.errors import names
from sparkscore.returned import scalars, value_types
from sparkscore.returned.forms import Form, Objects, Vector, open_numpy
from sparkscore.returned.refusal import DECLARE, Refusal
from sparkscore.returned.value_types import advice_for, class_name, describe, is_missing, is_nan, value_type
from sparkscore.returned.vectors import convert_vector

#: A Python class for each Arrow type. PyArrow converts values of this class exactly or raises an error.
EXACT_CLASS: Final = {
    pa.bool_(): bool,
    pa.int8(): int,
    pa.int16(): int,
    pa.int32(): int,
    pa.int64(): int,
    pa.float64(): float,
    pa.string(): str,
    pa.binary(): bytes,
    pa.date32(): dt.date,
}

_NUMPY_NUMBERS: Final = frozenset(np.dtype(code).type for code in "bhilqBHILQefdg")


def convert_objects(objects: Objects, type_: pa.DataType) -> pa.Array:
    """Convert Python values to an Arrow array of a Spark type.

    Raises:
        Refusal: a value cannot be converted exactly.
    """
    if objects.is_nan_missing and not pa.types.is_floating(type_):
        objects = Objects([None if is_nan(item) else item for item in objects.items])
    nested = _nested_converter(type_)
    return nested(objects.items, type_) if nested else _convert_scalars(objects.items, type_)


def _nested_converter(type_: pa.DataType) -> Callable[[list[Any], pa.DataType], pa.Array] | None:
    if pa.types.is_list(type_):
        return _convert_lists
    if pa.types.is_map(type_):
        return _convert_maps
    return _convert_structs if pa.types.is_struct(type_) else None


def _convert_form(form: Form, type_: pa.DataType) -> pa.Array:
    return convert_vector(form, type_) if isinstance(form, Vector) else convert_objects(form, type_)


def _convert_scalars(items: list[Any], type_: pa.DataType) -> pa.Array:
    classes = set(map(type, items))
    if len(classes) == 1 and classes < _NUMPY_NUMBERS:
        return convert_vector(Vector(np.array(items)), type_)
    if classes <= {EXACT_CLASS.get(type_), type(None)}:
        try:
            return pa.array(items, type_, from_pandas=False)
        except (pa.ArrowException, OverflowError, UnicodeError):
            pass  # the loop below finds the value that does not fit
    return _convert_one_by_one(items, type_)


def _convert_one_by_one(items: list[Any], type_: pa.DataType) -> pa.Array:
    clean = scalars.cleaner_for(type_)
    if clean is None:
        raise Refusal("a column type that Spark does not have", advice="Declare a Spark type in output.schema.")
    cleaned = []
    for index, item in enumerate(items):
        try:
            cleaned.append(None if is_missing(item) else clean(item, type_))
        except Refusal as refusal:
            if value_type(item) == value_types.OTHER:
                raise Refusal(refusal.got, advice=advice_for(item), position=index) from None
            raise refusal.at(index) from None
    return pa.array(cleaned, scalars.storage_type(type_), from_pandas=False).cast(type_)


@dataclass
class ListOffsets:
    """The offsets of a nested column, which show which child values belong to each element.

    Attributes:
        offsets: element ``i`` has the children ``offsets[i]`` to ``offsets[i + 1] - 1``.
        hidden: a flag for each element, which is True if the element is NULL.
    """

    offsets: list[int] = field(default_factory=lambda: [0])
    hidden: list[bool] = field(default_factory=list)

    def add(self, length: int | None) -> None:
        """Append an element with ``length`` child values, or a NULL if ``length`` is None."""
        self.hidden.append(length is None)
        self.offsets.append(self.offsets[-1] + (length or 0))

    def owner(self, child: int) -> int:
        """Return the index of the element that contains the child value at the index ``child``."""
        return int(np.searchsorted(self.offsets, child, side="right")) - 1

    def to_arrow(self) -> tuple[pa.Array, pa.Array | None]:
        """Return the offsets and the NULL mask as Arrow arrays. The mask is None if no element is NULL."""
        return pa.array(self.offsets, pa.int32()), pa.array(self.hidden, pa.bool_()) if any(self.hidden) else None


def convert_children(list_offsets: ListOffsets, children: Form, type_: pa.DataType) -> pa.Array:
    """Convert a nested column's flattened child values to an Arrow array.

    Raises:
        Refusal: a child cannot be converted exactly. The position in the `Refusal` is that of the element that contains
            the child.
    """
    try:
        return _convert_form(children, type_)
    except Refusal as refusal:
        raise refusal.at(list_offsets.owner(refusal.position)) from None


def _convert_lists(items: list[Any], type_: pa.DataType) -> pa.Array:
    list_offsets = ListOffsets()
    for index, item in enumerate(items):
        if is_missing(item):
            list_offsets.add(None)
        elif value_type(item) == value_types.ARRAY:
            list_offsets.add(len(item))
        else:
            advice = advice_for(item) if value_type(item) == value_types.OTHER else DECLARE
            raise Refusal(describe(item), advice=advice, position=index)
    flat = flatten([item for item in items if not is_missing(item)])
    children = convert_children(list_offsets, flat, type_.value_type)
    offsets, mask = list_offsets.to_arrow()
    return pa.ListArray.from_arrays(offsets, children, type=type_, mask=mask)


def flatten(arrays: list[Any]) -> Form:
    """Concatenate lists and arrays (for example the values of a list column) into one column of their elements.

    If ``arrays`` contains only plain NumPy arrays with the same dtype and the same element shape, the result is that of
    `open_numpy` for the concatenated array. Otherwise, the result is `Objects`.
    """
    if arrays and all(type(array) is np.ndarray for array in arrays):
        shapes = {(array.dtype, array.shape[1:]) for array in arrays}
        if len(shapes) == 1:
            return open_numpy(np.concatenate(arrays))
    return Objects([child for array in arrays for child in array])


def _convert_maps(items: list[Any], type_: pa.DataType) -> pa.Array:
    list_offsets = ListOffsets()
    for index, item in enumerate(items):
        list_offsets.add(None if is_missing(item) else len(_dict_at(index, item)))
    maps = [item for item in items if not is_missing(item)]
    keys = [key for item in maps for key in item]
    for child, key in enumerate(keys):
        if is_missing(key):
            owner = list_offsets.owner(child)
            raise Refusal("NULL as a map key", expected="a value", advice="Leave the entry out.", position=owner)
    values = [value for item in maps for value in item.values()]
    key_array = convert_children(list_offsets, Objects(keys), type_.key_type)
    value_array = convert_children(list_offsets, Objects(values), type_.item_type)
    offsets, mask = list_offsets.to_arrow()
    return pa.MapArray.from_arrays(offsets, key_array, value_array, type=type_, mask=mask)


def _convert_structs(items: list[Any], type_: pa.DataType) -> pa.Array:
    fields = [type_.field(index) for index in range(type_.num_fields)]
    wanted = {field.name for field in fields}
    for index, item in enumerate(items):
        if not is_missing(item) and _dict_at(index, item).keys() != wanted:
            raise Refusal(
                f"a dict {keys_difference(item, wanted)}",
                expected=f"the keys {names(wanted)}",
                advice="Return exactly the fields of the struct, with None for a missing value.",
                position=index,
            )
    hidden = [is_missing(item) for item in items]
    children = [
        _convert_form(Objects([None if is_missing(item) else item[field.name] for item in items]), field.type)
        for field in fields
    ]
    return pa.StructArray.from_arrays(children, fields=fields, mask=pa.array(hidden, pa.bool_()))


def keys_difference(found: dict[Any, Any], wanted: set[str]) -> str:
    """Return a phrase for error messages that lists a dictionary's missing and unexpected keys.

    The phrase lists at most five missing and five unexpected keys. For a key that is not a string, it shows only the
    key's class.
    """
    texts = {key if isinstance(key, str) else class_name(key) for key in found}
    lacking, extra = wanted - found.keys(), texts - wanted
    parts = [f"without {names(lacking)}"] if lacking else []
    return " and ".join([*parts, f"with {names(extra)}"] if extra else parts)


def _dict_at(index: int, item: Any) -> dict[Any, Any]:
    if not isinstance(item, dict):
        raise Refusal(describe(item), position=index)
    return item
