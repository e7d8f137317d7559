"""Convert lists, maps and structs by converting their parts. Runs on the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkscore.parquet.casting import Convert


def as_list(target: pa.DataType, convert: Convert) -> Convert:
    """Return a function that converts lists of any layout to lists of another element type.

    Args:
        target: the type of the result.
        convert: function that converts the elements.
    """

    def converted(array: pa.Array) -> pa.Array:
        # Casts between layouts are not used: PyArrow 25 loses the last list when it casts a list view with a NULL.
        offsets = _offsets(pc.list_value_length(array))
        return pa.ListArray.from_arrays(offsets, convert(array.flatten()), type=target, mask=_nulls(array))

    return converted


def as_map(target: pa.DataType, key: Convert, value: Convert) -> Convert:
    """Return a function that converts maps.

    Args:
        target: the type of the result.
        key: function that converts the keys.
        value: function that converts the values.
    """

    def converted(array: pa.Array) -> pa.Array:
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        offsets = pc.subtract(array.offsets, array.offsets[0])
        keys, values = array.keys.slice(first, last - first), array.items.slice(first, last - first)
        return pa.MapArray.from_arrays(offsets, key(keys), value(values), type=target, mask=_nulls(array))

    return converted


def as_struct(target: pa.DataType, names: Sequence[str], converts: Mapping[str, Convert]) -> Convert:
    """Return a function that converts structs. Fields that the stored structs lack are NULL.

    Args:
        target: the type of the result.
        names: the names of the stored fields, in stored order.
        converts: for each stored field, a function that converts its values.
    """
    positions = {name: position for position, name in enumerate(names)}

    def converted(array: pa.Array) -> pa.Array:
        children = [
            converts[field.name](array.field(positions[field.name]))
            if field.name in positions
            else pa.nulls(len(array), field.type)
            for field in target
        ]
        return pa.StructArray.from_arrays(children, fields=list(target), mask=_nulls(array))

    return converted


def _offsets(lengths: pa.Array) -> pa.Array:
    """Return the offsets of lists with the given lengths. A NULL length counts as 0."""
    counts = lengths.fill_null(0).to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())


def _nulls(array: pa.Array) -> pa.Array | None:
    """Return a mask of the NULL values, or None if no value is NULL."""
    return array.is_null() if array.null_count else None
