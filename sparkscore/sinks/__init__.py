"""Publish staged rows to an output: a Delta table or a folder of Parquet files (driver).

`open_sink` returns the sink for an output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Output
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.location import local_path
from sparkscore.sinks.delta import DeltaSink
from sparkscore.sinks.origins import NO_ORIGINS, Origins
from sparkscore.sinks.parquet import ParquetSink
from sparkscore.sinks.stage import Stage, check_waiting, first_commit_began, remove_stage, stage_at, stage_of, staged_in
from sparkscore.sinks.target import Published, StagedResult, Target
from sparkscore.stage import StagedFile

__all__ = [
    "Published",
    "Sink",
    "Stage",
    "StagedResult",
    "Target",
    "check_waiting",
    "first_commit_began",
    "open_sink",
    "remove_stage",
    "stage_at",
    "stage_of",
    "staged_in",
    "target_of",
]


class Sink(Protocol):
    """An output to which a run publishes its rows."""

    format: str
    """The name of the format in a deployment: ``delta`` or ``parquet``."""

    lays_out_partitions: bool
    """Whether workers must stage the rows in a folder for each partition."""

    @property
    def target(self) -> Target:
        """The location and the settings of the output."""

    def check_target(self, *, is_retried: bool = False) -> None:
        """Check, before scoring, that the mode allows the run to write to the output in its current state.

        Args:
            is_retried: whether an earlier execution of this run has begun to create the table, so that files at the
                output may be from this run.

        Raises:
            SinkConflictError: the output has rows with this run id, or files or a table that the mode does not allow.
            SinkError: the user cannot write to the output, its file system is full, or its files cannot be read.
        """

    def check_schema(self, schema: StructType, origins: Origins = NO_ORIGINS) -> None:
        """Check that the output can store the columns of the result.

        An existing Delta table must have the same columns. An existing folder of Parquet files must have the same
        columns only in the mode ``append``.

        Args:
            schema: the columns of the result.
            origins: the names of the columns before they were renamed, if they are known, for the advice in errors.

        Raises:
            SinkSchemaError: the output cannot store a column, or has different columns, types or partition columns.
            SinkError: the output does not allow this write for another reason.
            ConfigError: a setting of the Spark session could change the result, and sparkscore cannot override it.
        """

    def columns_without_null(self) -> list[str]:
        """Return the names of the columns that the output declares as NOT NULL. Parquet outputs declare none."""

    def check_rows(self, rows: Callable[[], DataFrame], schema: StructType) -> None:
        """Check that rows follow the rules of an existing output, for example NOT NULL.

        Rules about columns that the rows do not have are not checked.

        Args:
            rows: function that returns the rows. The rows have all columns of the result or, before scoring, only the
                columns whose values are known. The function is called only if the output has rules.
            schema: the columns of the result.

        Raises:
            SinkSchemaError: some rows break rules. The message lists each of these rules with the number of rows
                that break it.
        """

    def check_again(self, schema: StructType) -> None:
        """Repeat the checks of the mode, the existing files and the columns directly before publishing.

        Raises:
            SinkError: the output was changed since the first checks, and the run can no longer publish to it.
            ConfigError: a setting of the Spark session could change the result, and sparkscore cannot override it.
        """

    def publish(self, staged: StagedResult) -> Published:
        """Make the staged rows visible atomically.

        Returns:
            the published version of the output, and the number of rows that this run published.

        Raises:
            SinkError: publishing failed, or this run published a different number of rows than were staged. The error
                describes the state of the output.
        """

    def landed(self, schema: StructType, files: Sequence[StagedFile] = ()) -> Published | None:
        """Return the version and the row count that this run has published, or None if the run has not published.

        The version and the row count are read from the history of the Delta table, or from the run's folder of Parquet
        files. The run record is not used, because the driver may have died before it wrote the record.

        Args:
            schema: the columns of the result.
            files: the staged files that the run published, if they are known. Their names can show whether the
                published files are from this run.

        Raises:
            SinkConflictError: the run's folder of Parquet files does not contain the files of this run.
            SinkError: the output cannot be read.
        """

    def shows_rows(self) -> bool:
        """Return whether readers see rows or files of this run in the output now."""

    def holds(self, published: Published) -> bool:
        """Return whether the output still has the version that this run published."""

    def has_same_rows(self, published: Published, staged: StagedResult, columns: Sequence[str]) -> bool:
        """Return whether the published rows equal the staged rows in the given columns. The order does not matter."""

    def read_staged(self, staged: StagedResult) -> DataFrame:
        """Return a DataFrame with the staged rows of this run."""

    def read(self, published: Published) -> DataFrame:
        """Return a DataFrame with the rows that this run published, without the rows of other runs."""


def open_sink(spark: SparkSession, config: Output, run_id: str, run_id_column: str, part: str = "predictions") -> Sink:
    """Return the sink for an output: a `DeltaSink` or a `ParquetSink`.

    Args:
        spark: the session that reads and publishes rows.
        config: the output in the deployment.
        run_id: id of the run.
        run_id_column: name of the column that contains the run id.
        part: the part of the run's result that is published, ``predictions`` or ``quarantine``.

    Raises:
        ConfigError: the deployment has no output location, or the location is in a remote store.
    """
    target = target_of(config, run_id, run_id_column, part)
    return DeltaSink(spark, target) if config.format == "delta" else ParquetSink(spark, target)


def target_of(config: Output, run_id: str, run_id_column: str, part: str = "predictions") -> Target:
    """Return the location and the settings of an output. No Spark session is needed.

    The arguments and errors are those of `open_sink`.
    """
    if not config.location:
        raise ConfigError(
            code=ErrorCode.OUTPUT_MISSING,
            what="the run has no output",
            next_step="Name it with --output LOCATION or 'output.location' in the deployment.",
        )
    return Target(
        local_path(config.location),
        config.mode,
        tuple(config.partition_by),
        run_id,
        run_id_column,
        part,
        replaces_foreign=config.replace == "foreign",
    )
