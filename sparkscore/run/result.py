"""The result of a run: its record, and DataFrames with its rows. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from sparkscore.record.run_record import RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.run.first_rows import read_first_rows
from sparkscore.run.quarantine import open_quarantine, read_quarantine
from sparkscore.run.recorded_deployment import deployment_of
from sparkscore.sinks import StagedResult, stage_at
from sparkscore.spark.schema import from_arrow
from sparkscore.stage import RunStage
from sparkscore.worker import QUARANTINE_SCHEMA


@dataclass(frozen=True)
class Run:
    """A run that is complete or held.

    `predictions` and `quarantine` return lazy DataFrames: Spark reads the rows when the DataFrame is used. `attempts`
    and `first_rows` read their rows when they are called.

    Attributes:
        recorded: the run record as a typed object.
    """

    recorded: RunRecord
    _read: Callable[[], DataFrame]
    _spark: SparkSession
    _folder: RunStore

    @property
    def record(self) -> dict[str, Any]:
        """The run record as a new dictionary, with the content of ``record.json``.

        On the command line, ``--json`` prints the same dictionary.
        """
        return self.recorded.as_dict()

    def predictions(self) -> DataFrame:
        """Return a DataFrame with the rows that this run published, or its staged rows if the run is held.

        Runs on the driver.
        """
        return self._read()

    def first_rows(self, count: int) -> list[dict[str, Any]]:
        """Return up to `count` rows of the result as dictionaries, for display. Runs on the driver.

        A Spark job reads them only if the driver cannot read them from a file that a worker wrote.
        """
        found = read_first_rows(self.recorded, self._folder, count)
        return [row.asDict() for row in self.predictions().limit(count).collect()] if found is None else found

    def quarantine(self) -> DataFrame:
        """Return a DataFrame with the run's rows in the quarantine table, or its staged quarantine rows if it is held.

        The quarantine contains the failed items that were tolerated. The DataFrame is empty if no item failed. Runs on
        the driver.

        Raises:
            LineageError: the run is held, and its record or manifest was changed, or has a format that this version of
                sparkscore cannot read.
        """
        if self.recorded.waits_for_publishing:
            return self._staged_quarantine(stage_at(str(self.recorded.stage)))
        return read_quarantine(self._spark, self.recorded)

    def attempts(self) -> DataFrame:
        """Return a DataFrame with one row for each call of the script or model: its items, seconds, worker and error.

        Test calls before scoring are not included. Runs on the driver, which reads the rows and sends them to Spark.
        Workers do not need access to the runs folder.

        Raises:
            LineageError: the table of calls cannot be read.
        """
        table = self._folder.read_attempts()
        return self._spark.createDataFrame(table, from_arrow(table.schema))

    def _staged_quarantine(self, stage: RunStage) -> DataFrame:
        manifest = self._folder.read_manifest()
        files = () if manifest is None else manifest.quarantined
        sink = open_quarantine(self._spark, deployment_of(self.recorded), self.recorded.run_id)
        return sink.read_staged(StagedResult(stage, files, from_arrow(QUARANTINE_SCHEMA), {}))
