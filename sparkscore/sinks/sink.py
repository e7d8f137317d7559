"""Define what a sink does, and open the sink for an output. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Output
from sparkscore.sinks.delta import DeltaSink
from sparkscore.sinks.origins import NO_ORIGINS, Origins
from sparkscore.sinks.parquet import ParquetSink
from sparkscore.sinks.target import Layout, Published, StagedResult, Target, target_of
from sparkscore.stage import RunStage, StagedFile


class Sink(Protocol):
    """Publishes a run's rows to an output. `DeltaSink` and `ParquetSink` implement this protocol."""

    format: str
    """The name of the format in a deployment: ``delta`` or ``parquet``."""

    moves_files: bool
    """Whether publishing moves the staged files, so that they must be on the output's file system."""

    @property
    def target(self) -> Target:
        """The location and settings of the output."""

    def check_target(self, *, is_retried: bool = False) -> None:
        """Check, before scoring, that the mode allows the run to write to the output in its current state.

        Args:
            is_retried: whether an earlier execution of this run began to create the table. Files at the output may then
                be from this run.

        Raises:
            SinkConflictError: the output has rows with this run id, or contains files or a table that the mode does not
                allow.
            SinkError: the user cannot write to the output, its file system is full, or its files cannot be read.
            MissingDependencyError: Spark must write to a Delta table, and the session has no Delta. Other methods raise
                this error as well if they need Spark for a Delta table.
        """

    def check_schema(self, schema: StructType, origins: Origins = NO_ORIGINS) -> None:
        """Check that the output can store the result columns.

        An existing Delta table must have the same columns. An existing folder of Parquet files must have the same
        columns only in ``append`` mode.

        Args:
            schema: the result columns.
            origins: the column names before renaming, if known, for the advice in errors.

        Raises:
            SinkSchemaError: the output cannot store a column, or has different columns, types or partition columns.
            SinkError: the output does not allow this write for another reason.
            ConfigError: a Spark session setting could change the result, and sparkscore cannot override it.
        """

    def lay_out(self, schema: StructType, stage: RunStage) -> Layout:
        """Decide before scoring how the tasks store the rows. A resumed run keeps its earlier decision.

        Args:
            schema: the result columns.
            stage: the run's stage.

        Raises:
            ConfigError: the table cannot be written by the writer that the deployment sets.
            SinkError: the decision of an earlier execution of the run was modified.
        """

    def columns_without_null(self) -> list[str]:
        """Return the names of the output's NOT NULL columns. Parquet outputs have none."""

    def check_rows(self, rows: Callable[[], DataFrame], schema: StructType) -> None:
        """Check that rows follow the rules of an existing output, for example NOT NULL.

        Rules about columns that are not in the rows are skipped.

        Args:
            rows: function that returns the rows, called only if the output has rules. The rows contain all result
                columns or, before scoring, only the columns whose values are known.
            schema: the result columns.

        Raises:
            SinkSchemaError: some rows break rules. The message lists each broken rule with the number of rows that
                break it.
        """

    def check_again(self, schema: StructType) -> None:
        """Repeat the checks of the mode, the existing files and the columns directly before publishing.

        Raises:
            SinkError: the output has changed since the first checks, and the run can no longer publish to it.
            ConfigError: a Spark session setting could change the result, and sparkscore cannot override it.
        """

    def publish(self, staged: StagedResult) -> Published:
        """Make the staged rows visible atomically.

        Returns:
            the published version of the output, and the number of rows that this run published.

        Raises:
            SinkError: publishing failed, or the number of published rows differs from the number of staged rows. The
                error describes the state of the output.
        """

    def landed(self, schema: StructType, files: Sequence[StagedFile] = ()) -> Published | None:
        """Return the version and row count that this run has published, or None if it has not published anything.

        They are read from the Delta table's history, or from the run's folder of Parquet files. The run record is not
        used, because the driver may have died before writing it.

        Args:
            schema: the result columns.
            files: the staged files that the run published, if known. Their names can show whether the published files
                are from this run.

        Raises:
            SinkConflictError: the run's folder of Parquet files does not contain this run's files.
            SinkError: the output cannot be read.
        """

    def shows_rows(self) -> bool:
        """Return whether readers of the output currently see rows or files of this run."""

    def holds(self, published: Published) -> bool:
        """Return whether the output still contains the version that this run published."""

    def has_same_rows(self, published: Published, staged: StagedResult, columns: Sequence[str]) -> bool:
        """Return whether the published and staged rows have the same values in the given columns, in any order."""

    def read_staged(self, staged: StagedResult) -> DataFrame:
        """Return this run's staged rows as a DataFrame."""

    def read(self, published: Published) -> DataFrame:
        """Return a DataFrame of the rows that this run published, without rows of other runs."""


def open_sink(spark: SparkSession, config: Output, run_id: str, run_id_column: str, part: str = "predictions") -> Sink:
    """Return the sink for an output, either a `DeltaSink` or a `ParquetSink`.

    Args:
        spark: the session that reads and publishes rows.
        config: the deployment's output.
        run_id: id of the run.
        run_id_column: name of the run id column.
        part: which part of the result is published, ``predictions`` or ``quarantine``.

    Raises:
        ConfigError: the deployment has no output location, or the location is in a remote store.
    """
    target = target_of(config, run_id, run_id_column, part)
    return DeltaSink(spark, target) if config.format == "delta" else ParquetSink(spark, target)
