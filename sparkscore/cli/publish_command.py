"""Implement ``sparkscore publish``: publish or discard a run that was scored but not published. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from sparkscore.cli.interrupts import interruptible
from sparkscore.cli.reply import OK, print_json, print_text, stdout_for_results
from sparkscore.cli.run_command import check_spark_options, spark_session
from sparkscore.cli.spark_options import SparkOptions
from sparkscore.cli.summary import print_record, result_console, summary_of
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.record.listing import read_record, runs_folder
from sparkscore.record.runs_folder import open_run
from sparkscore.run import discard, publish


def publish_run(run_id: str, runs: Path | None, session: SparkOptions, *, as_json: bool) -> int:
    """Publish a run that was scored but not published, and print a summary with its first rows.

    If the run is already published, only the summary is printed.

    Args:
        run_id: id of the run.
        runs: path of the runs folder, or None for the default folder.
        session: options for starting Spark or connecting to a server.
        as_json: whether to print the run record as JSON instead of a summary.

    Returns:
        the exit code 0.

    Raises:
        SparkscoreError: the run does not exist or cannot be published, Spark does not start, or publishing failed.
    """
    check_spark_options(session)
    folder = open_run(runs_folder(runs), run_id)
    read_record(runs_folder(runs), run_id)  # A wrong id is reported before Spark starts.
    with _spark_for(run_id, runs, session) as spark:
        with stdout_for_results():
            run = publish(spark, run_id, runs=runs)
        summary = "" if as_json else summary_of(run, folder.path)
    print_json(run.record) if as_json else print_text(summary)
    return OK


def discard_run(run_id: str, runs: Path | None, session: SparkOptions, *, as_json: bool) -> int:
    """Discard a run that was scored but not published, and print its record.

    Spark is started only if publishing may have begun, to check whether the table already contains the run's rows.
    The arguments and the exit code are the same as for `publish_run`.

    Raises:
        SparkscoreError: the run does not exist or cannot be discarded, or Spark is needed but does not start.
    """
    check_spark_options(session)
    try:
        answer = discard(run_id, runs=runs)
    except ConfigError as error:
        if error.code != ErrorCode.RUN_MAY_BE_PUBLISHED:
            raise
        with _spark_for(run_id, runs, session) as spark, stdout_for_results():
            answer = discard(run_id, spark=spark, runs=runs)
    if as_json:
        print_json(answer)
    else:
        folder = runs_folder(runs)
        print_record(read_record(folder, run_id), folder / run_id, result_console())
    return OK


@contextmanager
def _spark_for(run_id: str, runs: Path | None, session: SparkOptions) -> Iterator[SparkSession]:
    """Start Spark for the ``with`` block, and write Spark's log to the run's folder."""
    log_file = open_run(runs_folder(runs), run_id).spark_log_file
    with interruptible() as interrupts, spark_session(session, log_file, interrupts) as spark:
        yield spark
