"""Encode columns with few distinct values as dictionaries, in memory and in Parquet files. Runs on the workers.

A result column such as ``run_id`` has the same value in all rows of a mini-batch. A dictionary stores the value once
and an index for each row, in memory as in a Parquet file. For a column whose values hardly repeat, such as a key or a
score, a dictionary takes more time to write than the rest of the file, and saves no space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_INDEX: Final = pa.int32()
# At most this many values of a column, and about this many bytes of rows, are examined.
_SAMPLE_VALUES: Final = 16 * 1024
_SAMPLE_BYTES: Final = 1024 * 1024
_LEAST_ROWS: Final = 64
# A column is written without a dictionary if the share of distinct values in the sample is larger than this.
_MOST_DISTINCT: Final = 0.75


# The mini-batches of a task repeat the same few texts, and most of them have the same number of rows.
@lru_cache(maxsize=8)
def repeat_text(text: str | None, count: int) -> pa.DictionaryArray:
    """Return a column that repeats one text, which may be None. The last columns are cached: they are immutable."""
    if text is None:
        return pa.DictionaryArray.from_arrays(pa.nulls(count, _INDEX), pa.array([], pa.string()))
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text], pa.string()))


def encode_texts(texts: Sequence[str | None]) -> pa.DictionaryArray:
    """Return a column of the given texts as a dictionary of the type that `repeat_text` returns."""
    if None in texts or len(set(texts)) < len(texts):
        return pa.array(texts, pa.dictionary(_INDEX, pa.string()))
    # For a few texts, PyArrow takes longer to look for repeated ones than for all else.
    return pa.DictionaryArray.from_arrays(_numbers(len(texts)), pa.array(texts, pa.string()))


@lru_cache(maxsize=8)
def _numbers(count: int) -> pa.Array:
    return pa.array(np.arange(count, dtype=np.int32))


def drop_unused(values: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return the same column with a dictionary of those values only that its rows have."""
    used = pc.unique(values.indices.drop_null())
    if len(used) == len(values.dictionary):
        return values
    return pa.DictionaryArray.from_arrays(pc.index_in(values.indices, used), values.dictionary.take(used))


def decode(rows: pa.Table) -> pa.Table:
    """Return the rows with dictionary columns decoded to plain ones. Dictionaries in nested columns are kept."""
    schema = pa.schema([field.with_type(value_type_of(field.type)) for field in rows.schema])
    return rows if schema.equals(rows.schema) else rows.cast(schema)


def value_type_of(type_: pa.DataType) -> pa.DataType:
    """Return the type of a dictionary's values, or any other type unchanged."""
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def paths_of_repeating(rows: pa.Table) -> list[str]:
    """Return the paths of the Parquet columns for which a dictionary is worthwhile, judged by the first rows.

    These are the columns that are dictionaries already, and those in which at least a quarter of the first values
    repeat earlier ones.

    Args:
        rows: rows of the file. The first 16 Ki rows are examined, or about the first MiB if that is less.
    """
    count = min(_SAMPLE_VALUES, rows.num_rows)
    if rows.nbytes > _SAMPLE_BYTES:
        count = min(count, max(_LEAST_ROWS, _SAMPLE_BYTES * rows.num_rows // rows.nbytes))
    sample = rows.slice(0, count)
    found = (
        leaf
        for name, column in zip(sample.column_names, sample.columns, strict=True)
        for leaf in _leaves(name, _as_array(column))
    )
    return [path for path, values in found if _is_repeating(values)]


def _as_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _leaves(path: str, array: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Yield the path and the values of each Parquet column in which a column is stored.

    Source: https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#nested-types
    """
    type_ = array.type
    if pa.types.is_struct(type_):
        for index, field in enumerate(type_):
            yield from _leaves(f"{path}.{field.name}", array.field(index))
    elif pa.types.is_map(type_):
        yield from _leaves(f"{path}.key_value.key", array.keys)
        yield from _leaves(f"{path}.key_value.value", array.items)
    elif pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_):
        yield from _leaves(f"{path}.list.element", array.flatten())
    else:
        yield path, array


def _is_repeating(values: pa.Array) -> bool:
    if pa.types.is_dictionary(values.type):
        return True
    sample = values.slice(0, _SAMPLE_VALUES)
    try:
        return bool(pc.count_distinct(sample, mode="all").as_py() <= _MOST_DISTINCT * len(sample))
    except pa.ArrowNotImplementedError:  # Arrow cannot compare values of this type
        return True
