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
    """A DataFrame that user code got and may have changed, and the rows that it was made from.

    Attributes:
        frame: the DataFrame, as it is now.
        rows: the original rows, with doubles in the integer columns that are float64 in the DataFrame.
        columns: the original column names, to check quickly whether they are still the same.
        before: a DataFrame with the original Python objects of the columns of texts and days; None if there are none.
    """

    frame: pd.DataFrame
    rows: pa.Table
    columns: pd.Index[Any] | None = None
    before: pd.DataFrame | None = None


def hand_over(rows: pa.Table, dtypes: Dtypes = _DEFAULT) -> HandedOver:
    """Convert rows as `to_pandas` does, and keep what is needed to check later whether user code moved its rows."""
    settled = settle(rows, dtypes)
    frame, before = _make(settled, dtypes)
    return HandedOver(frame, settled, frame.columns, before if np.dtype(object) in set(before.dtypes) else None)


def to_pandas(rows: pa.Table, dtypes: Dtypes = _DEFAULT) -> pd.DataFrame:
    """Convert rows to a DataFrame with a new RangeIndex, which the user's code may change.

    The dtypes are those that ``pyarrow.Table.to_pandas()`` chooses for a table in which each column of
    ``dtypes.with_null`` holds a NULL, even if these rows have none.

    Raises:
        SourceSchemaError: float64 cannot hold an integer exactly, or a column holds a NULL that was not expected.
    """
    return _make(settle(rows, dtypes), dtypes)[0]


def _make(settled: pa.Table, dtypes: Dtypes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a DataFrame for the user's code, and a second one that holds the same Python objects."""
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
