"""Find the data files of one version of a Delta table, and plan how the workers read them. Runs on the driver.

Spark itself says which files have how many rows, and which values their partition columns have. So deleted rows, paths
outside of the table and the forms in which values are written in the log are as Spark reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.types import ArrayType, BinaryType, DataType, IntegralType, MapType, StringType, StructType

from sparkscore.location import is_remote, plain_path
from sparkscore.object_store import SCHEME, ObjectStore, size_in
from sparkscore.parquet import FileKeys
from sparkscore.parquet.stored import UnreadableError
from sparkscore.plan import InputFile
from sparkscore.row_units import FileRows
from sparkscore.sources.delta_version import TableVersion
from sparkscore.sources.footers import Footer, Footers, read_footers
from sparkscore.sources.parquet_reader import choose_reader
from sparkscore.sources.parquet_types import FileType, is_same
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.spark.schema import column
from sparkscore.survey.each_file import read_each
from sparkscore.worker.intake import settle_types

_GROUPED: Final = (StringType, BinaryType)
_INTEGERS: Final = ("tinyint", "smallint", "int", "bigint")


@dataclass(frozen=True)
class DataFiles:
    """The data files of a table that have rows, ordered by path.

    Attributes:
        uris: the paths as Spark gives them.
        rows: the number of rows of each file, without deleted rows.
        sizes: the size of each file in bytes, as in the table's log.
        keys: the values of the partition columns for each file.
        with_default: the columns that may have a value in files that lack them.
    """

    uris: tuple[str, ...]
    rows: tuple[int, ...]
    sizes: tuple[int, ...]
    keys: pa.RecordBatch
    with_default: frozenset[str] = frozenset()

    def measure(self) -> tuple[int, int]:
        """Return the number of rows, and the total size of the files in bytes."""
        return sum(self.rows), sum(self.sizes)


def find_data_files(frame: DataFrame, version: TableVersion) -> DataFiles:
    """Return the data files of a table. This starts a Spark job, which reads no column of the files.

    Args:
        frame: the rows of the table.
        version: what the table's log says about the version.

    Raises:
        UnreadableError: a setting of the session removes the paths, or these and the partition columns have more than
            2 GB.
    """
    partitions = version.partition_columns
    found = group_by_file(frame, partitions)
    if "file" not in found.columns:
        raise UnreadableError("'spark.sql.retainGroupColumns' is false")
    table = found.toArrow().sort_by("file").combine_chunks()
    batches = table.to_batches()
    if len(batches) > 1:
        raise UnreadableError("the table has too many files")
    batch = settle_types(batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema))
    values = batch.select([_key(number) for number in range(len(partitions))])
    return DataFiles(
        tuple(batch.column("file").to_pylist()),
        tuple(batch.column("rows").to_pylist()),
        tuple(batch.column("size").to_pylist()),
        values.rename_columns(list(partitions)),
        version.with_default(),
    )


def group_by_file(frame: DataFrame, partitions: Sequence[str]) -> DataFrame:
    """Return a row for each data file: its path, its number of rows, its size and its values of the partition columns.

    Args:
        frame: the rows of the table.
        partitions: the names of the partition columns.
    """
    metadata = frame.metadataColumn("_metadata")
    file, size = (metadata.getField(name) for name in ("file_path", "file_size"))
    keys = {_key(number): name for number, name in enumerate(partitions)}
    values = [column(name).alias(key) for key, name in keys.items()]
    rows = frame.select(file.alias("file"), size.alias("size"), *values)
    # To find the first text of each file, Spark would sort all rows. Floats are not grouped: -0.0 would become 0.0.
    groups = [key for key, name in keys.items() if isinstance(frame.schema[name].dataType, _GROUPED)]
    firsts = [functions.first(key).alias(key) for key in keys if key not in groups]
    counts = (functions.count("*").alias("rows"), functions.max("size").alias("size"))
    return rows.groupBy("file", *groups).agg(*counts, *firsts)


def _key(number: int) -> str:
    return f"key{number}"


def plan_data_files(
    files: DataFiles, schema: StructType, spark: SparkSession | None = None, store: ObjectStore | None = None
) -> PlannedRows:
    """Return the rows for workers that read the data files of a table themselves.

    Args:
        files: the files.
        schema: the columns of the rows as Spark's reader would give them.
        spark: the session whose workers read the footers of many files, or None if the driver must read all.
        store: the store that contains the table and its files, or None if they are local.

    Raises:
        UnreadableError: the workers might read other rows than Spark.
        SourceError: the store does not answer, or refuses to.
    """
    if elsewhere := next((uri for uri in files.uris if not is_in(store, uri)), None):
        raise UnreadableError(f"'{elsewhere}' is in another store than the table")
    inputs = [InputFile(plain_path(uri), size, 0) for uri, size in zip(files.uris, files.sizes, strict=True)]
    if len({file.path for file in inputs}) < len(inputs):
        raise UnreadableError("the log has a file twice")
    footers = read_footers(inputs, columns=(), spark=spark, store=store)
    planned = _rows_of_files(inputs, files.rows, footers)
    keys = FileKeys.of([file.path for file in inputs], files.keys) if files.keys.num_columns else None
    stored = StructType([field for field in schema if field.name not in files.keys.schema.names])
    firsts = {id(footer): (file, footer) for file, footer in zip(inputs, footers.of_files, strict=True)}
    for file, footer in firsts.values():
        if footer is None:
            raise UnreadableError(f"the footer of '{file.path}' cannot be read")
        _check_types(file, footer, stored, files.with_default)
    reader = choose_reader(inputs, footers.of_files, schema, keys)
    if isinstance(reader, str):
        raise UnreadableError(reader)
    return PlannedRows(replace(reader, store=store), planned)


def is_in(store: ObjectStore | None, uri: str) -> bool:
    """Return whether a data file is in the given store, or is local if that is None.

    Args:
        store: the store of the table.
        uri: the path of the file as Spark gives it.
    """
    return not is_remote(uri) if store is None else uri.startswith(SCHEME)


def _rows_of_files(files: Sequence[InputFile], rows: Sequence[int], footers: Footers) -> tuple[FileRows, ...]:
    """Return the row groups of the files.

    Args:
        files: the files.
        rows: the number of rows of each file that are not deleted.
        footers: the footers of the files.

    Raises:
        UnreadableError: a file cannot be read, has another size than in the table's log, has deleted rows, or is in
            the log twice.
    """
    found = []
    sizes = _sizes_of(files, footers.states)
    for file, count, stored, size in zip(files, rows, footers.rows, sizes, strict=True):
        if stored is None or size != file.size_bytes:
            raise UnreadableError(f"'{file.path}' cannot be read, or its size is not that in the table's log")
        if sum(stored.rows) != count:
            is_deleted = sum(stored.rows) > count
            problem = f"some rows of '{file.path}' are deleted" if is_deleted else f"the log has '{file.path}' twice"
            raise UnreadableError(problem)
        found.append(stored)
    return tuple(found)


def _sizes_of(files: Sequence[InputFile], states: Sequence[str]) -> list[int | None]:
    """Return the sizes of the files. Those of objects are in their states, which local files do not have."""
    if any(states):
        return [size_in(state) if state else None for state in states]
    return list(read_each(_size_of, [file.path for file in files]))


def _size_of(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


def _check_types(file: InputFile, footer: Footer, columns: StructType, with_default: Collection[str]) -> None:
    """Check that a file stores the columns of the table with their types, or with types that only widen.

    Args:
        file: the file.
        footer: the footer of the file.
        columns: the columns of the table, without partition columns.
        with_default: the columns that may have a value in files that lack them.

    Raises:
        UnreadableError: the file stores a column with another type, or lacks a column that may have a value.
    """
    for field in columns:
        found = footer.columns.get(field.name)
        if found is None and field.name in with_default:
            raise UnreadableError(f"column '{field.name}', which has a default, is missing in '{file.path}'")
        if found is not None and not (_is_read_alike(found, field.dataType) and field.name not in footer.old_times):
            raise UnreadableError(f"column '{field.name}' is stored as {found.arrow_type} in '{file.path}'")


def _is_read_alike(found: FileType, wanted: DataType) -> bool:
    """Return whether Spark reads a column as the type of the table, and the workers read the same values."""
    if found.spark is None or found.stored is not None or found.is_nanos or found.needs_worker:
        return False
    if isinstance(found.spark, IntegralType) and isinstance(wanted, IntegralType):
        one, other = (_INTEGERS.index(each.simpleString()) for each in (found.spark, wanted))
        return one <= other
    return _is_part_of(found.spark, wanted)


def _is_part_of(stored: DataType, wanted: DataType) -> bool:
    """Return whether two types are the same, except that structs of the second may have more fields.

    Spark finds the fields by name. Those that a file lacks are NULL.
    """
    if isinstance(stored, ArrayType) and isinstance(wanted, ArrayType):
        return _is_part_of(stored.elementType, wanted.elementType)
    if isinstance(stored, MapType) and isinstance(wanted, MapType):
        return _is_part_of(stored.keyType, wanted.keyType) and _is_part_of(stored.valueType, wanted.valueType)
    if isinstance(stored, StructType) and isinstance(wanted, StructType):
        types: Mapping[str, DataType] = {field.name: field.dataType for field in wanted}
        return all(field.name in types and _is_part_of(field.dataType, types[field.name]) for field in stored)
    return is_same(stored, wanted)
