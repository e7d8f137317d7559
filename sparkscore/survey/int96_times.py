"""Look for parts of a microsecond in Parquet's old form of times, which Spark cuts off (driver and worker)."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

_UNITS = ("ns", "us")
#: A file, and the columns of it to look at.
Times = tuple[str, tuple[str, ...]]


def find_parts(share: Sequence[Times]) -> str:
    """Give the first file and column with such a time, as JSON; an empty text where there is none."""
    for path, columns in share:
        for name in columns:
            if _has_parts(path, name):
                return json.dumps([path, name])
    return ""


def _has_parts(path: str, name: str) -> bool:
    try:
        # Nanoseconds overflow outside of 1677 to 2262, and so does what the microseconds are multiplied to.
        both = [pq.ParquetFile(path, coerce_int96_timestamp_unit=unit).iter_batches(columns=[name]) for unit in _UNITS]
        return any(_has_part(*pair) for batches in zip(*both, strict=True) for pair in zip(*batches, strict=True))
    except (OSError, pa.ArrowException):  # Spark says what is wrong with it
        return False


def _has_part(fine: pa.Array, coarse: pa.Array) -> bool:
    if pa.types.is_nested(fine.type):
        inner = [values.flatten() for values in (fine, coarse)]
        return (
            any(_has_part(*pair) for pair in zip(*inner, strict=True))
            if isinstance(inner[0], list)
            else _has_part(*inner)
        )
    if not pa.types.is_timestamp(fine.type):
        return False
    nanoseconds, microseconds = (values.drop_null().cast(pa.int64()).to_numpy(False) for values in (fine, coarse))
    return bool((nanoseconds != microseconds * 1000).any())
