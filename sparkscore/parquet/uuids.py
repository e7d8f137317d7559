"""Convert UUIDs to texts. Runs on the workers."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BYTES: Final = 16
_CHARACTERS: Final = 36
_DIGITS: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_HYPHENS: Final = (8, 13, 18, 23)
_PLACES: Final = np.array([place for place in range(_CHARACTERS) if place not in _HYPHENS])


def as_texts(array: pa.Array) -> pa.Array:
    """Return UUIDs as texts in the canonical form of RFC 9562, such as ``f81d4fae-7dec-11d0-a765-00a0c91e6bf6``.

    Args:
        array: the UUIDs as values of 16 bytes, the most significant byte first.
    """
    count = len(array)
    if not count:
        return pa.array([], pa.string())
    start = array.offset * _BYTES
    stored = np.frombuffer(array.buffers()[1], np.uint8)[start : start + count * _BYTES].reshape(count, _BYTES)
    texts = np.full((count, _CHARACTERS), ord("-"), np.uint8)
    texts[:, _PLACES[0::2]] = _DIGITS[stored >> 4]
    texts[:, _PLACES[1::2]] = _DIGITS[stored & 15]
    offsets = np.arange(0, (count + 1) * _CHARACTERS, _CHARACTERS, dtype=np.int32)
    found = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(texts))
    return pc.if_else(array.is_valid(), found, pa.scalar(None, pa.string())) if array.null_count else found
