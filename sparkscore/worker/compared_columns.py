"""Compare DataFrame columns before and after a call to the user's code.

Runs on the workers, also in child processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pandas.arrays import DatetimeArray, TimedeltaArray

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

# How many values are compared first. Most changed columns differ in one of these.
_FIRST: Final = 64


@dataclass(frozen=True)
class Pair:
    """A column before and after a call to the user's code.

    Attributes:
        was: values before the call.
        now: values after the call, as a NumPy or pandas array.
        objects: the column's Python objects before the call, or None if it had none or they were not kept.
    """

    was: pa.ChunkedArray
    now: Any
    objects: npt.NDArray[Any] | None


def compare_bits(pair: Pair) -> tuple[bool, Numbers | None]:
    """Compare the bits of a column's values, or its object references, before and after the user's code ran.

    Returns:
        a pair: whether new values were found in the column, and the bits of each value as an integer. The second
        element is None if any bits changed or cannot be compared.
    """
    if _has_lost_nan(pair):
        return True, None
    before, after = _raw(pair)
    if before is None or after is None or before.dtype != after.dtype:
        return False, None
    bits, bits_now = _bits(before), _bits(after)
    if pa.py_buffer(bits).equals(pa.py_buffer(bits_now)):
        return False, bits.astype(np.uint64, copy=False)
    first = slice(_FIRST)
    changed = after[first][bits[first] != bits_now[first]]
    return pair.objects is None and _has_new_value(before, changed), None


def _has_lost_nan(pair: Pair) -> bool:
    """Return whether a float column has fewer NaNs than it had NULLs before the user's code ran.

    The user's code gets each NULL of such a column as NaN. The code may replace the NaNs, for example with
    ``fillna``.
    """
    now = pair.now
    if not pair.was.null_count or not isinstance(now, np.ndarray) or now.dtype.kind != "f":
        return False
    return bool(_count_nan(now) < pair.was.null_count)


def _has_new_value(before: npt.NDArray[Any], changed: npt.NDArray[Any]) -> bool:
    """Return whether the changed values include one that the column did not contain before the user's code ran.

    To save time, only the smallest and the largest changed value are looked up, so new values in between are missed.
    The result is also False if there are no changed values, or if any of them is NaN.

    Args:
        before: the column's values before the user's code ran.
        changed: some of the values that the user's code changed.
    """
    if not len(changed) or (changed.dtype.kind in "fMm" and np.isnan(changed).any()):  # NaN is not equal to itself
        return False
    return not all(bool((before == value).any()) for value in (changed.max(), changed.min()))


def _raw(pair: Pair) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Return a column's values before and after the user's code ran, as two arrays that can be compared bit by bit.

    For Python objects, the arrays contain the object references. Return ``(None, None)`` if the column's type cannot be
    compared bit by bit.
    """
    now = pair.now
    if pair.objects is not None:
        is_object = isinstance(now, np.ndarray) and now.dtype == object
        return (_addresses(pair.objects), _addresses(now)) if is_object else (None, None)
    if isinstance(now, (DatetimeArray, TimedeltaArray)):  # times in UTC, whatever the time zone
        code = "M8" if isinstance(now, DatetimeArray) else "m8"
        return _array_of(pair.was), pair.now.asi8.view(f"{code}[{now.unit}]")
    return (_array_of(pair.was), now) if isinstance(now, np.ndarray) and now.dtype.kind in "iufb" else (None, None)


def _array_of(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    # A single chunk can often be converted without copying its values.
    is_whole = column.num_chunks == 1
    array: npt.NDArray[Any] = column.chunk(0).to_numpy(zero_copy_only=False) if is_whole else column.to_numpy()
    return array


class _References:
    """A wrapper through which NumPy reads the references in an array of Python objects as integers."""

    def __init__(self, objects: npt.NDArray[Any]) -> None:
        self._objects = objects
        shown = objects.__array_interface__
        self.__array_interface__ = {**shown, "typestr": np.dtype(np.uintp).str, "descr": [("", np.dtype(np.uintp).str)]}


def _addresses(objects: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the memory address of each object in an array."""
    return np.asarray(_References(objects))


def has_other_numbers(pair: Pair) -> bool:
    """Return whether the user's code changed the minimum, maximum or NaN count of a numeric column."""
    if not (pa.types.is_integer(pair.was.type) or pa.types.is_floating(pair.was.type)) or not len(pair.was):
        return False
    if not isinstance(pair.now, np.ndarray) or pair.now.dtype.kind not in "iuf":
        return False
    before, after = _array_of(pair.was), pair.now
    # `fmin` and `fmax` ignore NaN.
    measures = (np.fmin.reduce, np.fmax.reduce, _count_nan)
    found = ((measure(before), measure(after)) for measure in measures)
    return any(was != now and not (np.isnan(was) and np.isnan(now)) for was, now in found)


def _count_nan(values: npt.NDArray[Any]) -> int:
    return int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0


def numbers_if_same(pair: Pair) -> Numbers | None:
    """Encode the values of an unchanged column as integers, so that equal values have equal integers.

    All values of a nested type are encoded as 0. Return None if the column has changed, or cannot be compared.
    """
    before, after = without_nan(pair.was), to_arrow(pair.now, pair.was.type)
    if after is None or not after.equals(before):
        return None
    if pa.types.is_nested(pair.was.type):
        return np.zeros(len(pair.was), np.uint64)
    return number_values(before)[0].astype(np.uint64)


def _bits(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def to_arrow(values: Any, type_: pa.DataType) -> pa.ChunkedArray | None:
    """Convert values to an Arrow array of this type, with NULL for NaN. Return None if Arrow cannot convert them."""
    try:
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(values.dtype.categories.dtype)
        array = pa.array(pd.Series(values), type=type_, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None
    return without_nan(array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array]))


def without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column with at most one chunk and, if it contains floats, with NULL instead of NaN.

    NaN is replaced because pandas does not distinguish it from NULL in float columns.
    """
    if pa.types.is_floating(column.type):
        return pa.chunked_array([pa.array(column.to_numpy(), type=column.type, from_pandas=True)])
    if column.num_chunks == 1:
        return column
    return pa.chunked_array([pa.concat_arrays(column.chunks)] if column.chunks else [], type=column.type)


def number_values(column: pa.Array | pa.ChunkedArray) -> tuple[Codes, pa.Array]:
    """Dictionary-encode a column, and return the index of each value along with the array of distinct values."""
    whole = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    encoded = whole.dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary
