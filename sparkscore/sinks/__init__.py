"""Publish staged rows into an output: a Delta table or a folder of Parquet files (driver).

`open_sink` returns the sink of an output. Each implementation passes the contract suite in the tests.
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
    """An output that a run publishes its rows into."""

    format: str
    """Name of the format in a deployment."""

    lays_out_partitions: bool
    """Whether workers must stage the rows in a folder for each partition."""

    @property
    def target(self) -> Target:
        """The location and the settings of the output."""

    def check_target(self, *, is_retried: bool = False) -> None:
        """Check that the mode allows to write to the output as it is. Called before scoring.

        Args:
            is_retried: whether this run was started before and has begun to publish, so that files at the output may
                be its own.

        Raises:
            SinkConflictError: the mode does not allow it, or files of others are in the way.
        """

    def check_schema(self, schema: StructType, origins: Origins = NO_ORIGINS) -> None:
        """Check that the columns of the result match an existing output. Called before scoring.

        Args:
            schema: the columns of the result.
            origins: the origin of the columns, as far as it is known, for the advice in errors.

        Raises:
            SinkSchemaError: columns, types or partition columns differ.
        """

    def columns_without_null(self) -> list[str]:
        """Return the columns of an existing output that are NOT NULL."""

    def check_rows(self, rows: Callable[[], DataFrame], schema: StructType) -> None:
        """Check that rows follow the rules of an existing output. Called before scoring and before publishing.

        Args:
            rows: function that returns the rows, with all columns of the result or with those whose values are known
                already. It is called only if there are rules.
            schema: the columns of the result.

        Raises:
            SinkSchemaError: rows break rules; the message has the rules and the number of rows.
        """

    def check_again(self, schema: StructType) -> None:
        """Repeat the checks of `check_target` and `check_schema` before publishing.

        Raises:
            SinkError: the output was changed since the first checks.
        """

    def publish(self, staged: StagedResult) -> Published:
        """Make the staged rows visible in one step, and check the published rows.

        Raises:
            SinkError: it failed; the error says what readers see.
        """

    def landed(self, schema: StructType, files: Sequence[StagedFile] = ()) -> Published | None:
        """Return the version and row count that this run has published, or None if it has published nothing.

        They are read from the output, not from the run record.

        Args:
            schema: the published columns.
            files: the staged files that were published, if they are known.

        Raises:
            SinkConflictError: other files are at the location of the run's rows.
        """

    def shows_rows(self) -> bool:
        """Whether the output has rows of this run now, even if it was changed after publishing."""

    def holds(self, published: Published) -> bool:
        """Whether the output still has the version that this run published."""

    def has_same_rows(self, published: Published, staged: StagedResult, columns: Sequence[str]) -> bool:
        """Whether the published rows equal the staged rows in these columns."""

    def read_staged(self, staged: StagedResult) -> DataFrame:
        """Return the staged rows of this run."""

    def read(self, published: Published) -> DataFrame:
        """Return the rows that this run published, without the rows of other runs."""


def open_sink(spark: SparkSession, config: Output, run_id: str, run_id_column: str, part: str = "predictions") -> Sink:
    """Return the sink of an output.

    Args:
        spark: the session that publishes.
        config: the deployment's output.
        run_id: id of the run.
        run_id_column: name of the column with the run id.
        part: the part of the run's result, ``predictions`` or ``quarantine``.

    Raises:
        ConfigError: there is no location, or sparkscore cannot write to it.
    """
    target = target_of(config, run_id, run_id_column, part)
    return DeltaSink(spark, target) if config.format == "delta" else ParquetSink(spark, target)


def target_of(config: Output, run_id: str, run_id_column: str, part: str = "predictions") -> Target:
    """Return the target of an output without Spark; arguments and errors are those of `open_sink`."""
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
