"""Convert a model's return value to a form that `sparkscore.returned.tabulate` accepts. Runs on the workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sparkscore.returned import NamedColumns
from sparkscore.returned.shapes import are_positions
from sparkscore.scorers.estimators import outputs_of_estimator


def plain_output(returned: Any, *, is_of_estimator: bool = False) -> Any:
    """Convert the return value of a model's method, usually to named columns or to a single array, Series or list.

    - A DataFrame becomes named columns. Unnamed columns, which pandas numbers from 0, become ``c0``, ``c1`` and so on.
      A single column whose name is an integer becomes a Series. A DataFrame with duplicate column names remains a
      DataFrame.
    - A dictionary becomes one column per key.
    - A sparse matrix becomes dense.
    - An iterator, such as a generator, becomes a list.
    - A list of matrices from an estimator becomes one column per matrix. In any other list, each element is a row, and
      Pydantic objects become dictionaries.
    - Any other value is returned unchanged.

    Args:
        returned: the return value.
        is_of_estimator: whether a scikit-learn estimator returned the value.
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
    """Combine the return values of several methods of a model into named columns, one per method.

    If a method returned several named columns, for example a DataFrame, its column contains one dictionary per row,
    with the row's values by column name.

    Args:
        returned: the return value of each method, by method name.
        is_of_estimator: whether a scikit-learn estimator returned the values.
    """
    columns = {
        name: _one_column(plain_output(values, is_of_estimator=is_of_estimator)) for name, values in returned.items()
    }
    return NamedColumns(columns, _labels_of(returned))


def _labels_of(returned: Mapping[Any, Any]) -> pd.Index[Any] | None:
    """Return the index of the first DataFrame or Series whose index is not a default RangeIndex, or None."""
    found = [values.index for values in returned.values() if isinstance(values, (pd.Series, pd.DataFrame))]
    return next((labels for labels in found if not labels.equals(pd.RangeIndex(len(labels)))), None)


def _columns_of_frame(frame: pd.DataFrame) -> Any:
    if not frame.columns.is_unique:
        return frame.reset_index(drop=True)  # `tabulate` raises an error that names the duplicate columns
    columns = [frame.iloc[:, position] for position in range(frame.shape[1])]
    names: list[Any] = list(frame.columns)
    if len(columns) == 1 and isinstance(names[0], (int, np.integer)):
        return columns[0]
    if not are_positions(names):  # numbers other than 0, 1, … are names, for example the labels of classes
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
    # SciPy's sparse matrices and arrays. There is no isinstance check, because SciPy may not be installed.
    if hasattr(returned, "toarray") and hasattr(returned, "nnz"):
        return returned.toarray()
    if isinstance(returned, list):
        return [item.model_dump() if hasattr(item, "model_dump") else item for item in returned]
    return returned
