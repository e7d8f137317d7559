"""Convert rows to a pandas DataFrame for the user's code, without changing a value (worker)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkscore.scorers.dtypes import Dtypes, settle
from sparkscore.scorers.nested import has_null_inside, with_own_numbers

_DEFAULT: Final = Dtypes()


@dataclass(frozen=True)
class HandedOver:
    """A DataFrame that the user's code got and may have changed, and the rows that it was made from.

    Attributes:
        frame: the DataFrame, with the changes of the user's code.
        rows: the original rows, with doubles in the integer columns that are float64 in the DataFrame.
        columns: the original column index of the DataFrame, or None for an MLflow model. It allows a fast check whether
            the user's code has changed the columns.
        before: a DataFrame with the original Python objects, for example strings and dates, or None for an MLflow
            model, or if no column has dtype object.
    """

    frame: pd.DataFrame
    rows: pa.Table
    columns: pd.Index[Any] | None = None
    before: pd.DataFrame | None = None


def hand_over(rows: pa.Table, dtypes: Dtypes = _DEFAULT) -> HandedOver:
    """Convert rows to a DataFrame as `to_pandas` does, and return it together with its original values.

    With the original values, sparkscore can find out later whether the user's code has moved rows of the DataFrame.

    Raises:
        SourceSchemaError: a column cannot be converted; `to_pandas` lists the reasons.
    """
    settled = settle(rows, dtypes)
    frame, before = _make(settled, dtypes)
    return HandedOver(frame, settled, frame.columns, before if np.dtype(object) in set(before.dtypes) else None)


def to_pandas(rows: pa.Table, dtypes: Dtypes = _DEFAULT) -> pd.DataFrame:
    """Convert rows to a DataFrame with the default RangeIndex. The user's code may change the DataFrame.

    The dtypes are those of ``pyarrow.Table.to_pandas()``. A column in ``dtypes.with_null`` gets the dtype for a column
    with a NULL, even if no row has a NULL. If ``dtypes.are_arrow`` is set, all columns are Arrow-backed instead.

    Args:
        rows: the rows.
        dtypes: how the dtypes are chosen; the same for all mini-batches of a run.

    Raises:
        SourceSchemaError: an integer that must become float64 is beyond ±2^53, or an integer or boolean column that is
            not in ``dtypes.with_null`` holds a NULL. No error is raised if the DataFrame is Arrow-backed.
    """
    return _make(settle(rows, dtypes), dtypes)[0]


def _make(settled: pa.Table, dtypes: Dtypes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a DataFrame for the user's code, and a second one that is compared with it after the call.

    The second DataFrame shows whether the user's code changed values. It shares its Python objects with the first, and
    has no columns if the columns of the first are Arrow-backed.

    Args:
        settled: the rows, as `settle` returns them.
        dtypes: how the dtypes are chosen.
    """
    if dtypes.are_arrow:
        frame: pd.DataFrame = settled.to_pandas(types_mapper=pd.ArrowDtype)
        return frame, frame.iloc[:, :0]
    made: pd.DataFrame = settled.to_pandas(integer_object_nulls=True)
    for name, column in zip(settled.column_names, settled.columns, strict=True):
        if pa.types.is_nested(column.type):
            if has_null_inside(column):
                made[name] = with_own_numbers(made[name], column.type)
        elif pa.types.is_boolean(column.type) and name in dtypes.with_null:
            made[name] = made[name].astype(object)
        if dtypes.nan and column.null_count and _is_text_or_boolean(column.type):
            made[name] = _with_nan(made[name], column)
    # A column without NULLs can be a read-only view of Arrow's memory, in which scripts could not assign.
    return made.copy(), made


def _is_text_or_boolean(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_boolean(type_))


def _with_nan(values: pd.Series[Any], column: pa.ChunkedArray) -> pd.Series[Any]:
    filled = values.to_numpy(dtype=object, copy=True)
    filled[column.is_null().to_numpy()] = np.nan
    return pd.Series(filled, dtype=object)
