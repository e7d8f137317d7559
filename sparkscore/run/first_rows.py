"""Read the first rows of a result without Spark, if the files that contain them are known. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import types
from pyspark.sql import Row

from sparkscore.errors import SparkscoreError
from sparkscore.parquet.opening import open_parquet
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.sinks.partition_types import FOLDER_TYPES
from sparkscore.sinks.staged_rows import partition_values
from sparkscore.spark.schema import schema_of, to_arrow
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
_LISTS: Final[tuple[Callable[[pa.DataType], bool], ...]] = (types.is_list, types.is_large_list)


def read_first_rows(record: RunRecord, folder: RunStore, count: int) -> list[dict[str, Any]] | None:
    """Return the first rows of a published or held result, or None if Spark must read them.

    The rows are read from the files that the workers wrote. The result is None if Spark has written the rows again, if
    a column is missing from a file, if a value in the name of a folder may have several texts, or if a file cannot be
    read.

    Args:
        record: the record of the run.
        folder: the run's folder, which contains the manifest.
        count: maximum number of rows to return.
    """
    try:
        manifest = folder.read_manifest()
        if manifest is None:
            return None
        return list(_rows_of(list(_files_of(record, manifest)), record, manifest, count))
    except (SparkscoreError, OSError, OverflowError, ValueError, pa.ArrowException):
        return None


def _files_of(record: RunRecord, manifest: Manifest) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path of each file that has rows, with the values of the columns that are in the names of its folders.

    Raises:
        ValueError: the files are not those of the workers, or a value may have several texts.
    """
    output = record.output
    for file in manifest.files:
        if not file.rows:
            continue
        values = _folder_values(file.path, manifest.columns)
        if record.waits_for_publishing:
            yield Path(str(record.stage), file.path), values
        elif output.writer == _WORKER and output.location:
            version = output.version if isinstance(output.version, str) else ""
            yield Path(output.location, version, within_task_attempt(file.path)), values
        else:
            raise ValueError("Spark has written the rows again")


def _folder_values(file: str, columns: Mapping[str, str]) -> dict[str, Any]:
    texts = partition_values(file)
    if not texts:
        return {}
    schema = schema_of({name: columns[name] for name in texts})
    if not all(isinstance(field.dataType, FOLDER_TYPES) for field in schema):
        raise ValueError("a partition column of another kind")
    kinds = to_arrow(schema)
    return {name: pa.scalar(text, pa.string()).cast(kinds.field(name).type).as_py() for name, text in texts.items()}


def _rows_of(
    files: list[tuple[Path, dict[str, Any]]], record: RunRecord, manifest: Manifest, count: int
) -> Iterator[dict[str, Any]]:
    """Yield at most `count` rows, or raise a `ValueError` if a file lacks a column or has a type not handled here."""
    left = count
    for path, values in files:
        with open_parquet(path, page_checksum_verification=True) as file:
            kinds = {field.name: field.type for field in file.schema_arrow}
            # In a folder of Parquet files, the run id is in the name of the run's folder instead of the files.
            outside = [name for name in manifest.columns if name not in kinds and name not in values]
            is_known = not outside or (len(outside) == 1 and record.output.format == "parquet")
            if not is_known or not all(map(_is_same_in_spark, kinds.values())):
                raise ValueError("a column of another kind")
            known = dict.fromkeys(outside, record.run_id) | values
            for row in next(file.iter_batches(left), pa.RecordBatch.from_pylist([])).to_pylist():
                found = known | {name: _as_spark(value, kinds[name]) for name, value in row.items()}
                yield {name: found[name] for name in manifest.columns}
                left -= 1
        if not left:
            return


def _is_same_in_spark(found: pa.DataType) -> bool:
    if types.is_struct(found) or types.is_map(found) or any(is_of(found) for is_of in _LISTS):
        return all(_is_same_in_spark(found.field(number).type) for number in range(found.num_fields))
    return any(is_of(found) for is_of in _SAME_IN_SPARK)


def _as_spark(value: Any, found: pa.DataType) -> Any:
    """Return a value as PySpark does: a timestamp with a time zone becomes a local time without a time zone."""
    if value is None:
        return None
    if types.is_timestamp(found):
        return value if found.tz is None else value.astimezone().replace(tzinfo=None)
    if types.is_struct(found):
        return Row(*(field.name for field in found))(*(_as_spark(value[field.name], field.type) for field in found))
    if types.is_map(found):
        return {_as_spark(key, found.key_type): _as_spark(item, found.item_type) for key, item in value}
    if any(is_of(found) for is_of in _LISTS):
        return [_as_spark(item, found.value_type) for item in value]
    return value
