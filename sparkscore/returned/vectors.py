"""Convert typed NumPy arrays to Arrow arrays of Spark types without changing any value. Runs on the workers.

NOTE: every result owns its memory. ``pa.array`` alone would share the NumPy array's memory, which a scoring script may
overwrite in its next mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sparkscore.returned import scalars
from sparkscore.returned.forms import Vector, first_valid
from sparkscore.returned.refusal import Refusal

Converter = Callable[[Vector, pa.DataType], pa.Array]

_FLOATS: Final[dict[pa.DataType, tuple[np.dtype[Any], int]]] = {
    pa.float32(): (np.dtype(np.float32), 24),
    pa.float64(): (np.dtype(np.float64), 53),
}


def convert_vector(vector: Vector, type_: pa.DataType) -> pa.Array:
    """Convert a typed NumPy array to an Arrow array of a Spark type. The rows of a matrix become lists.

    If all elements of a one-dimensional array are NULL, any dtype is accepted.

    Raises:
        Refusal: an element cannot be converted exactly, or the Spark type does not accept values of the array's dtype.
    """
    if vector.data.ndim > 1:
        return _convert_rows(vector, type_)
    start = first_valid(vector)
    if start is None:
        return pa.nulls(len(vector.data), type_)
    code = vector.data.dtype.kind
    convert = next((convert for codes, fits, convert in _CONVERTERS if code in codes and fits(type_)), None)
    if convert is None or (code == "M" and vector.is_utc != (type_.tz is not None)):
        raise _wrong_type(vector, type_).at(start)
    return convert(vector, type_)


def _convert_rows(vector: Vector, type_: pa.DataType) -> pa.Array:
    rows, width = vector.data.shape[:2]
    if not pa.types.is_list(type_):
        if rows == 0:
            return pa.nulls(0, type_)
        raise Refusal(f"numpy.ndarray of {vector.data.ndim - 1} dimensions")
    flat = vector.data.reshape(rows * width, *vector.data.shape[2:])
    mask = None if vector.mask is None else vector.mask.reshape(flat.shape)
    try:
        children = convert_vector(Vector(flat, mask, vector.is_utc), type_.value_type)
    except Refusal as refusal:
        raise refusal.at(refusal.position // width) from None
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * width, pa.int32()), children, type=type_)


def _booleans(vector: Vector, type_: pa.DataType) -> pa.Array:
    return _owned(vector, vector.data.copy(), type_)


def _integers(vector: Vector, type_: pa.DataType) -> pa.Array:
    bits = scalars.INTEGER_RANGES[type_]
    visible = _visible(vector)
    if int(visible.min()) < -(1 << bits) or int(visible.max()) >= 1 << bits:
        # The numbers are compared as Python integers, because NumPy 1 compares uint64 with negative numbers as floats.
        outside = (not -(1 << bits) <= int(number) < 1 << bits for number in visible)
        raise scalars.out_of_range(_got(vector), bits).at(_position(vector, list(outside)))
    return _owned(vector, vector.data.astype(f"i{(bits + 1) // 8}"), type_)


def _floats(vector: Vector, type_: pa.DataType) -> pa.Array:
    dtype, digits = _FLOATS[type_]
    if vector.data.dtype == dtype:
        return _owned(vector, vector.data.copy(), type_)
    visible = _visible(vector)
    if vector.data.dtype.kind == "f":
        with np.errstate(all="ignore"):
            wrong = (visible.astype(dtype) != visible) & ~np.isnan(visible)
    else:
        wrong = _inexact_integers(visible, dtype, digits)
    if wrong.any():
        raise scalars.inexact(_got(vector), dtype.itemsize * 8).at(_position(vector, wrong))
    return _owned(vector, vector.data.astype(dtype), type_)


def _inexact_integers(visible: npt.NDArray[Any], dtype: np.dtype[Any], digits: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the integers that a float type would round.

    Args:
        visible: the integers, without NULLs.
        dtype: the float type.
        digits: the number of bits of the type's significand. The type holds all integers up to 2**digits exactly.
    """
    wrong = np.zeros(len(visible), bool)
    limit = 1 << digits
    if -limit <= int(visible.min()) and int(visible.max()) <= limit:
        return wrong
    for index, number in enumerate(visible.tolist()):
        wrong[index] = int(dtype.type(number)) != number
    return wrong


def _decimals(vector: Vector, type_: pa.DataType) -> pa.Array:
    hidden = np.zeros(len(vector.data), bool) if vector.mask is None else vector.mask
    cleaned: list[Any] = []
    for index, (number, is_hidden) in enumerate(zip(vector.data.tolist(), hidden.tolist(), strict=True)):
        try:
            cleaned.append(None if is_hidden else scalars.clean_decimal(number, type_))
        except Refusal as refusal:
            raise refusal.at(index) from None
    return pa.array(cleaned, type_)


def _timestamps(vector: Vector, type_: pa.DataType) -> pa.Array:
    hidden = np.isnat(vector.data) if vector.mask is None else np.isnat(vector.data) | vector.mask
    vector = Vector(vector.data, hidden, vector.is_utc)
    visible = _visible(vector)
    bounds = scalars.micros_range(vector.data.dtype)
    if bounds is not None:
        ticks = visible.astype(np.int64)
        _refuse_where(vector, (ticks < bounds[0]) | (ticks > bounds[1]), scalars.outside_years(_got(vector)))
    else:
        _refuse_where(vector, visible.astype("M8[us]") != visible, scalars.finer_than_micros(_got(vector)))
    micros = visible.astype("M8[us]").astype(np.int64)
    outside = (micros < scalars.FIRST_MICROS) | (micros > scalars.LAST_MICROS)
    _refuse_where(vector, outside, scalars.outside_years(_got(vector)))
    filled = np.zeros(len(hidden), np.int64)
    filled[~hidden] = micros
    return pa.array(filled, pa.int64(), mask=hidden).cast(type_)


def _refuse_where(vector: Vector, wrong: npt.NDArray[np.bool_], refusal: Refusal) -> None:
    if wrong.any():
        raise refusal.at(_position(vector, wrong))


def _wrong_type(vector: Vector, type_: pa.DataType) -> Refusal:
    got = _got(vector)
    if vector.data.dtype.kind == "f" and type_ in scalars.INTEGER_RANGES:
        return Refusal(got, advice=scalars.WHOLE_FLOATS)
    if vector.data.dtype.kind == "M":
        zone = "with" if vector.is_utc else "without"
        got = f"{got} {zone} a time zone"
        return scalars.wrong_zone(got) if pa.types.is_timestamp(type_) else Refusal(got)
    return Refusal(got)


def _got(vector: Vector) -> str:
    return str(vector.data.dtype.newbyteorder("="))


def _visible(vector: Vector) -> npt.NDArray[Any]:
    return vector.data if vector.mask is None else vector.data[~vector.mask]


def _position(vector: Vector, wrong: npt.NDArray[np.bool_] | list[bool]) -> int:
    """Return the index of a `Vector`'s first wrong element. The index also counts NULLs.

    Args:
        vector: the `Vector`.
        wrong: a flag for each non-NULL element, which is True if the element is wrong.
    """
    index = int(np.argmax(wrong))
    return index if vector.mask is None else int(np.flatnonzero(~vector.mask)[index])


def _owned(vector: Vector, data: npt.NDArray[Any], type_: pa.DataType) -> pa.Array:
    return pa.array(data, type_, mask=vector.mask, from_pandas=False)


_CONVERTERS: Final[tuple[tuple[str, Callable[[pa.DataType], bool], Converter], ...]] = (
    ("b", pa.types.is_boolean, _booleans),
    ("iu", pa.types.is_signed_integer, _integers),
    ("iuf", _FLOATS.__contains__, _floats),
    ("iu", pa.types.is_decimal128, _decimals),
    ("M", pa.types.is_timestamp, _timestamps),
)
