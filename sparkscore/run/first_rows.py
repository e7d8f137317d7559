"""Read the first rows of a result without Spark, where the files are known that hold them. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from sparkscore.errors import SparkscoreError
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.stage.layout import within_task_attempt

_WORKER: Final = "worker"
# Types whose values are the same objects whether PySpark or PyArrow reads them.
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
    """Return some rows of a published or held result, or None if only Spark can tell which rows these are.

    The rows are read from the files that the workers wrote. If Spark wrote them again, or the columns are in names of
    folders, nested or not all in the files, the answer is None. So it is if a file cannot be read.

    Args:
        record: the record of the run.
        folder: the run's folder, which has the manifest.
        count: the most rows to return.
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
    """Yield the path of each file that has rows, or None if it is not known or in a folder of a partition."""
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
    """Yield at most `count` rows. Raises a ValueError if a column is not in a file, or has another kind of type."""
    left = count
    for path in files:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            # A folder of Parquet files has the run id in the name of the run's folder.
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
    """Return a value as PySpark returns it: a time with a time zone becomes one in the zone of this process."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone().replace(tzinfo=None)
    return value
