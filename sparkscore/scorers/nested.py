"""Convert lists, structs and maps to Python values, so that a NULL in one row does not affect other rows.

Runs on the workers.

If one integer inside a column of lists is NULL, pyarrow converts all integers in the column to floats by default. Here,
each list is converted on its own: a list of integers or booleans becomes an array of that type if it contains no NULL,
and an array of Python objects otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.scorers.dtypes import has_two_dtypes


def has_null_inside(column: pa.Array | pa.ChunkedArray) -> bool:
    """Return whether any integer or boolean inside a column of lists, structs or maps is NULL.

    For any other column, the result is False.
    """
    return any(
        bool(part.null_count) if has_two_dtypes(part.type) else has_null_inside(part) for part in parts_of(column)
    )


def with_own_numbers(values: pd.Series[Any], arrow_type: pa.DataType) -> pd.Series[Any]:
    """Restore the dtype of the lists of integers or booleans in a column of lists, structs or maps.

    If one element of such a list is NULL, pyarrow converts the lists in all rows to arrays of Python objects. This
    function converts the lists that contain no NULL back to arrays of integers or booleans.

    Args:
        values: the column, as converted by pyarrow with ``integer_object_nulls``.
        arrow_type: the column's Arrow type.
    """
    made = np.empty(len(values), dtype=object)
    for position, value in enumerate(values.array):
        made[position] = _own(value, arrow_type)
    return pd.Series(made)


def holds_lists_of_lists(arrow_type: pa.DataType) -> bool:
    """Return whether an Arrow type is or contains a list of lists."""
    inside = [arrow_type.field(position).type for position in range(arrow_type.num_fields)]
    return (is_list(arrow_type) and is_list(arrow_type.value_type)) or any(map(holds_lists_of_lists, inside))


def with_ragged_lists(value: Any) -> Any:
    """Convert ragged arrays to Python lists, at any depth of a nested value.

    MLflow converts each nested array to a single NumPy array. This is impossible if the inner arrays differ in shape or
    if some of them are NULL. Arrays that contain such an array become lists as well. Everything else is unchanged.

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
    """Return the arrays inside a column of lists, structs or maps, or an empty list for any other column.

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
    """Return whether an Arrow type is a list, large list or fixed-size list."""
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))


def _own(value: Any, type_: pa.DataType) -> Any:
    """Convert lists of integers or booleans in a nested value to NumPy arrays with the dtype of their Arrow type.

    Lists that contain NULLs are left unchanged.

    Args:
        value: a value that pyarrow has converted from a nested column, or a part of one.
        type_: the value's Arrow type.
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
