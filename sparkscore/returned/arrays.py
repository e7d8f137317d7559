"""Convert Arrow arrays to Spark types without changing any value. Runs on the workers."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sparkscore.returned.forms import Objects, Vector, open_arrow
from sparkscore.returned.objects import convert_objects
from sparkscore.returned.refusal import Refusal
from sparkscore.returned.scalars import outside_years
from sparkscore.returned.vectors import convert_vector

_DAY_MS: Final = 86_400_000
_FIRST_DAY: Final = (dt.date.min - dt.date(1970, 1, 1)).days
_LAST_DAY: Final = (dt.date.max - dt.date(1970, 1, 1)).days


def convert_array(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Convert an Arrow array of strings, bytes, decimals, dates or nested values to a Spark type.

    If all elements are NULL, any array type is accepted.

    Raises:
        Refusal: an element cannot be converted exactly, or the Spark type does not accept values of the array's type.
    """
    start = _first_valid(array)
    if start is None:
        return pa.nulls(len(array), type_)
    convert = next((convert for fits, convert in _CONVERTERS if fits(array.type) and fits(type_)), None)
    if convert is None:
        raise Refusal(f"Arrow {array.type}", position=start)
    return convert(array, type_)


def _first_valid(array: pa.Array) -> int | None:
    valid = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
    return int(valid[0]) if valid.size else None


def _text(array: pa.Array, type_: pa.DataType) -> pa.Array:
    try:
        converted = array.cast(type_)
        converted.validate(full=True)
    except pa.ArrowInvalid:
        position = next((index for index in range(len(array)) if not _is_utf8(array[index])), None)
        if position is None:
            raise _too_large(array) from None
        raise Refusal(
            f"Arrow {array.type} that is not UTF-8", advice="Declare the column as binary.", position=position
        ) from None
    return converted


def _is_utf8(scalar: pa.Scalar) -> bool:
    try:
        scalar.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _bytes(array: pa.Array, type_: pa.DataType) -> pa.Array:
    try:
        return array.cast(type_)
    except pa.ArrowInvalid:
        raise _too_large(array) from None


def _too_large(array: pa.Array) -> Refusal:
    """Return the error for strings or bytes that are too large for an Arrow array with 32-bit offsets."""
    return Refusal(
        f"Arrow {array.type} of more than 2 GiB",
        expected="at most 2 GiB in one mini-batch",
        advice="Make 'settings.mini_batch_size' smaller.",
    )


def _decimals(array: pa.Array, type_: pa.DataType) -> pa.Array:
    try:
        return array.cast(type_)
    except pa.ArrowInvalid:
        return convert_objects(Objects(array.to_pylist()), type_)


def _dates(array: pa.Array, type_: pa.DataType) -> pa.Array:
    is_days = pa.types.is_date32(array.type)
    hidden = array.is_null().to_numpy(zero_copy_only=False)
    ticks = array.cast(pa.int32() if is_days else pa.int64()).fill_null(0).to_numpy().astype(np.int64)
    days, rest = (ticks, np.zeros_like(ticks)) if is_days else np.divmod(ticks, _DAY_MS)
    if rest.any():
        raise Refusal("Arrow date64 with a time of day", position=int(np.argmax(rest != 0)))
    outside = (days < _FIRST_DAY) | (days > _LAST_DAY)
    if outside.any():
        raise outside_years(f"Arrow {array.type}").at(int(np.argmax(outside)))
    return pa.array(days.astype(np.int32), pa.int32(), mask=hidden).cast(type_)


def _lists(array: pa.Array, type_: pa.DataType) -> pa.Array:
    # NOTE: the array is not cast to a list, because PyArrow 26 loses the values of a list_view that ends with an empty
    # list.
    offsets = np.concatenate([[0], np.cumsum(_lengths(array))])
    try:
        children = convert_arrow(array.flatten(), type_.value_type)
    except Refusal as refusal:
        owner = int(np.searchsorted(offsets, refusal.position, side="right")) - 1
        raise refusal.at(owner) from None
    mask = array.is_null() if array.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), children, type=type_, mask=mask)


def _lengths(array: pa.Array) -> npt.NDArray[np.int64]:
    if pa.types.is_fixed_size_list(array.type):
        return np.where(array.is_valid().to_numpy(zero_copy_only=False), array.type.list_size, 0)
    return np.asarray(array.value_lengths().fill_null(0), np.int64)


def _structs(array: pa.Array, type_: pa.DataType) -> pa.Array:
    fields = [type_.field(index) for index in range(type_.num_fields)]
    found = [field.name for field in array.type]
    if sorted(found) != sorted(field.name for field in fields):
        raise Refusal(f"Arrow {array.type}", position=_first_valid(array) or 0)
    flat = dict(zip(found, array.flatten(), strict=True))
    children = [convert_arrow(flat[field.name], field.type) for field in fields]
    return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())


def _maps(array: pa.Array, type_: pa.DataType) -> pa.Array:
    items: list[Any] = []
    for index in range(len(array)):
        try:
            entry = array[index].as_py()
            items.append(None if entry is None else dict(entry))
        except (ValueError, OverflowError, TypeError):
            raise Refusal(f"Arrow {array.type} that Python cannot read", position=index) from None
        if entry is not None and len(items[-1]) != len(entry):
            raise Refusal("a map with the same key twice", position=index)
    return convert_objects(Objects(items), type_)


def convert_arrow(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Convert an Arrow array of any type to a Spark type.

    Raises:
        Refusal: an element cannot be converted exactly, or the Spark type does not accept values of the array's type.
    """
    form = open_arrow(array)
    return convert_vector(form, type_) if isinstance(form, Vector) else convert_array(form, type_)


def is_text(type_: pa.DataType) -> bool:
    """Return whether a type is one of Arrow's string types."""
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def is_bytes(type_: pa.DataType) -> bool:
    """Return whether a type is one of Arrow's binary types."""
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(type_) for test in tests)


def is_any_list(type_: pa.DataType) -> bool:
    """Return whether a type is one of Arrow's list types, including list views."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    return any(test(type_) for test in (*tests, pa.types.is_large_list_view))


_CONVERTERS: Final = (
    (is_text, _text),
    (is_bytes, _bytes),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_date, _dates),
    (is_any_list, _lists),
    (pa.types.is_struct, _structs),
    (pa.types.is_map, _maps),
)
