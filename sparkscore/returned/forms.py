"""Open the containers a column can come in: list, NumPy, pandas, Arrow; runs on workers.

A column has one of three forms: a ``Vector`` (a typed NumPy array, converted as a whole), ``Objects`` (Python values,
looked at one by one), or a ``pa.Array`` (text, bytes, decimals, dates and nested types that came as Arrow).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_VECTOR_KINDS: Final = "biufM"


@dataclass(frozen=True)
class Vector:
    """A NumPy array of booleans, integers, floats or datetimes; its first dimension counts the elements.

    Attributes:
        data: the values; what a masked place holds has no meaning.
        mask: True where the element is NULL, of the shape of ``data``, or None.
        is_utc: the datetimes are instants, not clock readings.
    """

    data: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_] | None = None
    is_utc: bool = False

    def head(self, count: int) -> Vector:
        """Give the first elements."""
        return Vector(self.data[:count], None if self.mask is None else self.mask[:count], self.is_utc)


@dataclass(frozen=True)
class Objects:
    """Python values.

    Attributes:
        items: the values.
        is_nan_missing: a NaN stands for NULL unless the column holds floats (an object column of pandas).
    """

    items: list[Any]
    is_nan_missing: bool = False

    def head(self, count: int) -> Objects:
        """Give the first elements."""
        return Objects(self.items[:count], self.is_nan_missing)


Form: TypeAlias = Vector | Objects | pa.Array


def open_values(values: Any) -> Form:
    """Give the form of a column's values, in any of the containers that hold one."""
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
    """Give the values; an array without a dimension is one, as ``numpy()`` of a PyTorch tensor makes it."""
    return [value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value for value in values]


def head(form: Form, count: int) -> Form:
    """Give the first elements of a form."""
    return form.head(count) if isinstance(form, (Vector, Objects)) else form.slice(0, count)


def open_numpy(values: npt.NDArray[Any]) -> Vector | Objects:
    """Give the form of a NumPy array; a masked array's mask counts."""
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    data = np.asarray(values)
    if data.dtype.kind in _VECTOR_KINDS:
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
    """Open an extension dtype of pandas: nullable numbers and booleans keep their mask, others their missing values."""
    hidden = series.isna().to_numpy(dtype=bool)
    numpy_dtype = getattr(series.dtype, "numpy_dtype", None)
    if isinstance(numpy_dtype, np.dtype) and numpy_dtype.kind in _VECTOR_KINDS:
        return Vector(series.array.to_numpy(dtype=numpy_dtype, na_value=numpy_dtype.type(0)), hidden)
    return Objects([None if is_hidden else item for item, is_hidden in zip(series.array, hidden, strict=True)])


def open_arrow(array: pa.Array) -> Form:
    """Give the form of an Arrow array: numbers, booleans and timestamps as a Vector, the rest as itself."""
    array = _plain(array)
    type_ = array.type
    if pa.types.is_timestamp(type_):
        ticks = Vector(*_numbers(array.cast(pa.int64())))
        return Vector(ticks.data.view(f"M8[{type_.unit}]"), ticks.mask, is_utc=type_.tz is not None)
    if pa.types.is_boolean(type_) or pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return Vector(*_numbers(array))
    return array


def _plain(array: pa.Array) -> pa.Array:
    """Undo encodings: a dictionary, runs. An extension type is none: its storage may mean something else."""
    if isinstance(array, pa.DictionaryArray):
        return _plain(array.dictionary_decode())
    if isinstance(array, pa.RunEndEncodedArray):
        return _plain(pc.run_end_decode(array))
    return array


def _numbers(array: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    if array.null_count == 0:
        return array.to_numpy(zero_copy_only=False), None
    # NOTE: to_numpy() of an integer array with nulls gives floats and loses digits; a filled one keeps them.
    filled = array.fill_null(pa.scalar(0).cast(array.type))
    return filled.to_numpy(zero_copy_only=False), array.is_null().to_numpy(zero_copy_only=False)


def first_valid(vector: Vector) -> int | None:
    """Give the index of the first element, of a Vector of one dimension, that is not NULL."""
    hidden = np.zeros(len(vector.data), bool) if vector.mask is None else vector.mask
    if vector.data.dtype.kind == "M":
        hidden = hidden | np.isnat(vector.data)
    valid = np.flatnonzero(~hidden)
    return int(valid[0]) if valid.size else None
