"""Read JSON files whose rows are the items of a run. Runs on the driver."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Input
from sparkscore.plan import Snapshot
from sparkscore.sources.column_order import order_of_json
from sparkscore.sources.declaration import declared_schema, not_null_columns
from sparkscore.sources.json_integers import read_integers
from sparkscore.sources.json_survey import JsonFiles, json_options, read_json
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.sources.rows import input_schema, pinned_reads, with_source_file
from sparkscore.sources.samples import check_files_unchanged
from sparkscore.sources.spark_files import list_readable_files, open_files, snapshot_of_files

# Spark's default mode replaces what it cannot parse with NULL. A lost value is worse than a failed run.
_DEFAULT_OPTIONS: Final = {"mode": "FAILFAST"}


class JsonSource:
    """A source whose items are the rows of JSON files."""

    def __init__(self, spark: SparkSession, config: Input) -> None:
        options = json_options(_DEFAULT_OPTIONS | config.options)
        listing = list_readable_files(spark, config.location)
        self._files = open_files(spark, listing, "json", options)
        self._survey: JsonFiles | None = None
        self._not_null: frozenset[str] = frozenset()
        self._frame: DataFrame | None = None
        order_doubt = ""
        if listing.files:
            self._frame, order_doubt = self._read(config)
        self._snapshot = snapshot_of_files(config, listing, "json", items=self._count_rows(), order_doubt=order_doubt)

    @property
    def snapshot(self) -> Snapshot:
        """A description of the input, including the files that were listed when it was opened."""
        return self._snapshot

    def columns(self) -> StructType | None:
        """Return the columns of the rows, or None if the input has no files."""
        return None if self._frame is None else input_schema(self._frame)

    def frame(self) -> DataFrame | None:
        """Return the rows, with each row's source file in a hidden column, or None if the input has no files."""
        return self._frame

    def planned_rows(self) -> PlannedRows | str:
        """Return the reason why workers do not read the rows themselves."""
        return "the input has the format json"

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the NULL counts of the given columns, determined when the input was opened.

        The count is 0 for a column declared NOT NULL. Any other column is left out if no record contains it, or if the
        'mode' option allows Spark to drop or change records.
        """
        counts = dict.fromkeys(self._not_null.intersection(columns), 0)
        if self._survey is not None and self._survey.are_all_read:
            counts |= self._survey.count_nulls(set(columns) - self._not_null)
        return counts

    def check_contents(self) -> None:
        """Do nothing, since the contents were checked when the input was opened."""

    def check_unchanged(self) -> None:
        """Check that no file has changed since it was listed.

        Raises:
            SourceError: a file has changed or no longer exists.
        """
        check_files_unchanged(self._files.files)

    def _read(self, config: Input) -> tuple[DataFrame, str]:
        """Return the rows, and the reason why their column order is uncertain (an empty string if it is certain)."""
        files = self._files
        with pinned_reads(files.spark, "json"):
            declared = declared_schema(config.schema_ddl)
            self._not_null = not_null_columns(declared)
            survey = self._survey = read_json(files.spark, files.files, files.options, declared, config.columns)
            of_files = files.infer_schema() if survey.schema is None else survey.schema

            def read(schema: StructType) -> DataFrame:
                return read_integers(lambda stored: with_source_file(files.load(stored)), schema, survey.respelled)

            frame = files.read_rows(declared, of_files, read)
            return files.select_in_order(
                frame, config.columns, declared, lambda columns: order_of_json(files.files, files.options, columns)
            )

    def _count_rows(self) -> int | None:
        """Return the number of rows, or None if it is not known because Spark may drop some of them."""
        if self._survey is None:
            return 0
        return self._survey.rows if self._survey.are_all_read else None
