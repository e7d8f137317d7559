"""Look for parts of a microsecond in Parquet's old form of times, which Spark cuts off (driver and worker)."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

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
        batches = pq.ParquetFile(path).iter_batches(columns=[name])
        return any(_has_part(part) for batch in batches for part in batch.columns)
    except (OSError, pa.ArrowException):  # Spark says what is wrong with it
        return False


def _has_part(values: pa.Array) -> bool:
    if pa.types.is_nested(values.type):
        inner = values.flatten()
        return any(map(_has_part, inner if isinstance(inner, list) else [inner]))
    if not pa.types.is_timestamp(values.type):
        return False
    return bool((values.drop_null().cast(pa.int64()).to_numpy(zero_copy_only=False) % 1000).any())
