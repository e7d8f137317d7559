"""Resume a run that stopped (driver)."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from sparkscore.record.runs_folder import runs_folder
from sparkscore.run.asked import stored_request
from sparkscore.run.pipeline import execute
from sparkscore.run.prepare import PreparedRun, prepare_request
from sparkscore.run.result import Run


def resume(spark: SparkSession, run_id: str, *, runs: str | Path | None = None) -> Run:
    """Resume a run that was interrupted, killed or could not be published.

    The run's request is repeated under its id, and relative paths are those of the folder in which it was started.
    Chunks that are finished are not scored again, and rows that are published are not published again. Runs on the
    driver.

    Args:
        spark: the session to use.
        run_id: id of the run.
        runs: folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` if absent.

    Raises:
        RunNotFoundError: there is no such run, or its request was not stored.
        SparkscoreError: the run failed. The message says what happened to the data; ``record`` is the run record.
    """
    return execute(spark, prepare_again(run_id, runs=runs))


def prepare_again(run_id: str, *, runs: str | Path | None = None) -> PreparedRun:
    """Read and check the stored request of an earlier run; see `resume` for the arguments, `prepare` for the errors."""
    return prepare_request(stored_request(runs_folder(runs), run_id), run_id)
