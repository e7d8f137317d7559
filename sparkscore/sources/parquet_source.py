"""Define the source whose items are the rows of Parquet files. Runs on the driver."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.object_store import ObjectStore
from sparkscore.parquet import FolderKeys
from sparkscore.parquet.stored import UnreadableError
from sparkscore.plan import InputFile, Snapshot
from sparkscore.sources.column_order import doubt_of_parquet
from sparkscore.sources.declaration import declared_schema, not_null_columns
from sparkscore.sources.folder_keys import read_keys
from sparkscore.sources.footers import Footer, names_of, read_footers
from sparkscore.sources.object_stores import find_store
from sparkscore.sources.parquet_plan import ParquetPlan, plan_parquet
from sparkscore.sources.parquet_reader import choose_reader
from sparkscore.sources.parquet_rows import read_plan
from sparkscore.sources.parquet_schema import all_nullable, schema_of_footers
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.sources.rows import pinned_reads, select_columns, with_source_file
from sparkscore.sources.samples import check_files_unchanged, with_states
from sparkscore.sources.spark_files import list_readable_files, open_files, snapshot_of_files
from sparkscore.sources.worker_only import WorkerOnly, find_worker_only
from sparkscore.spark.map_in_arrow import map_on_workers
from sparkscore.survey.int96_times import Times, find_nanoseconds

# Makes Spark read all columns of all files.
_DEFAULT_OPTIONS: Final = {"mergeSchema": "true"}


class ParquetSource:
    """A source whose items are the rows of Parquet files.

    The columns and the number of rows come from the footers of the files. Spark is used only if the footers do not
    show them. A DataFrame of the rows is created only when `frame` is called.
    """

    def __init__(self, spark: SparkSession, config: Input) -> None:
        self._store = find_store(spark, config.location, config.options)
        self._objects = None if self._store is None else self._store.objects
        listing = list_readable_files(spark, config.location, self._objects)
        self._files = open_files(spark, listing, "parquet", _DEFAULT_OPTIONS | config.options)
        self._footers = read_footers(listing.files, config.columns, spark, self._objects)
        if self._objects is not None:
            listing = replace(listing, files=with_states(listing.files, self._footers.states, self._objects))
            self._files = replace(self._files, files=listing.files)
        self._frame: DataFrame | None = None
        self._columns: StructType | None = None
        self._schema = StructType([])
        self._groups: ParquetPlan | None = None
        self._not_null: frozenset[str] = frozenset()
        self._worker_only: WorkerOnly | None = None
        order_doubt = ""
        if listing.files:
            with pinned_reads(spark, "parquet"):
                order_doubt = self._plan(config)
        self._snapshot = snapshot_of_files(
            config, listing, "parquet", items=self._count_rows(), order_doubt=order_doubt
        )

    @property
    def snapshot(self) -> Snapshot:
        """A description of the input, including the files that were listed when it was opened."""
        return self._snapshot

    def columns(self) -> StructType | None:
        """Return the columns of the rows, or None if the input has no files."""
        return self._columns

    def frame(self) -> DataFrame | None:
        """Return the rows, with each row's source file in a hidden column, or None if the input has no files.

        Raises:
            SourceSchemaError: only the workers can read the files.
            ConfigError: only the workers can read from the store.
        """
        self._refuse_spark("a Spark model, a rule of the output or a search for NULLs needs its rows")
        if self._frame is None and self._columns is not None:
            with pinned_reads(self._files.spark, "parquet"):
                self._frame = self._read(self._columns.names)
        return self._frame

    def planned_rows(self) -> PlannedRows | str:
        """Return the rows for workers that read the files themselves, or the reason why Spark must read them.

        Raises:
            SourceSchemaError: Spark must read the files, and only the workers can.
            ConfigError: Spark must read the files, and only the workers can read from the store.
        """
        found = self._find_planned_rows()
        if isinstance(found, str):
            self._refuse_spark(found)
        return found

    def _refuse_spark(self, reason: str) -> None:
        """Raise an error if Spark cannot read the files, because of their types or their store."""
        if self._worker_only is not None:
            raise self._worker_only.refused(reason)
        if self._store is not None and not self._store.has_connector and self._files.files:
            raise self._store.refused(self._files.files[0].path, reason)

    def _find_planned_rows(self) -> PlannedRows | str:
        files, rows = self._files, [each for each in self._footers.rows if each is not None]
        if self._columns is None or len(rows) < len(files.files):
            return "the footer of a file cannot be read"
        if not all(_is_text(file.path) for file in files.files):
            return "the path of a file is not text"
        names = None if files.folder is None else FolderKeys(str(files.folder), files.keys)
        found = choose_reader(files.files, self._footers.of_files, self._columns, names, files.options)
        if isinstance(found, str):
            return found
        try:
            reader = replace(found, keys=self._read_keys(self._columns), store=self._objects)
        except UnreadableError as error:
            return str(error)
        return PlannedRows(reader, tuple(rows))

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the NULL counts of the given columns, from the footers of the files.

        The count is 0 for a column declared NOT NULL. Any other column is left out if the footers do not show its
        count; see `NullCounts.of`.
        """
        return self._footers.nulls.of(columns) | dict.fromkeys(self._not_null.intersection(columns), 0)

    def check_contents(self) -> None:
        """Check that no INT96 timestamp has nanoseconds, which Spark would truncate to microseconds.

        Only the columns that the run uses are checked.

        Raises:
            SourceError: a column contains such a timestamp.
            ScoringError: the Spark job that reads the columns failed.
        """
        if self._columns is not None:
            files = self._files
            suspects = _suspects(files.files, self._footers.of_files, self._columns.names, self._objects)
            _refuse_truncated_times(files.spark, suspects)

    def check_unchanged(self) -> None:
        """Check that no file has changed since it was listed.

        Raises:
            SourceError: a file has changed or no longer exists.
        """
        check_files_unchanged(self._files.files, self._objects)

    def _plan(self, config: Input) -> str:
        """Decide how the files are read, and which columns the rows have.

        Returns:
            the reason why the order of the columns is uncertain, or an empty string if it is certain.
        """
        files, footers = self._files, self._footers.of_files
        declared = declared_schema(config.schema_ddl)
        self._not_null = not_null_columns(declared)
        self._groups = plan_parquet(files.files, footers, declared, config.columns)
        if self._groups is not None:
            of_files = self._groups.schema
        else:
            of_files = schema_of_footers(footers) or files.infer_schema()
        self._schema = files.whole_schema(declared, of_files)
        order, doubt = files.order_of(
            self._schema.names,
            config.columns,
            declared,
            lambda columns: (columns, doubt_of_parquet(files.files, names_of(footers))),
        )
        self._columns = all_nullable(StructType([self._schema[name] for name in order]))
        self._worker_only = find_worker_only(files.files, footers, order)
        if self._worker_only is not None and config.reader == "spark":
            raise self._worker_only.refused("'input.reader' is spark", is_chosen=True)
        return doubt

    def _read(self, order: Sequence[str]) -> DataFrame:
        """Return the rows, with their columns in the given order, and the hidden columns."""
        files, plan = self._files, self._groups

        def read(schema: StructType) -> DataFrame:
            if plan is None:
                return with_source_file(files.load(schema))
            return read_plan(plan, schema, files.keys, files.load)

        frame = files.load_rows(self._schema, read)
        is_in_order = [name for name in frame.columns if name not in HIDDEN_COLUMNS] == list(order)
        return frame if is_in_order else select_columns(frame, tuple(order), "parquet")

    def _read_keys(self, columns: StructType) -> FolderKeys | None:
        """Return the values of the partition columns for the workers, or None if there are no partition columns.

        Args:
            columns: the columns of the rows.

        Raises:
            UnreadableError: Spark would read the name of a folder as another text.
        """
        files = self._files
        if files.folder is None:
            return None
        with pinned_reads(files.spark, "parquet"):
            return read_keys(files.spark, files.files, files.folder, columns, files.keys, files.zone)

    def _count_rows(self) -> int:
        """Return the number of rows, or 0 if the input has no files.

        If the footers do not show it, Spark counts the rows without reading any column.
        """
        if not self._files.files:
            return 0
        counted = self._footers.count_rows()
        if counted is not None:
            return counted
        frame = self.frame()
        with pinned_reads(self._files.spark, "parquet"):
            return 0 if frame is None else frame.count()


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False
    return True


def _suspects(
    files: Sequence[InputFile],
    footers: Sequence[Footer | None],
    columns: Collection[str],
    store: ObjectStore | None,
) -> list[Times]:
    """Return the files whose INT96 timestamps may have nanoseconds, each with these columns and its store.

    Args:
        files: the Parquet files.
        footers: the footer of each file, or None for a footer that cannot be read.
        columns: the columns to check.
        store: the store that contains the files, or None if they are local.
    """
    return [
        (file.path, tuple(sorted(footer.old_times.intersection(columns))), store)
        for file, footer in zip(files, footers, strict=True)
        if footer is not None and footer.old_times.intersection(columns)
    ]


def _refuse_truncated_times(spark: SparkSession, suspects: Sequence[Times]) -> None:
    """Raise an error if an INT96 timestamp has nanoseconds.

    A Spark job reads the columns that may contain nanoseconds.

    Args:
        spark: the session.
        suspects: the files and columns to read.

    Raises:
        SourceError: a timestamp has nanoseconds. The message contains its file and column.
        ScoringError: the Spark job failed.
    """
    for answer in map_on_workers(spark, find_nanoseconds, [(suspect,) for suspect in suspects]):
        if answer:
            path, name = json.loads(answer)
            raise SourceError(
                code=ErrorCode.INPUT_VALUE,
                what=f"column '{name}' of the Parquet file '{path}'",
                got="a time with parts of a microsecond, in the old form INT96",
                expected="times that Spark holds exactly",
                next_step="Write the column in microseconds, in pandas with .dt.floor('us'), or leave it out with "
                "'input.columns'.",
            )
