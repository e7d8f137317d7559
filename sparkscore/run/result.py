"""A run that has ended well, and how to read what it made (driver)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from sparkscore.record.run_record import RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.run.quarantine import open_quarantine, read_quarantine
from sparkscore.run.recorded_deployment import deployment_of
from sparkscore.sinks import StagedResult
from sparkscore.spark.schema import from_arrow
from sparkscore.stage import StageFolder
from sparkscore.worker import QUARANTINE_SCHEMA


@dataclass(frozen=True)
class Run:
    """A run that is complete, or held until it is published.

    The frames are read when Spark needs their rows, so they show what is there then.

    Attributes:
        recorded: the run record, typed.
    """

    recorded: RunRecord
    _read: Callable[[], DataFrame]
    _spark: SparkSession
    _folder: RunStore

    @property
    def record(self) -> dict[str, Any]:
        """The run record as ``record.json`` holds it and ``--json`` prints it, in a new dict for each call."""
        return self.recorded.as_dict()

    def predictions(self) -> DataFrame:
        """Return this run's rows of the result, and no others, as they were committed; of a held run the staged ones.

        Runs on the driver.
        """
        return self._read()

    def quarantine(self) -> DataFrame:
        """Return the items of this run that failed and were tolerated; of a held run the staged ones.

        Runs on the driver. The frame has the quarantine's columns, and no rows where nothing failed.

        Raises:
            LineageError: the run is held, and another version of sparkscore wrote what it has staged.
        """
        if self.recorded.waits_for_publishing:
            return self._staged_quarantine(StageFolder(Path(str(self.recorded.stage))))
        return read_quarantine(self._spark, self.recorded)

    def attempts(self) -> DataFrame:
        """Return this run's rows of the run table: one for each call of the model that counts.

        Runs on the driver, which sends the rows to Spark: the folder of runs need not be visible to the workers.
        """
        table = self._folder.read_attempts()
        return self._spark.createDataFrame(table, from_arrow(table.schema))

    def _staged_quarantine(self, stage: StageFolder) -> DataFrame:
        manifest = self._folder.read_manifest()
        files = () if manifest is None else manifest.quarantined
        sink = open_quarantine(self._spark, deployment_of(self.recorded), self.recorded.run_id)
        return sink.read_staged(StagedResult(stage, files, from_arrow(QUARANTINE_SCHEMA), {}))
