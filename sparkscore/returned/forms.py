"""Convert a column's values (a list, NumPy array, pandas Series or Arrow array) to one of three forms.

Runs on the workers.

The forms are ``Vector`` (a typed NumPy array, converted as a whole), ``Objects`` (Python values, converted one by one),
and ``pa.Array`` (Arrow values of other types, for example strings, decimals and lists).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.returned.value_types import PLAIN_CLASSES

_VECTOR_DTYPES: Final = "biufM"


@dataclass(frozen=True)
class Vector:
    """A NumPy array of booleans, integers, floats or datetimes, with the column's elements along its first axis.

    Attributes:
        data: the values. Values at masked positions have no meaning.
        mask: an array of the same shape as ``data`` that is True for NULL, or None if nothing is masked. NaT is also
            NULL.
        is_utc: whether the datetimes are instants in UTC. Otherwise they are local times without a time zone.
    """

    data: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_] | None = None
    is_utc: bool = False

    def head(self, count: int) -> Vector:
        """Return the first ``count`` elements as a new `Vector`."""
        return Vector(self.data[:count], None if self.mask is None else self.mask[:count], self.is_utc)


@dataclass(frozen=True)
class Objects:
    """A column of Python values.

    Attributes:
        items: the values.
        is_nan_missing: whether NaN stands for NULL, as in pandas object columns. Even so, NaN stays NaN if the values
            are converted to a float type.
    """

    items: list[Any]
    is_nan_missing: bool = False

    def head(self, count: int) -> Objects:
        """Return the first ``count`` values as a new `Objects`."""
        return Objects(self.items[:count], self.is_nan_missing)


Form: TypeAlias = Vector | Objects | pa.Array


def open_values(values: Any) -> Form:
    """Return a column's values as a `Vector`, `Objects` or Arrow array.

    Args:
        values: a NumPy array, a pandas Series, Index or extension array, an Arrow array, or any other iterable. A
            `Vector` or `Objects` is returned unchanged.
    """
    if isinstance(values, (Vector, Objects)):
        return values
    if isinstance(values, pd.Index):
        values = values.to_series()
    if isinstance(values, (pd.Series, pd.api.extensions.ExtensionArray)):
        return _open_series(pd.Series(values))
    if isinstance(values, np.ndarray):
        return open_numpy(values)
    if isinstance(values, pa.ChunkedArray):
        return open_arrow(pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type))
    if isinstance(values, pa.Array):
        return open_arrow(values)
    return Objects(_list_of(values))


def _list_of(values: Any) -> list[Any]:
    """Return values as a list in which zero-dimensional arrays are replaced with their values.

    For example, calling ``numpy()`` on a PyTorch scalar returns a zero-dimensional array.
    """
    items = list(values)
    if set(map(type, items)) <= PLAIN_CLASSES:
        return items
    return [value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value for value in items]


def head(form: Form, count: int) -> Form:
    """Return the first ``count`` elements of a column, in the same form as the column."""
    return form.head(count) if isinstance(form, (Vector, Objects)) else form.slice(0, count)


def open_numpy(values: npt.NDArray[Any]) -> Vector | Objects:
    """Return an array of booleans, integers, floats or datetimes as a `Vector`, and any other array as `Objects`.

    The masked elements of a masked array become NULL.
    """
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    data = np.asarray(values)
    if data.dtype.kind in _VECTOR_DTYPES:
        return Vector(data, mask)
    items = _list_of(data)
    if mask is None:
        return Objects(items)
    if mask.ndim > 1:
        return Objects([np.ma.MaskedArray(row, hidden) for row, hidden in zip(items, mask, strict=True)])
    return Objects([None if hidden else item for item, hidden in zip(items, mask, strict=True)])


def _open_series(series: pd.Series[Any]) -> Form:
    dtype = series.dtype
    if isinstance(dtype, pd.ArrowDtype):
        return open_values(pa.array(series.array))
    if isinstance(dtype, pd.DatetimeTZDtype):
        return Vector(np.asarray(series.dt.tz_convert("UTC").dt.tz_localize(None)), is_utc=True)
    if isinstance(dtype, pd.SparseDtype):
        return _open_series(pd.Series(np.asarray(series.array)))
    if isinstance(dtype, np.dtype):
        data = series.to_numpy()
        return Objects(_list_of(data), is_nan_missing=True) if dtype.kind == "O" else open_numpy(data)
    return _open_extension(series)


def _open_extension(series: pd.Series[Any]) -> Form:
    """Convert a Series with an extension dtype to a `Vector` or to `Objects`.

    The result is a `Vector` if the dtype has a NumPy equivalent that a `Vector` can hold, as ``Int64`` does.
    """
    hidden = series.isna().to_numpy(dtype=bool)
    numpy_dtype = getattr(series.dtype, "numpy_dtype", None)
    if isinstance(numpy_dtype, np.dtype) and numpy_dtype.kind in _VECTOR_DTYPES:
        return Vector(series.array.to_numpy(dtype=numpy_dtype, na_value=numpy_dtype.type(0)), hidden)
    return Objects([None if is_hidden else item for item, is_hidden in zip(series.array, hidden, strict=True)])


def open_arrow(array: pa.Array) -> Form:
    """Return an Arrow array of integers, floats, booleans or timestamps as a `Vector`, and any other array unchanged.

    Dictionary and run-end encodings are decoded first.
    """
    array = _plain(array)
    type_ = array.type
    if pa.types.is_timestamp(type_):
        ticks = Vector(*_numbers(array.cast(pa.int64())))
        return Vector(ticks.data.view(f"M8[{type_.unit}]"), ticks.mask, is_utc=type_.tz is not None)
    if pa.types.is_boolean(type_) or pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return Vector(*_numbers(array))
    return array


def _plain(array: pa.Array) -> pa.Array:
    """Decode a dictionary-encoded or run-end encoded array, and return any other array unchanged.

    Extension arrays are not converted to their storage arrays, which may have a different meaning.
    """
    if isinstance(array, pa.DictionaryArray):
        return _plain(array.dictionary_decode())
    if isinstance(array, pa.RunEndEncodedArray):
        return _plain(pc.run_end_decode(array))
    return array


def _numbers(array: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    if array.null_count == 0:
        return array.to_numpy(zero_copy_only=False), None
    # NOTE: for an integer array with nulls, to_numpy() returns floats and loses digits, so the nulls are filled first.
    filled = array.fill_null(pa.scalar(0).cast(array.type))
    return filled.to_numpy(zero_copy_only=False), array.is_null().to_numpy(zero_copy_only=False)


def first_valid(vector: Vector) -> int | None:
    """Return the index of the first non-NULL element of a one-dimensional `Vector`, or None if all are NULL."""
    is_time = vector.data.dtype.kind == "M"
    if vector.mask is None and not is_time:
        return 0 if len(vector.data) else None
    hidden = np.zeros(len(vector.data), bool) if vector.mask is None else vector.mask
    if is_time:
        hidden = hidden | np.isnat(vector.data)
    valid = np.flatnonzero(~hidden)
    return int(valid[0]) if valid.size else None
