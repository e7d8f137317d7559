"""Convert lists, structs and maps to Python values, so that a NULL in one row does not change other rows (worker).

If one integer inside a column of lists is NULL, pyarrow by default converts all integers in the column to floats. Here,
a list of integers or booleans becomes an array of integers or booleans if it has no NULL, or an array of Python objects
if it has one. So the converted value of a row does not depend on other rows of the mini-batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.scorers.dtypes import has_two_dtypes


def has_null_inside(column: pa.Array | pa.ChunkedArray) -> bool:
    """Return whether an integer or a boolean inside a column of lists, structs or maps is NULL.

    For a column of a different type, the result is False.
    """
    return any(
        bool(part.null_count) if has_two_dtypes(part.type) else has_null_inside(part) for part in parts_of(column)
    )


def with_own_numbers(values: pd.Series[Any], arrow_type: pa.DataType) -> pd.Series[Any]:
    """Convert each row of a column of lists, structs or maps as if the column had only that row.

    Args:
        values: the column, as pyarrow converts it with ``integer_object_nulls``. If one integer is NULL, all integers
            are Python objects.
        arrow_type: the Arrow type of the column.
    """
    made = np.empty(len(values), dtype=object)
    for position, value in enumerate(values.array):
        made[position] = _own(value, arrow_type)
    return pd.Series(made)


def holds_lists_of_lists(arrow_type: pa.DataType) -> bool:
    """Return whether an Arrow type is, or contains, a list of lists."""
    inside = [arrow_type.field(position).type for position in range(arrow_type.num_fields)]
    return (is_list(arrow_type) and is_list(arrow_type.value_type)) or any(map(holds_lists_of_lists, inside))


def with_ragged_lists(value: Any) -> Any:
    """Convert arrays of arrays with different shapes to Python lists, at any depth of a nested value.

    MLflow makes one NumPy array of each nested array, which is not possible if the shapes differ, or if NULLs are among
    the arrays. An array that contains a list after the conversion becomes a list, too. Everything else in the value is
    returned unchanged.

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
    """Return the arrays inside a column of lists, structs or maps, or an empty list for a column of a different type.

    These are the elements of the lists, each field of the structs, or the keys and values of the maps.
    """
    if is_list(column.type):
        return [pc.list_flatten(column)]
    if pa.types.is_struct(column.type):
        return list(column.flatten())
    if pa.types.is_map(column.type):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return [part for chunk in chunks for part in (chunk.keys, chunk.items)]
    return []


def is_list(type_: pa.DataType) -> bool:
    """Return whether an Arrow type is a list, a large list or a list of fixed size."""
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))


def _own(value: Any, type_: pa.DataType) -> Any:
    """Convert one nested value, so that each list of integers or booleans without a NULL becomes an array of its type.

    Args:
        value: a value that pyarrow has converted from a nested column, or a part of such a value.
        type_: the Arrow type of the value.
    """
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
