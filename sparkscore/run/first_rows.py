"""Read the first rows of a result without Spark, if the files that contain them are known. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import types

from sparkscore.errors import SparkscoreError
from sparkscore.parquet.opening import open_parquet
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.stage.layout import within_task_attempt

_WORKER: Final = "worker"
# Types whose values become equal Python objects, whether PySpark or PyArrow reads them.
_SAME_IN_SPARK: Final[tuple[Callable[[pa.DataType], bool], ...]] = (
    types.is_boolean,
    types.is_integer,
    types.is_floating,
    types.is_string,
    types.is_binary,
    types.is_date,
    types.is_decimal,
    types.is_timestamp,
)


def read_first_rows(record: RunRecord, folder: RunStore, count: int) -> list[dict[str, Any]] | None:
    """Return the first rows of a published or held result, or None if Spark must read them.

    The rows are read from the files that the workers wrote. The result is None if Spark has written the rows again, if
    a column is nested, is missing from a file or is in the names of folders, or if a file cannot be read.

    Args:
        record: the record of the run.
        folder: the run's folder, which contains the manifest.
        count: maximum number of rows to return.
    """
    try:
        manifest = folder.read_manifest()
        files = None if manifest is None else list(_files_of(record, manifest))
        if manifest is None or files is None or not all(files):
            return None
        return list(_rows_of([file for file in files if file], record, manifest, count))
    except (SparkscoreError, OSError, OverflowError, ValueError, pa.ArrowException):
        return None


def _files_of(record: RunRecord, manifest: Manifest) -> Iterator[Path | None]:
    """Yield the path of each file that has rows, or None for a file in a partition's folder or at an unknown path."""
    output = record.output
    for file in manifest.files:
        if not file.rows:
            continue
        name = within_task_attempt(file.path)
        if "/" in name:
            yield None
        elif record.waits_for_publishing:
            yield Path(str(record.stage), file.path)
        elif output.writer == _WORKER and output.location:
            yield Path(output.location, output.version if isinstance(output.version, str) else "", name)
        else:
            yield None


def _rows_of(files: list[Path], record: RunRecord, manifest: Manifest, count: int) -> Iterator[dict[str, Any]]:
    """Yield at most `count` rows, or raise a `ValueError` if a file lacks a column or has a type not handled here."""
    left = count
    for path in files:
        with open_parquet(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            # In a folder of Parquet files, the run id is in the name of the run's folder instead of the files.
            outside = [name for name in manifest.columns if name not in names]
            is_known = not outside or (len(outside) == 1 and record.output.format == "parquet")
            if not is_known or not all(map(_is_same_in_spark, file.schema_arrow.types)):
                raise ValueError("a column of another kind")
            for row in next(file.iter_batches(left), pa.RecordBatch.from_pylist([])).to_pylist():
                yield {name: _as_spark(row.get(name, record.run_id)) for name in manifest.columns}
                left -= 1
        if not left:
            return


def _is_same_in_spark(found: pa.DataType) -> bool:
    return any(is_of(found) for is_of in _SAME_IN_SPARK)


def _as_spark(value: Any) -> Any:
    """Return a value as PySpark does: a timestamp with a time zone becomes a local time without a time zone."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone().replace(tzinfo=None)
    return value
