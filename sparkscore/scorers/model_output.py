"""Give what a model's library returned in the forms that `sparkscore.returned.tabulate` reads (worker)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sparkscore.returned import NamedColumns
from sparkscore.returned.shapes import are_positions
from sparkscore.scorers.estimators import outputs_of_estimator


def plain_output(returned: Any, *, is_of_estimator: bool = False) -> Any:
    """Turn the return value of a model's method into values, arrays, lists or named columns.

    A DataFrame's columns keep their names, also numbers other than 0, 1 and so on; columns that nobody named are ``c0,
    c1 …``, or the values alone if there is one. A dict of arrays gives a column per key. Sparse matrices become dense,
    pydantic objects dicts. A list of matrices is a column for each where an estimator gave it, whatever number of rows
    there are; else it is rows.
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
    """Give a column for each of several methods; what has columns of its own becomes a column of structs."""
    columns = {
        name: _one_column(plain_output(values, is_of_estimator=is_of_estimator)) for name, values in returned.items()
    }
    return NamedColumns(columns, _labels_of(returned))


def _labels_of(returned: Mapping[Any, Any]) -> pd.Index[Any] | None:
    """Give the labels of the first output that has labels of its own: a fresh index from 0 says nothing."""
    found = [values.index for values in returned.values() if isinstance(values, (pd.Series, pd.DataFrame))]
    return next((labels for labels in found if not labels.equals(pd.RangeIndex(len(labels)))), None)


def _columns_of_frame(frame: pd.DataFrame) -> Any:
    if not frame.columns.is_unique:
        return frame.reset_index(drop=True)  # refused by name, further on
    columns = [frame.iloc[:, position] for position in range(frame.shape[1])]
    names: list[Any] = list(frame.columns)
    if len(columns) == 1 and isinstance(names[0], (int, np.integer)):
        return columns[0]
    if not are_positions(names):  # numbers in another order are names: those of classes, for example
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
