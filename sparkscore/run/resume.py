"""Resume a run that stopped. Runs on the driver."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from sparkscore.record.listing import runs_folder
from sparkscore.run.asked import stored_request
from sparkscore.run.pipeline import execute
from sparkscore.run.prepare import PreparedRun, prepare_request
from sparkscore.run.result import Run


def resume(spark: SparkSession, run_id: str, *, runs: str | Path | None = None) -> Run:
    """Resume a run that was interrupted or killed, that failed, or that could not be published.

    The run's stored request is executed again under the same run id. Relative paths in it are resolved against the
    folder in which the run was started. Finished chunks that are still staged are not scored again, and published rows
    are not published again. Runs on the driver.

    Args:
        spark: the session to use.
        run_id: id of the run.
        runs: the runs folder. If None, ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs``.

    Raises:
        RunNotFoundError: there is no such run, its request was not stored, or the stored request is damaged.
        SparkscoreError: the request is wrong, or the run failed. The error's ``record`` attribute is the run record, or
            None if the run had not started.
    """
    return execute(spark, prepare_again(run_id, runs=runs))


def prepare_again(run_id: str, *, runs: str | Path | None = None) -> PreparedRun:
    """Check an earlier run's stored request, and return it as a `PreparedRun` that can be executed again.

    Takes the same arguments as `resume`, and raises the same errors as `prepare`. In addition, raises a
    `RunNotFoundError` if there is no stored request, and a `ConfigError` if the folder in which the run was started no
    longer exists.
    """
    return prepare_request(stored_request(runs_folder(runs), run_id), run_id)
