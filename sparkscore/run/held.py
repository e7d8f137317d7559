"""Publish, or discard, a run that was scored and not published: it is held, or publishing failed (driver)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from sparkscore.config import Deployment
from sparkscore.errors import ConfigError
from sparkscore.record.run_record import ABORT, COMPLETE, RunRecord
from sparkscore.record.runs_folder import RunFolder, read_record, runs_folder
from sparkscore.run.columns import run_id_column
from sparkscore.run.finished import Run
from sparkscore.run.publishing import describe_output, publish_manifest
from sparkscore.run.quarantine import open_quarantine
from sparkscore.run.recording import recorded
from sparkscore.run.scored_again import check_still_left, family_locked, note_publishing
from sparkscore.run.staged_files import check_staged_files
from sparkscore.sinks import Published, Target, open_sink, remove_stage, stage_of, staged_in, target_of
from sparkscore.spark.schema import schema_of
from sparkscore.stage.lock import RunLock


@dataclass(frozen=True)
class _Held:
    """A run that can be published."""

    folder: RunFolder
    identity: str
    deployment: Deployment
    target: Target


def publish(spark: SparkSession, run_id: str, *, runs: str | Path | None = None) -> Run:
    """Publish a run that is held (``publish: audit``), or whose publishing failed; nothing is scored.

    Runs on the driver. Neither the input, the model nor the deployment file is needed. A run that is published already
    is not published again.

    Args:
        spark: the session that publishes.
        run_id: the run.
        runs: folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` when absent.

    Raises:
        RunNotFoundError: there is no such run.
        ConfigError: the run has nothing that could be published, or another driver works on it.
        SinkError: it did not work; the error says what readers see.
    """
    record = read_record(runs_folder(runs), run_id)
    if record.state == COMPLETE:
        output, schema = record.output, schema_of(record.output.columns or {})
        if output.version is None:  # a run over failed items of which none was left
            return Run(record, partial(spark.createDataFrame, [], schema))
        deployment = Deployment.model_validate(record.config)
        sink = open_sink(spark, deployment.output, run_id, run_id_column(deployment))
        published = Published(output.version, output.rows, schema)
        return Run(record, partial(sink.read, published))
    held = _find(record, RunFolder(runs_folder(runs), run_id))
    manifest = held.folder.read_manifest()
    if manifest is None:
        raise _nothing_waits(record, run_id)
    sink = open_sink(spark, held.deployment.output, run_id, run_id_column(held.deployment))
    sinks, place = (sink, open_quarantine(spark, held.deployment, run_id)), held.deployment.output.stage
    schema = schema_of(manifest.columns)
    with (
        RunLock(held.folder.lock_file, run_id) as lock,
        family_locked(held.folder.path.parent, None if record.only_failed is None else record.only_failed.first),
        recorded(held.folder, lock, record, held.deployment.settings.logging_level) as recording,
        staged_in(sink.target, place, held.identity, is_moved=sink.lays_out_partitions) as stage,
        recording.timed("publish"),
    ):
        landed = sink.landed(schema)
        if landed is None:
            check_still_left(spark, held.folder.path.parent, record)
            check_staged_files(spark, manifest, stage)
            note_publishing(held.folder.path.parent, record, held.deployment, manifest)
        published = landed or publish_manifest(manifest, schema, sinks, stage, recording, manifest)
        recording.note(output=describe_output(sink, published), stage=None)
    return Run(recording.content, partial(sink.read, published))


def discard(run_id: str, *, runs: str | Path | None = None) -> dict[str, Any]:
    """Drop what a held run has staged; its record says ABORT. Runs on the driver and needs no Spark.

    Args:
        run_id: the run.
        runs: folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` when absent.

    Returns:
        the record.

    Raises:
        RunNotFoundError: there is no such run.
        ConfigError: the run has nothing that could be discarded, or another driver works on it.
    """
    record = read_record(runs_folder(runs), run_id)
    held = _find(record, RunFolder(runs_folder(runs), run_id))
    with (
        RunLock(held.folder.lock_file, run_id) as lock,
        recorded(held.folder, lock, record, held.deployment.settings.logging_level) as recording,
    ):
        remove_stage(held.target, held.deployment.output.stage)
        recording.note(stage=None)
        recording.ends_as(ABORT)
    return recording.content.as_dict()


def _find(record: RunRecord, folder: RunFolder) -> _Held:
    if record.identity and folder.has_manifest():
        deployment = Deployment.model_validate(record.config)
        target = target_of(deployment.output, folder.run_id, run_id_column(deployment))
        if stage_of(target, deployment.output.stage).is_dir():
            return _Held(folder, record.identity, deployment, target)
    raise _nothing_waits(record, folder.run_id)


def _nothing_waits(record: RunRecord, run_id: str) -> ConfigError:
    return ConfigError(
        code="RUN_NOT_HELD",
        what=f"run '{run_id}'",
        got=f"state {record.state}, and nothing that waits to be published",
        expected="a run that is held, or whose publishing failed",
        next_step=f"See 'sparkscore runs show {run_id}', or take it up with 'sparkscore resume'.",
    )
