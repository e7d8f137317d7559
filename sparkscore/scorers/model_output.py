"""Convert what a model's library returned to the types that `sparkscore.returned.tabulate` reads (worker)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sparkscore.returned import NamedColumns
from sparkscore.returned.shapes import are_positions
from sparkscore.scorers.estimators import outputs_of_estimator


def plain_output(returned: Any, *, is_of_estimator: bool = False) -> Any:
    """Convert the return value of a model's method to values, arrays, lists or named columns.

    - The columns of a DataFrame keep their names. Unnamed ones (0, 1 and so on) become ``c0``, ``c1``; a single unnamed
      column becomes plain values.
    - A dictionary of arrays becomes a column per key.
    - A sparse matrix becomes dense, and pydantic objects become dictionaries.
    - A list of matrices becomes a column per matrix if an estimator returned it; otherwise its elements are rows.
    """
    outputs = outputs_of_estimator(returned) if is_of_estimator else None
    if outputs is not None:
        return NamedColumns(outputs)
    if isinstance(returned, Iterator):
        returned = list(returned)
    if isinstance(returned, pd.DataFrame):
        return _columns_of_frame(returned)
    if isinstance(returned, Mapping):
        return NamedColumns({str(name): _values(values) for name, values in returned.items()}, _labels_of(returned))
    return _values(returned)


def named_outputs(returned: Mapping[str, Any], *, is_of_estimator: bool = False) -> NamedColumns:
    """Return one column for each of several methods; a method that returned several columns gives structs."""
    columns = {
        name: _one_column(plain_output(values, is_of_estimator=is_of_estimator)) for name, values in returned.items()
    }
    return NamedColumns(columns, _labels_of(returned))


def _labels_of(returned: Mapping[Any, Any]) -> pd.Index[Any] | None:
    """Return the first index of the outputs that is not a plain range from 0, or None if there is none."""
    found = [values.index for values in returned.values() if isinstance(values, (pd.Series, pd.DataFrame))]
    return next((labels for labels in found if not labels.equals(pd.RangeIndex(len(labels)))), None)


def _columns_of_frame(frame: pd.DataFrame) -> Any:
    if not frame.columns.is_unique:
        return frame.reset_index(drop=True)  # `tabulate` refuses it and names the columns
    columns = [frame.iloc[:, position] for position in range(frame.shape[1])]
    names: list[Any] = list(frame.columns)
    if len(columns) == 1 and isinstance(names[0], (int, np.integer)):
        return columns[0]
    if not are_positions(names):  # other numbers are names, for example those of classes
        return NamedColumns({str(name): column for name, column in zip(names, columns, strict=True)}, frame.index)
    return NamedColumns({f"c{position}": column for position, column in enumerate(columns)}, frame.index)


def _one_column(returned: Any) -> Any:
    if not isinstance(returned, NamedColumns):
        return returned
    names, columns = list(returned.columns), list(returned.columns.values())
    if len(columns) == 1:
        return columns[0]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(returned: Any) -> Any:
    # SciPy's sparse matrices and arrays; SciPy itself may not be installed.
    if hasattr(returned, "toarray") and hasattr(returned, "nnz"):
        return returned.toarray()
    if isinstance(returned, list):
        return [item.model_dump() if hasattr(item, "model_dump") else item for item in returned]
    return returned
