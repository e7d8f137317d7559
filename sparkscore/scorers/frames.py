"""Convert rows to a pandas DataFrame for the user's code, without changing a value. Runs on the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from sparkscore.scorers.dtypes import Dtypes, settle
from sparkscore.scorers.nested import has_null_inside, with_own_numbers

_DEFAULT: Final = Dtypes()


@dataclass(frozen=True)
class HandedOver:
    """A DataFrame that was passed to the user's code, together with the rows it was made from.

    Attributes:
        frame: the DataFrame, including any changes made by the user's code.
        rows: the original rows. Integer columns that are float64 in the DataFrame contain doubles here as well.
        columns: the DataFrame's original column index, used to check quickly whether the columns have changed. None for
            an MLflow model.
        before: a DataFrame with the original Python objects, for example strings and dates. None for an MLflow model,
            or if no column has dtype object.
    """

    frame: pd.DataFrame
    rows: pa.Table
    columns: pd.Index[Any] | None = None
    before: pd.DataFrame | None = None


def hand_over(rows: pa.Table, dtypes: Dtypes = _DEFAULT) -> HandedOver:
    """Convert rows to a DataFrame like `to_pandas`, and return it together with its original values.

    The original values are used later to detect whether the user's code has reordered the DataFrame's rows.

    Raises:
        SourceSchemaError: a column cannot be converted; `to_pandas` lists the reasons.
    """
    settled = settle(rows, dtypes)
    frame, before = _make(settled, dtypes)
    return HandedOver(frame, settled, frame.columns, before)


def is_copied(type_: pa.DataType) -> bool:
    """Return whether values of a type never share memory with the rows in a DataFrame, unless it is Arrow-backed.

    The arrays in a column of lists are views, and so may be the categories of a dictionary.
    """
    return not (pa.types.is_nested(type_) or pa.types.is_dictionary(type_) or isinstance(type_, pa.BaseExtensionType))


def to_pandas(rows: pa.Table, dtypes: Dtypes = _DEFAULT) -> pd.DataFrame:
    """Convert rows to a writable DataFrame with the default RangeIndex.

    The dtypes are those of ``pyarrow.Table.to_pandas()``, except that each column in ``dtypes.with_null`` gets the
    dtype of a column with NULLs, even if these rows contain none. If ``dtypes.are_arrow`` is set, all columns are
    Arrow-backed instead.

    Args:
        rows: the rows.
        dtypes: dtype options, which are the same for all mini-batches of a run.

    Raises:
        SourceSchemaError: an integer that must become float64 is beyond ±2^53, or an integer or boolean column that is
            not in ``dtypes.with_null`` contains a NULL. Arrow-backed DataFrames never raise this error.
    """
    return _make(settle(rows, dtypes), dtypes)[0]


def to_matrix(rows: pa.Table) -> npt.NDArray[Any] | None:
    """Return floats as a writable matrix, with the values and the memory layout of ``to_pandas(rows).to_numpy()``.

    The layout matters, because it determines the order in which libraries add up numbers.

    Args:
        rows: the rows. NULL becomes NaN.

    Returns:
        the matrix, of shape (rows, columns) and in column-major order. None unless all columns are doubles or all are
        single-precision floats, since pandas would have to convert them.
    """
    types = set(rows.schema.types)
    if types not in ({pa.float32()}, {pa.float64()}):
        return None
    matrix = np.empty((rows.num_columns, rows.num_rows), types.pop().to_pandas_dtype())
    for values, column in zip(matrix, rows.columns, strict=True):
        values[:] = column.to_numpy()
    return matrix.T


def to_row_matrix(rows: pa.Table) -> npt.NDArray[Any] | None:
    """Return floats as a matrix, of shape (rows, columns) and in row-major order, without pandas.

    Args:
        rows: the rows. NULL becomes NaN.

    Returns:
        the matrix, in double precision if any column is in double precision. It may be a read-only view of Arrow's
        memory. None if a column is neither a double nor a single-precision float, or if the rows cannot be in one
        record batch.
    """
    if not rows.num_columns or set(rows.schema.types) - {pa.float32(), pa.float64()}:
        return None
    batches = rows.combine_chunks().to_batches()
    if len(batches) != 1:
        return None
    return np.asarray(batches[0].to_tensor(null_to_nan=True, row_major=True).to_numpy())


def _make(settled: pa.Table, dtypes: Dtypes) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return a DataFrame for the user's code, and another one with the same Python objects (None if it has no objects).

    Args:
        settled: the rows, as returned by `settle`.
        dtypes: dtype options.
    """
    if dtypes.are_arrow:
        frame: pd.DataFrame = settled.to_pandas(types_mapper=pd.ArrowDtype, use_threads=False)
        return frame, None
    # A task has one core. To hand the columns to another thread and to wait for it takes longer than to convert them.
    made: pd.DataFrame = settled.to_pandas(integer_object_nulls=True, use_threads=False)
    for name, column in zip(settled.column_names, settled.columns, strict=True):
        if pa.types.is_nested(column.type):
            if has_null_inside(column):
                made[name] = with_own_numbers(made[name], column.type)
        elif pa.types.is_boolean(column.type) and name in dtypes.with_null:
            made[name] = made[name].astype(object)
        if dtypes.nan and column.null_count and _is_text_or_boolean(column.type):
            made[name] = _with_nan(made[name], column)
    arrays = _arrays_of(made)
    has_objects = any(array.dtype == object for array in arrays)
    # A column without NULLs can be a read-only view of Arrow's memory, to which a script could not assign values.
    is_own = all(isinstance(array, np.ndarray) and array.flags.writeable for array in arrays)
    return made.copy() if has_objects or not is_own else made, made if has_objects else None


def _arrays_of(frame: pd.DataFrame) -> list[Any]:
    """Return the arrays that hold the values of a DataFrame, each with one or more columns.

    pandas has no public way to get the arrays of several columns, and a later version may not have them. The arrays of
    single columns do as well, but to check them takes longer than scoring a small mini-batch.
    """
    blocks = getattr(getattr(frame, "_mgr", None), "blocks", None)
    if blocks is not None:
        return [block.values for block in blocks]  # noqa: PD011
    arrays = (column.array for _, column in frame.items())
    return [each.to_numpy() if isinstance(each, pd.arrays.NumpyExtensionArray) else each for each in arrays]


def _is_text_or_boolean(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_boolean(type_))


def _with_nan(values: pd.Series[Any], column: pa.ChunkedArray) -> pd.Series[Any]:
    filled = values.to_numpy(dtype=object, copy=True)
    filled[column.is_null().to_numpy()] = np.nan
    return pd.Series(filled, dtype=object)
