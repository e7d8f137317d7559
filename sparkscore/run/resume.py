"""Take a run up where it stopped (driver)."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from sparkscore.record.runs_folder import runs_folder
from sparkscore.run.asked import asked_before
from sparkscore.run.pipeline import execute
from sparkscore.run.prepare import PreparedRun, prepare_asked
from sparkscore.run.result import Run


def resume(spark: SparkSession, run_id: str, *, runs: str | Path | None = None) -> Run:
    """Take up a run that was interrupted, killed or could not be published, where it stopped.

    Its request is made again under its id, with the paths of the folder in which it was made: only what is not done
    yet is scored, and what is published is not published again. Runs on the driver.

    Args:
        spark: the session to use.
        run_id: the run.
        runs: folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` when absent.

    Raises:
        RunNotFoundError: there is no such run, or its request was not kept.
        SparkscoreError: the run failed. The error says what became of the data, and its ``record`` what happened.
    """
    return execute(spark, prepare_again(run_id, runs=runs))


def prepare_again(run_id: str, *, runs: str | Path | None = None) -> PreparedRun:
    """Read and check the request of an earlier run again, as `sparkscore.run.prepare` does; arguments of `resume`."""
    return prepare_asked(asked_before(runs_folder(runs), run_id), run_id)
