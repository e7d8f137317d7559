"""Measure rows in Arrow's memory format. Runs on the driver and the workers.

The size of a sequence of rows is the sum of the sizes of the rows. It does not depend on how a reader divides the rows
into record batches. Different readers of the same rows therefore form the same mini-batches.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

_BITS: Final = 8
_OFFSET_BITS: Final = 32


def size_in_bits(rows: pa.RecordBatch) -> int:
    """Return the size of rows in bits, without validity bitmaps.

    >>> size_in_bits(pa.record_batch({"x": pa.array([1, None], pa.int64()), "s": ["ab", None]}))
    208

    Args:
        rows: rows without Arrow's large types, see `sparkscore.worker.intake.settle_types`.
    """
    return sum(map(_bits_of, rows.columns))


def _bits_of(values: pa.Array) -> int:
    kind = values.type
    if pa.types.is_struct(kind):
        return sum(_bits_of(values.field(number)) for number in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        return _of_lists(values, *((values.keys, values.items) if pa.types.is_map(kind) else (values.values,)))
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return len(values) * _OFFSET_BITS + _BITS * _bytes_of_texts(values)
    if pa.types.is_null(kind):
        return 0
    try:
        return len(values) * int(kind.bit_width)
    except ValueError:  # a type without a fixed width
        return _BITS * int(values.nbytes)


def _of_lists(values: pa.Array, *parts: pa.Array) -> int:
    if not len(values):
        return 0
    offsets = values.offsets
    start, end = offsets[0].as_py(), offsets[len(values)].as_py()
    return len(values) * _OFFSET_BITS + sum(_bits_of(part.slice(start, end - start)) for part in parts)


def _bytes_of_texts(values: pa.Array) -> int:
    buffer = values.buffers()[1]
    if not len(values) or buffer is None:
        return 0
    offsets = np.frombuffer(buffer, np.int32)
    return int(offsets[values.offset + len(values)] - offsets[values.offset])
