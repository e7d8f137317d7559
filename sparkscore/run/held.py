"""Publish or discard a run that was scored but not published: it was held, or publishing it failed.

Runs on the driver.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.record.listing import runs_folder
from sparkscore.record.run_record import ABORT, RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.run.hosts import check_hosts
from sparkscore.run.publishing import describe_output, publish_manifest
from sparkscore.run.quarantine import open_quarantine
from sparkscore.run.recorded_deployment import deployment_of, run_id_column
from sparkscore.run.recording import recorded
from sparkscore.run.result import Run
from sparkscore.run.scored_again import check_still_left, family_locked, note_publishing
from sparkscore.run.staged_files import check_staged_files
from sparkscore.run.state import RunState, Waiting, locked_run, nothing_waits
from sparkscore.sinks import Published, Sink, open_sink, remove_stage, staged_in
from sparkscore.spark.connect import working_on
from sparkscore.spark.schema import from_arrow, schema_of
from sparkscore.worker import QUARANTINE_SCHEMA


def publish(spark: SparkSession, run_id: str, *, runs: str | Path | None = None) -> Run:
    """Publish a run that is held (``publish: audit``) or that failed to publish. Nothing is scored.

    The input, the model and the deployment file are not needed. A run whose state is COMPLETE is returned unchanged.
    Runs on the driver.

    Args:
        spark: the session that publishes.
        run_id: id of the run.
        runs: the runs folder. If None, ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs``.

    Raises:
        RunNotFoundError: there is no such run; or, for a run with ``only_failed``, the run in which the items first
            failed no longer has a record.
        ConfigError: the run has no staged rows to publish, the run id is not valid, or another driver is working on the
            run. For a run with ``only_failed``, also raised if another run is working on the same failed items, or if
            rows of another run with ``only_failed`` were added to or removed from the output since this run was scored.
        SinkError: publishing failed, the output cannot be read, or a staged file was changed.
        ScoringError: the Spark job that checks the staged files failed.
        LineageError: a file of the run cannot be written, was changed, or has a format that this version of sparkscore
            cannot read.
    """
    folder = runs_folder(runs)
    with working_on(spark), locked_run(folder, run_id) as state:
        if state.is_complete and state.record is not None and _names_result(state.record):
            return _published(spark, state.record, state.folder)
        held = state.waiting()
        over = held.record.only_failed
        with family_locked(folder, None if over is None else over.first):
            return _publish(spark, state, held)


def _names_result(record: RunRecord) -> bool:
    """Return whether the record of a complete run is enough to read the rows that the run published.

    It is enough if it contains the version of the output. The record of a run with ``only_failed`` is enough even
    without a version: there was nothing to score, so the result is empty.
    """
    return record.output.version is not None or record.only_failed is not None


def _published(spark: SparkSession, record: RunRecord, folder: RunStore) -> Run:
    output, schema = record.output, schema_of(record.output.columns or {})
    if output.version is None:  # a run with `only_failed` that had no items to score
        return Run(record, partial(spark.createDataFrame, [], schema), spark, folder)
    sink = _sink(spark, deployment_of(record), record.run_id)
    read = partial(sink.read, Published(output.version, output.rows, schema))
    return Run(record, read, spark, folder)


def _publish(spark: SparkSession, state: RunState, held: Waiting) -> Run:
    folder, record, stage_setting = held.folder, held.record, held.deployment.output.stage
    manifest = folder.read_manifest()
    if manifest is None:
        raise nothing_waits(state, "nothing that waits to be published")
    sink = _sink(spark, held.deployment, folder.run_id)
    sinks, schema = (sink, open_quarantine(spark, held.deployment, folder.run_id)), schema_of(manifest.columns)
    with (
        recorded(folder, state.lock, record, held.deployment.settings.logging_level) as recording,
        staged_in(
            sink.target, stage_setting, held.identity, is_moved=sink.moves_files, run_folder=folder.path
        ) as stage,
        recording.timed("publish"),
    ):
        # If publishing fails, the staged rows are kept, because they are still complete.
        stage.is_kept = True
        landed = sink.landed(schema, manifest.files)
        if landed is None:
            check_still_left(spark, folder.runs, record)
            check_hosts(spark, stage, sinks)
            check_staged_files(spark, manifest, stage)
            note_publishing(folder.runs, record, held.deployment, manifest)
        published = landed or publish_manifest(manifest, schema, sinks, stage, recording, manifest)
        recording.note(output=describe_output(sink, published), stage=None)
        stage.is_kept = False
    return Run(recording.content, partial(sink.read, published), spark, folder)


def discard(run_id: str, *, spark: SparkSession | None = None, runs: str | Path | None = None) -> dict[str, Any]:
    """Remove the staged rows of an unpublished run, and set its state to ABORT. Runs on the driver.

    Spark is needed only if publishing began but is not recorded as completed. In that case, the result table and the
    quarantine table are checked, and the run is not discarded if either contains rows of the run.

    Args:
        run_id: id of the run.
        spark: the session that reads the two tables, or None if it is not needed.
        runs: the runs folder. If None, ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs``.

    Returns:
        the run record as a dictionary.

    Raises:
        RunNotFoundError: there is no such run.
        ConfigError: the run has no staged rows; some of its rows are published; some may be published, but there is no
            session to check this; another driver is working on the run; or the run id is not valid.
        SinkError: the result table or the quarantine table cannot be read.
        LineageError: a file of the run cannot be written, or has a format that this version of sparkscore cannot read.
    """
    with locked_run(runs_folder(runs), run_id) as state:
        held = state.waiting()
        if state.may_be_published:
            _refuse_published(spark, state, held)
        with recorded(held.folder, state.lock, held.record, held.deployment.settings.logging_level) as recording:
            remove_stage(held.target, held.deployment.output.stage)
            recording.note(stage=None)
            recording.ends_as(ABORT)
    return recording.content.as_dict()


def _refuse_published(spark: SparkSession | None, state: RunState, held: Waiting) -> None:
    """Raise an error if any rows of a run are published, or if there is no session to check this.

    Rows in the quarantine table count as well.
    """
    run_id = held.folder.run_id
    if spark is None:
        raise ConfigError(
            code=ErrorCode.RUN_MAY_BE_PUBLISHED,
            what=f"run '{run_id}'",
            got="a driver that began to publish it and did not record the end",
            expected="a session that checks whether the table has its rows",
            state="Nothing was discarded.",
            next_step=f"Call discard('{run_id}', spark=spark), or publish the run with 'sparkscore publish {run_id}'.",
        )
    schema, quarantine = schema_of(held.record.output.columns or {}), open_quarantine(spark, held.deployment, run_id)
    with working_on(spark):
        sink = _sink(spark, held.deployment, run_id)
        landed = sink.landed(schema) or quarantine.landed(from_arrow(QUARANTINE_SCHEMA))
    if landed is not None:
        error = nothing_waits(state, "rows that readers already see")
        error.state = "Nothing was discarded."
        error.next_step = f"Complete it with 'sparkscore publish {run_id}'."
        raise error


def _sink(spark: SparkSession, deployment: Deployment, run_id: str) -> Sink:
    return open_sink(spark, deployment.output, run_id, run_id_column(deployment))
