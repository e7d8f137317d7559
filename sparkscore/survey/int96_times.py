"""Find INT96 timestamps in Parquet files that Spark would truncate to microseconds.

Runs on the driver and the workers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from sparkscore.object_store import ObjectStore, is_of_store, opened
from sparkscore.parquet.opening import open_parquet
from sparkscore.parquet.problems import unreadable_object

_UNITS = ("ns", "us")
#: The path of a file, the names of its INT96 columns, and the store of the file, or None if it is local.
Times = tuple[str, tuple[str, ...], ObjectStore | None]


def find_nanoseconds(share: Sequence[Times]) -> str:
    """Find the first column that contains a timestamp that is not a whole number of microseconds.

    Return a JSON list with the path of the file and the name of the column, or an empty string if there is no such
    column. Columns that cannot be read are skipped.

    Args:
        share: the files to read, each with the names of its INT96 columns.
    """
    for path, columns, store in share:
        for name in columns:
            if _has_nanoseconds(path, name, store):
                return json.dumps([path, name])
    return ""


def _has_nanoseconds(path: str, name: str, store: ObjectStore | None) -> bool:
    try:
        # Nanoseconds overflow outside of the years 1677 to 2262; microseconds times 1000 overflow in the same way.
        files = [open_parquet(opened(path, store), coerce_int96_timestamp_unit=unit) for unit in _UNITS]
        both = [file.iter_batches(columns=[name]) for file in files]
        return any(_differ(*pair) for batches in zip(*both, strict=True) for pair in zip(*batches, strict=True))
    except (OSError, pa.ArrowException) as error:
        if is_of_store(error):
            raise unreadable_object(path, error) from error
        return False  # Spark reports what is wrong with the file


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
