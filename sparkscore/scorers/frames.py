"""Hand rows to the user's code as a pandas DataFrame, exactly or not at all (worker)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.errors import SourceSchemaError


@dataclass(frozen=True)
class HandedOver:
    """A DataFrame that user code got and may have changed, and the rows that it was made of.

    Attributes:
        frame: the DataFrame, as it is now.
        rows: the rows as they were.
        columns: the names of its columns as they were, to see at once whether they are still the same.
        before: a DataFrame with the Python objects that the columns of texts and days had; None where there are none.
    """

    frame: pd.DataFrame
    rows: pa.Table
    columns: pd.Index[Any] | None = None
    before: pd.DataFrame | None = None


def hand_over(rows: pa.Table, *, arrow_dtypes: bool = False) -> HandedOver:
    """Make a DataFrame as `to_pandas` does, and keep what tells later whether its rows were moved."""
    frame, before = _make(rows, arrow_dtypes=arrow_dtypes)
    return HandedOver(frame, rows, frame.columns, before if np.dtype(object) in set(before.dtypes) else None)


def to_pandas(rows: pa.Table, *, arrow_dtypes: bool) -> pd.DataFrame:
    """Make a DataFrame with a fresh RangeIndex that the user's code may change as it likes.

    NumPy dtypes are those of ``pyarrow.Table.to_pandas()``: an integer column with NULLs becomes float64.

    Raises:
        SourceSchemaError: an integer column with NULLs holds a value that float64 cannot hold exactly.
    """
    return _make(rows, arrow_dtypes=arrow_dtypes)[0]


def _make(rows: pa.Table, *, arrow_dtypes: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a DataFrame for the user's code, and another one with the same Python objects, where it has any."""
    plain = rows.replace_schema_metadata(None)
    if arrow_dtypes:
        frame: pd.DataFrame = plain.to_pandas(types_mapper=pd.ArrowDtype)
        return frame, frame.iloc[:, :0]
    for name, column in zip(plain.column_names, plain.columns, strict=True):
        _refuse_inexact_integers(name, column)
    made: pd.DataFrame = plain.to_pandas()
    # A column without NULLs can be a read-only view of Arrow's memory, in which scripts could not assign.
    return made.copy(), made


def _parts_of(column: pa.Array | pa.ChunkedArray) -> list[pa.Array | pa.ChunkedArray]:
    """Give the values inside lists, structs and maps, which pyarrow makes NumPy arrays of as well."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return [pc.list_flatten(column)]
    if pa.types.is_struct(column.type):
        return list(column.flatten())
    if pa.types.is_map(column.type):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return [part for chunk in chunks for part in (chunk.keys, chunk.items)]
    return []


def _refuse_inexact_integers(name: str, column: pa.Array | pa.ChunkedArray) -> None:
    for part in _parts_of(column):
        _refuse_inexact_integers(name, part)
    if pa.types.is_integer(column.type) and column.null_count:
        try:
            column.cast(pa.float64(), safe=True)
        except pa.ArrowInvalid:
            raise SourceSchemaError(
                code="INPUT_INEXACT",
                what=f"input column '{name}'",
                got="integers beside NULLs that float64 cannot hold exactly",
                expected="values within 2^53, or no NULLs",
                next_step="Set 'input.dtypes: arrow' to hand over Arrow-backed columns.",
            ) from None
