"""Define the source whose items are the rows of Parquet files. Runs on the driver."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.plan import InputFile, Snapshot
from sparkscore.sources.column_order import doubt_of_parquet
from sparkscore.sources.declaration import declared_schema, not_null_columns
from sparkscore.sources.footers import Footer, names_of, read_footers
from sparkscore.sources.parquet_plan import plan_parquet
from sparkscore.sources.parquet_rows import read_plan
from sparkscore.sources.rows import pinned_reads, with_source_file
from sparkscore.sources.samples import check_files_unchanged
from sparkscore.sources.spark_files import list_readable_files, open_files, snapshot_of_files
from sparkscore.spark.map_in_arrow import map_on_workers
from sparkscore.survey.int96_times import find_nanoseconds

# Makes Spark read all columns of all files.
_DEFAULT_OPTIONS: Final = {"mergeSchema": "true"}


class ParquetSource:
    """A source whose items are the rows of Parquet files."""

    def __init__(self, spark: SparkSession, config: Input) -> None:
        listing = list_readable_files(spark, config.location)
        self._files = open_files(spark, listing, "parquet", _DEFAULT_OPTIONS | config.options)
        self._footers = read_footers(listing.files, config.columns)
        self._not_null: frozenset[str] = frozenset()
        self._frame: DataFrame | None = None
        order_doubt = ""
        if listing.files:
            self._frame, order_doubt = self._read(config)
        self._snapshot = snapshot_of_files(
            config, listing, "parquet", items=self._count_rows(), order_doubt=order_doubt
        )

    @property
    def snapshot(self) -> Snapshot:
        """A description of the input, including the files that were listed when it was opened."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Return the rows, with each row's source file in a hidden column, or None if the input has no files."""
        return self._frame

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
        if self._frame is not None:
            files = self._files
            _refuse_truncated_times(files.spark, files.files, self._footers.of_files, self._frame.columns)

    def check_unchanged(self) -> None:
        """Check that no file has changed since it was listed.

        Raises:
            SourceError: a file has changed or no longer exists.
        """
        check_files_unchanged(self._files.files)

    def _read(self, config: Input) -> tuple[DataFrame, str]:
        """Return the rows, and the reason why their column order is uncertain (an empty string if it is certain)."""
        files, footers = self._files, self._footers.of_files
        with pinned_reads(files.spark, "parquet"):
            declared = declared_schema(config.schema_ddl)
            self._not_null = not_null_columns(declared)
            plan = plan_parquet(files.files, footers, declared, config.columns)

            def read(schema: StructType) -> DataFrame:
                if plan is None:
                    return with_source_file(files.load(schema))
                return read_plan(plan, schema, files.keys, files.load)

            of_files = files.infer_schema() if plan is None else plan.schema
            frame = files.read_rows(declared, of_files, read)
            return files.select_in_order(
                frame,
                config.columns,
                declared,
                lambda columns: (columns, doubt_of_parquet(files.files, names_of(footers))),
            )

    def _count_rows(self) -> int:
        """Return the number of rows, or 0 if the input has no files. Spark counts them without reading any column."""
        if self._frame is None:
            return 0
        with pinned_reads(self._files.spark, "parquet"):
            return self._frame.count()


def _refuse_truncated_times(
    spark: SparkSession, files: Sequence[InputFile], footers: Sequence[Footer | None], columns: Collection[str]
) -> None:
    """Raise an error if an INT96 timestamp has nanoseconds.

    A Spark job reads the columns that may contain nanoseconds.

    Args:
        spark: the session.
        files: the Parquet files.
        footers: the footer of each file, or None for a footer that cannot be read.
        columns: the columns to check.

    Raises:
        SourceError: a timestamp has nanoseconds. The message contains its file and column.
        ScoringError: the Spark job failed.
    """
    suspects = [
        (file.path, tuple(sorted(footer.old_times.intersection(columns))))
        for file, footer in zip(files, footers, strict=True)
        if footer is not None and footer.old_times.intersection(columns)
    ]
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
