"""Keep integers and booleans inside lists, structs and maps as they are, whatever stands beside them (worker).

pyarrow makes floats of all integers in such a column of a mini-batch when one of them is NULL. Here a list without NULL
is an array of its own dtype, and one with NULL an array of Python objects: what a row holds depends on that row alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.scorers.dtypes import has_two_dtypes


def has_null_inside(column: pa.Array | pa.ChunkedArray) -> bool:
    """Whether an integer or a boolean inside a column of lists, structs or maps is NULL."""
    return any(
        bool(part.null_count) if has_two_dtypes(part.type) else has_null_inside(part) for part in parts_of(column)
    )


def with_own_numbers(values: pd.Series[Any], kind: pa.DataType) -> pd.Series[Any]:
    """Give each row of a nested column the form that it has without the others.

    Args:
        values: what pyarrow made with ``integer_object_nulls``: all integers are Python objects where one is NULL.
        kind: the column's type.
    """
    made = np.empty(len(values), dtype=object)
    for place, value in enumerate(values.array):
        made[place] = _own(value, kind)
    return pd.Series(made)


def holds_lists_of_lists(kind: pa.DataType) -> bool:
    """Whether a list of lists is somewhere in a type."""
    inside = [kind.field(place).type for place in range(kind.num_fields)]
    return (_is_list(kind) and _is_list(kind.value_type)) or any(map(holds_lists_of_lists, inside))


def with_ragged_lists(value: Any) -> Any:
    """Give Python lists for lists of lists that are not of one length, of which NumPy makes no array.

    Source: mlflow/models/utils.py, `_enforce_array`, calls ``np.array`` for what comes as an array.
    """
    if _is_dict(value):
        return {key: with_ragged_lists(item) for key, item in value.items()}
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    parts = [with_ragged_lists(part) for part in value]
    are_lists = any(isinstance(part, (list, np.ndarray)) for part in parts)
    if not are_lists or len({np.shape(part) if isinstance(part, np.ndarray) else None for part in parts}) == 1:
        return value if not any(isinstance(part, list) for part in parts) else parts
    return [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]


def parts_of(column: pa.Array | pa.ChunkedArray) -> list[pa.Array | pa.ChunkedArray]:
    """Give what is inside the lists, structs or maps of a column; nothing where it has none."""
    if _is_list(column.type):
        return [pc.list_flatten(column)]
    if pa.types.is_struct(column.type):
        return list(column.flatten())
    if pa.types.is_map(column.type):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return [part for chunk in chunks for part in (chunk.keys, chunk.items)]
    return []


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _own(value: Any, kind: pa.DataType) -> Any:
    """Give a value the form that it has without its neighbours: arrays of numbers where no NULL is in them."""
    if value is None:
        return None
    if _is_list(kind):
        return _own_list(value, kind.value_type)
    if pa.types.is_struct(kind):
        return {field.name: _own(value[field.name], field.type) for field in kind}
    if pa.types.is_map(kind):
        pairs = [(key, _own(item, kind.item_type)) for key, item in (value.items() if _is_dict(value) else value)]
        return dict(pairs) if _is_dict(value) else pairs
    return value


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _own_list(values: Any, kind: pa.DataType) -> Any:
    if has_two_dtypes(kind):
        has_null = any(value is None for value in values)
        return values if has_null else values.astype(kind.to_pandas_dtype())
    if not pa.types.is_nested(kind):
        return values
    made = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        made[place] = _own(value, kind)
    return made
