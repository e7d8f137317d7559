"""Keep integers and booleans inside lists, structs and maps unchanged if others beside them are NULL (worker).

If one integer inside such a column is NULL, pyarrow converts all integers in the column of the mini-batch to floats.
Here a list without NULL becomes an array of its own dtype, and a list with NULL becomes an array of Python objects. So
the value of a row does not depend on other rows.
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


def with_own_numbers(values: pd.Series[Any], arrow_type: pa.DataType) -> pd.Series[Any]:
    """Convert each row of a nested column to what pyarrow would make of that row alone.

    Args:
        values: the column as pyarrow converts it with ``integer_object_nulls``: if one integer is NULL, all are Python
            objects.
        arrow_type: the column's type in Arrow.
    """
    made = np.empty(len(values), dtype=object)
    for position, value in enumerate(values.array):
        made[position] = _own(value, arrow_type)
    return pd.Series(made)


def holds_lists_of_lists(arrow_type: pa.DataType) -> bool:
    """Whether a type is, or contains, a list of lists."""
    inside = [arrow_type.field(position).type for position in range(arrow_type.num_fields)]
    return (is_list(arrow_type) and is_list(arrow_type.value_type)) or any(map(holds_lists_of_lists, inside))


def with_ragged_lists(value: Any) -> Any:
    """Convert arrays of arrays with different lengths to Python lists, because NumPy cannot make an array of them.

    Source: mlflow/models/utils.py, `_enforce_array`, calls ``np.array`` for each value that is an array.
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
    """Return the arrays inside a column of lists, structs or maps; an empty list for a column of another type."""
    if is_list(column.type):
        return [pc.list_flatten(column)]
    if pa.types.is_struct(column.type):
        return list(column.flatten())
    if pa.types.is_map(column.type):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return [part for chunk in chunks for part in (chunk.keys, chunk.items)]
    return []


def is_list(type_: pa.DataType) -> bool:
    """Whether an Arrow type is one of the three types of lists."""
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))


def _own(value: Any, type_: pa.DataType) -> Any:
    """Convert one nested value, so that a list of numbers becomes an array of numbers unless it holds a NULL itself."""
    if value is None:
        return None
    if is_list(type_):
        return _own_list(value, type_.value_type)
    if pa.types.is_struct(type_):
        return {field.name: _own(value[field.name], field.type) for field in type_}
    if pa.types.is_map(type_):
        pairs = [(key, _own(item, type_.item_type)) for key, item in (value.items() if _is_dict(value) else value)]
        return dict(pairs) if _is_dict(value) else pairs
    return value


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _own_list(values: Any, element_type: pa.DataType) -> Any:
    if has_two_dtypes(element_type):
        has_null = any(value is None for value in values)
        return values if has_null else values.astype(element_type.to_pandas_dtype())
    if not pa.types.is_nested(element_type):
        return values
    made = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        made[position] = _own(value, element_type)
    return made
