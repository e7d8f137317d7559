"""Write values of a query's result as text or JSON, so that none is rounded or shortened. Runs on the driver."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa

Texts = list[str | None]


def can_write(type_: pa.DataType) -> bool:
    """Return whether `texts` and `json_texts` can write values of this type.

    Intervals and times of day are among those that they cannot write.
    """
    if pa.types.is_map(type_):
        return can_write(type_.key_type) and can_write(type_.item_type)
    if _is_list(type_):
        return can_write(type_.value_type)
    if pa.types.is_struct(type_):
        return len({field.name for field in type_}) == type_.num_fields and all(
            can_write(field.type) for field in type_
        )
    return _writer(type_) is not None


def texts(array: pa.Array) -> Texts:
    """Return each value as text, and None for NULL. Lists, maps and structs are written as JSON.

    Raises:
        UnicodeDecodeError: a string is not UTF-8, which Spark allows.
    """
    return json_texts(array) if _is_nested(array.type) else _plain(array)


def json_texts(array: pa.Array) -> Texts:
    """Return each value as JSON, and None for NULL.

    Numbers have all their digits, also those that a double could not hold. What JSON has no notation for is a string:
    decimals, NaN, infinities, times, and bytes (in Base64). A map whose keys are no strings is a list of objects with
    ``key`` and ``value``.

    Raises:
        UnicodeDecodeError: a string is not UTF-8, which Spark allows.
    """
    type_ = array.type
    if pa.types.is_struct(type_):
        return _objects(array)
    if pa.types.is_map(type_):
        return _maps(array)
    if _is_list(type_):
        return _entries(array, json_texts(_children(array, array.values)), "[]")
    found = _plain(array)
    if pa.types.is_boolean(type_) or pa.types.is_integer(type_):
        return found
    if pa.types.is_floating(type_):
        return [text if text is None or text[-1].isdigit() else f'"{text}"' for text in found]
    return [None if text is None else quoted(text) for text in found]


def quoted(text: str) -> str:
    """Return a JSON string. Letters of all languages stay as they are."""
    return json.dumps(text, ensure_ascii=False)


def _plain(array: pa.Array) -> Texts:
    write = _writer(array.type)
    if write is None:
        raise TypeError(f"values of Arrow type {array.type} cannot be written")
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    return [None if value is None else write(value) for value in array.to_pylist()]


def _writer(type_: pa.DataType) -> Callable[[Any], str] | None:
    """Return the function that writes a value, or None. It gets dates and times as integers."""
    if pa.types.is_timestamp(type_) and type_.unit == "us":
        return _instant if type_.tz else _date_time
    found = (write for is_one, write in _WRITERS if is_one(type_))
    return next(found, None)


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else _not_finite(value)


def _narrow_float(value: float) -> str:
    # The shortest digits that are this float, not those of the double that equals it.
    return str(np.float32(value)) if math.isfinite(value) else _not_finite(value)


def _not_finite(value: float) -> str:
    """Return NaN or an infinity as Spark spells it."""
    return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"


def _date(days: int) -> str:
    # Python's own dates end with the year 9999, and Spark's do not.
    return str(np.datetime64(days, "D"))


def _date_time(microseconds: int) -> str:
    return str(np.datetime64(microseconds, "us")).removesuffix(".000000")


def _instant(microseconds: int) -> str:
    return f"{_date_time(microseconds)}Z"


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


_WRITERS: Final[tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], str]], ...]] = (
    (pa.types.is_null, str),
    (pa.types.is_boolean, lambda value: str(value).lower()),
    (pa.types.is_integer, str),
    (pa.types.is_float64, _float),
    (pa.types.is_float32, _narrow_float),
    (pa.types.is_decimal, lambda value: format(value, "f")),
    (lambda type_: pa.types.is_string(type_) or pa.types.is_large_string(type_), str),
    (lambda type_: pa.types.is_binary(type_) or pa.types.is_large_binary(type_), _bytes),
    (pa.types.is_date32, _date),
)


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_))


def _is_nested(type_: pa.DataType) -> bool:
    return bool(pa.types.is_nested(type_))


def _children(array: pa.Array, values: pa.Array) -> pa.Array:
    """Return those of the values that belong to this list or map array, which may be a slice of another array."""
    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    return values.slice(first, last - first)


def _entries(array: pa.Array, entries: Texts, brackets: str) -> Texts:
    """Return each list as the texts of its entries between brackets."""
    offsets = array.offsets.to_pylist()
    shown = ["null" if entry is None else entry for entry in entries]
    bounds = zip(offsets, offsets[1:], array.is_valid().to_pylist(), strict=False)
    return [
        brackets[0] + ",".join(shown[start - offsets[0] : end - offsets[0]]) + brackets[1] if is_valid else None
        for start, end, is_valid in bounds
    ]


def _maps(array: pa.Array) -> Texts:
    keys, values = (json_texts(_children(array, each)) for each in (array.keys, array.items))
    pairs = list(zip(keys, ["null" if value is None else value for value in values], strict=True))
    if pa.types.is_string(array.type.key_type) or pa.types.is_large_string(array.type.key_type):
        return _entries(array, [f"{key}:{value}" for key, value in pairs], "{}")
    return _entries(array, [f'{{"key":{key},"value":{value}}}' for key, value in pairs], "[]")


def _objects(array: pa.Array) -> Texts:
    names = [quoted(field.name) for field in array.type]
    columns = [json_texts(each) for each in array.flatten()]
    rows = zip(*columns, strict=True) if columns else [()] * len(array)
    return [
        json_object(names, row) if is_valid else None
        for row, is_valid in zip(rows, array.is_valid().to_pylist(), strict=True)
    ]


def json_object(names: list[str], values: tuple[str | None, ...]) -> str:
    """Return a JSON object from quoted names and the JSON texts of its values."""
    pairs = (f"{name}:{'null' if value is None else value}" for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"
