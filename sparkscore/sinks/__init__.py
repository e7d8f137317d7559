"""Sinks: where the staged files become one committed result (driver).

`open_sink` gives the sink of an output; one contract suite in the tests runs against every implementation.
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
from sparkscore.sinks.stage import Stage, check_waiting, first_commit_began, remove_stage, stage_of, staged_in
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
    "stage_of",
    "staged_in",
    "target_of",
]


class Sink(Protocol):
    """An output."""

    format: str
    """What the deployment calls it."""

    lays_out_partitions: bool
    """Whether workers must stage the rows in the folders of their partitions."""

    @property
    def target(self) -> Target:
        """Where the result goes and how."""

    def check_target(self, *, is_retried: bool = False) -> None:
        """Refuse what is at the output's place already, as far as the mode does. Called before scoring.

        Args:
            is_retried: whether an earlier attempt at this run, in whose way nothing was, has begun to publish.

        Raises:
            SinkConflictError: something is there.
        """

    def check_schema(self, schema: StructType, origins: Origins = NO_ORIGINS) -> None:
        """Refuse a result that does not fit what is there. Called before scoring.

        Args:
            schema: the result's columns.
            origins: where they come from, as far as that is known, for the advice.

        Raises:
            SinkSchemaError: columns, types or partition columns differ.
        """

    def columns_without_null(self) -> list[str]:
        """Name the columns of what is there that are NOT NULL."""

    def check_rows(self, rows: Callable[[], DataFrame], schema: StructType) -> None:
        """Refuse rows that break a rule of what is there. Called before scoring and before anything is published.

        Args:
            rows: gives them, with all of the result's columns or with those whose values are known; asked where there
                are rules.
            schema: the result's columns.

        Raises:
            SinkSchemaError: with the rules, and how many rows break them.
        """

    def check_again(self, schema: StructType) -> None:
        """Refuse what came since `check_target` and `check_schema` were called. Called before anything is published.

        Raises:
            SinkError: what the two raise.
        """

    def publish(self, staged: StagedResult) -> Published:
        """Make the staged rows visible in one step, and read the proof back.

        Raises:
            SinkError: it did not work; the error says what readers see.
        """

    def landed(self, schema: StructType, files: Sequence[StagedFile] = ()) -> Published | None:
        """Find what an earlier attempt at this run has published before it died; the table is asked.

        Args:
            schema: the columns that it published.
            files: the staged files that it published, as far as that is certain.

        Raises:
            SinkConflictError: something else is where its rows would be.
        """

    def shows_rows(self) -> bool:
        """Whether readers see rows of this run in the table now, whatever was done to it since."""

    def holds(self, published: Published) -> bool:
        """Tell whether what this run published earlier is still there: the table is asked, not the record."""

    def has_same_rows(self, published: Published, staged: StagedResult, columns: Sequence[str]) -> bool:
        """Tell whether what this run has published is what it would publish, as far as these columns tell."""

    def read_staged(self, staged: StagedResult) -> DataFrame:
        """Give the rows that this run would publish."""

    def read(self, published: Published) -> DataFrame:
        """Give the rows that this run published, and no others."""


def open_sink(spark: SparkSession, config: Output, run_id: str, run_id_column: str, part: str = "predictions") -> Sink:
    """Give the sink of an output.

    Args:
        spark: the session that publishes.
        config: the deployment's output.
        run_id: the run.
        run_id_column: name of the column that holds the run id.
        part: which part of the run's result goes there.

    Raises:
        ConfigError: no location is given, or it is on a store that cannot be written.
    """
    target = target_of(config, run_id, run_id_column, part)
    return DeltaSink(spark, target) if config.format == "delta" else ParquetSink(spark, target)


def target_of(config: Output, run_id: str, run_id_column: str, part: str = "predictions") -> Target:
    """Say where an output goes, which needs no Spark; arguments and errors are those of `open_sink`."""
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
