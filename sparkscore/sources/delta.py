"""Read one version of a Delta table whose rows are the items of a run. Runs on the driver."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.types import StructType

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceNotFoundError
from sparkscore.location import is_remote, local_path, plain_path
from sparkscore.object_store import ObjectFolder, ObjectStore
from sparkscore.parquet.stored import UnreadableError
from sparkscore.plan import Snapshot
from sparkscore.sources.agreement import check_column_names
from sparkscore.sources.delta_files import DataFiles, find_data_files, is_in, plan_data_files
from sparkscore.sources.delta_version import check_version, read_version
from sparkscore.sources.footers import count_nulls
from sparkscore.sources.object_stores import UncertainStoreError, find_certain_store
from sparkscore.sources.partition_times import refuse_times_of_a_session
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.sources.rows import input_schema, pinned_reads, select_columns, with_source_file
from sparkscore.spark.delta_log import FolderOnDisk, LogFolder
from sparkscore.spark.delta_statements import check_delta, describe
from sparkscore.spark.errors import SPARK_ERRORS, explain_read_error
from sparkscore.spark.jvm_names import refuse_unreadable_names
from sparkscore.spark.settings import read_from


class DeltaSource:
    """A source whose items are the rows of a Delta table.

    It reads the version set by 'input.version', or else the version that is newest when the source is opened.
    """

    def __init__(self, spark: SparkSession, config: Input) -> None:
        if len(config.location) != 1:
            raise SourceError(
                code=ErrorCode.INPUT_DELTA,
                what="a Delta input is one table",
                got=f"{len(config.location)} locations",
                next_step="Score the tables one by one.",
            )
        location = config.location[0]
        self._path = location if is_remote(location) else str(local_path(location))
        check_delta(spark, f"input '{self._path}'", "Copy the table to Parquet where there is Delta.")
        refuse_unreadable_names(spark, [self._path])
        with pinned_reads(spark, "Delta"):
            version = self._find_version(spark, config.version)
            frame = read_from(spark, "delta", {"versionAsOf": str(version)}).load(self._path)
            check_column_names(frame.columns, "Delta")
            self._frame = select_columns(with_source_file(frame), config.columns, "Delta")
            table_id, newest_partitions = self._find_detail(spark)
            self._store, self._files = _find_files(spark, self._path, version, frame, config.options)
            items, size_bytes = _measure(frame) if isinstance(self._files, str) else self._files.measure()
        if isinstance(self._files, str):
            partitions = [name for name in newest_partitions if name in frame.columns]
        else:
            partitions = list(self._files.keys.schema.names)
        refuse_times_of_a_session(spark, frame, partitions, self._path, config.options)
        self._spark = spark
        self._snapshot = Snapshot("delta", location, version, size_bytes, items, table_id=table_id)

    @property
    def snapshot(self) -> Snapshot:
        """A description of the table, including the version that is read."""
        return self._snapshot

    def columns(self) -> StructType | None:
        """Return the columns of the rows."""
        return input_schema(self._frame)

    def frame(self) -> DataFrame | None:
        """Return the rows, with each row's data file in a hidden column."""
        return self._frame

    def planned_rows(self) -> PlannedRows | str:
        """Return the rows for workers that read the data files themselves, or the reason why Spark must read them."""
        if isinstance(self._files, str):
            return self._files
        try:
            return plan_data_files(self._files, input_schema(self._frame), self._spark, self._store)
        except UnreadableError as error:
            return str(error)
        except SourceError as error:  # Spark may have other credentials
            if self._store is None:
                raise
            return f"the driver cannot read from the store without Spark: {error.got}"

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the NULL counts of the given columns, from the footers of the table's data files.

        A column is left out if its count is not known, for example because some NULLs may be in deleted rows. All
        columns are left out if a file is in a store from which the workers do not read, or if columns may have
        different names in the data files.
        """
        # The statistics in the Delta log are not used, because they may cover only the first columns or no column.
        if isinstance(self._files, str) or not all(is_in(self._store, uri) for uri in self._files.uris):
            return {}
        paths = [plain_path(uri) for uri in self._files.uris]
        try:
            return count_nulls(paths, columns, self._snapshot.items, self._spark, self._store)
        except SourceError:
            if self._store is None:
                raise
            return {}

    def check_contents(self) -> None:
        """Do nothing, since the table was checked when it was opened."""

    def check_unchanged(self) -> None:
        """Check that the table has not been removed and created again.

        A table that was created again may have a version with the same number but different rows. Within one table, the
        rows of a version never change, so nothing else is checked.

        Raises:
            SourceError: the table has a different id than when it was opened, or it cannot be read.
        """
        try:
            found, _ = self._find_detail(self._spark)
        except SPARK_ERRORS as error:
            raise explain_read_error(error, "Delta") from error
        if found != self._snapshot.table_id:
            raise SourceError(
                code=ErrorCode.INPUT_CHANGED,
                what=f"Delta table '{self._path}'",
                got="another table with the same name, created while the run read it",
                expected=f"the table with id {self._snapshot.table_id}",
                next_step="Run again with another run id.",
            )

    def _find_detail(self, spark: SparkSession) -> tuple[str, list[str]]:
        """Return the table's id, and the partition columns of its newest version."""
        found = describe(spark, "DETAIL", self._path).select("id", "partitionColumns").first()
        return ("", []) if found is None else (str(found[0]), list(found[1]))

    def _find_version(self, spark: SparkSession, wanted: int | None) -> int:
        """Return the table version that the run reads: the wanted version, or the newest if `wanted` is None.

        Raises:
            SourceNotFoundError: the location is a local path without a Delta table, or the table's history does not
                contain the wanted version.
        """
        if not is_remote(self._path) and not (local_path(self._path) / "_delta_log").is_dir():
            raise SourceNotFoundError(
                code=ErrorCode.INPUT_NOT_FOUND,
                what=f"input '{self._path}'",
                got="no Delta table",
                next_step="Correct --input, or set its format with --input-format.",
            )
        history = describe(spark, "HISTORY", self._path).select("version")
        bounds = history.agg(functions.min("version"), functions.max("version")).first()
        oldest, newest = (int(bounds[0]), int(bounds[1])) if bounds is not None else (0, 0)
        if wanted is None:
            return newest
        if not oldest <= wanted <= newest:
            raise SourceNotFoundError(
                code=ErrorCode.INPUT_VERSION,
                what=f"Delta table '{self._path}'",
                got=f"a request for version {wanted}",
                expected=f"a version from {oldest} to {newest}",
                next_step="Correct 'input.version'.",
            )
        return wanted


def _find_files(
    spark: SparkSession, path: str, number: int, frame: DataFrame, options: Mapping[str, str]
) -> tuple[ObjectStore | None, DataFiles | str]:
    """Return the data files of a table's version, or the reason why the workers cannot read them.

    Args:
        spark: the session.
        path: the location of the table.
        number: the version.
        frame: the rows of the table.
        options: the options for Spark's reader.

    Returns:
        the store of the table, or None if it is local or the workers cannot read from it; and the files or the reason.
    """
    store = None
    try:
        if is_remote(path):
            store = find_certain_store(spark, [path], options).objects
        version = read_version(_log_of(path, store), number)
        check_version(version, frame.columns)
        return store, find_data_files(frame, version)
    except UnreadableError as error:
        return store, str(error)
    except UncertainStoreError as error:
        return None, f"the Delta table is in a store that the workers cannot read for certain: {error}"


def _log_of(path: str, store: ObjectStore | None) -> LogFolder:
    if store is None:
        return FolderOnDisk(local_path(path) / "_delta_log")
    return ObjectFolder(store, f"{path.rstrip('/')}/_delta_log")


def _measure(frame: DataFrame) -> tuple[int, int]:
    """Return the number of rows, and the total size in bytes of the data files that contain them.

    This starts a Spark job, which reads no column of the table.
    """
    metadata = frame.metadataColumn("_metadata")
    files = frame.select(metadata.getField("file_path").alias("file"), metadata.getField("file_size").alias("size"))
    of_each = files.groupBy("file").agg(functions.count("*").alias("rows"), functions.max("size").alias("size"))
    totals = of_each.agg(functions.sum("rows"), functions.sum("size")).first()
    if totals is None or totals[0] is None:
        return 0, 0
    return int(totals[0]), int(totals[1])
