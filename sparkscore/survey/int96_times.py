"""Find INT96 timestamps in Parquet files that Spark would truncate to microseconds.

Runs on the driver and the workers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

_UNITS = ("ns", "us")
#: The path of a file, and the names of its INT96 columns.
Times = tuple[str, tuple[str, ...]]


def find_nanoseconds(share: Sequence[Times]) -> str:
    """Find the first column that contains a timestamp that is not a whole number of microseconds.

    Return a JSON list with the path of the file and the name of the column, or an empty string if there is no such
    column. Columns that cannot be read are skipped.

    Args:
        share: the files to read, each with the names of its INT96 columns.
    """
    for path, columns in share:
        for name in columns:
            if _has_nanoseconds(path, name):
                return json.dumps([path, name])
    return ""


def _has_nanoseconds(path: str, name: str) -> bool:
    try:
        # Nanoseconds overflow outside of the years 1677 to 2262; microseconds times 1000 overflow in the same way.
        both = [pq.ParquetFile(path, coerce_int96_timestamp_unit=unit).iter_batches(columns=[name]) for unit in _UNITS]
        return any(_differ(*pair) for batches in zip(*both, strict=True) for pair in zip(*batches, strict=True))
    except (OSError, pa.ArrowException):  # Spark reports what is wrong with the file
        return False


def _differ(fine: pa.Array, coarse: pa.Array) -> bool:
    if pa.types.is_nested(fine.type):
        inner = [values.flatten() for values in (fine, coarse)]
        return (
            any(_differ(*pair) for pair in zip(*inner, strict=True)) if isinstance(inner[0], list) else _differ(*inner)
        )
    if not pa.types.is_timestamp(fine.type):
        return False
    nanoseconds, microseconds = (values.drop_null().cast(pa.int64()).to_numpy(False) for values in (fine, coarse))
    return bool((nanoseconds != microseconds * 1000).any())
