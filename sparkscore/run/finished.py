"""Find out whether a run is held or already published, even if its driver died right after publishing.

Runs on the driver.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.location import local_path
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import COMPLETE, RecordedQuarantine, RunRecord, end_record
from sparkscore.run.prepare import PreparedRun
from sparkscore.run.publishing import describe_output, staged_result
from sparkscore.run.quarantine import quarantine_location
from sparkscore.run.recorded_deployment import run_id_column
from sparkscore.run.recording import refuse_other_run
from sparkscore.run.result import Run
from sparkscore.run.state import RunState
from sparkscore.sinks import Published, Sink, check_waiting, open_sink, remove_stage, stage_of
from sparkscore.spark.schema import schema_of

logger = logging.getLogger("sparkscore")


def finished_before(
    spark: SparkSession, prepared: PreparedRun, state: RunState, identity: Callable[[], str]
) -> Run | None:
    """Return the run if its result is already published or held, or None if the run must be scored.

    A run without a record or a manifest must be scored. If the record shows neither a complete nor a held run, the
    output table is read, because an earlier driver may have died between its commit and its update of the record. If
    the table contains the run's rows, the record is completed and the stage is removed.

    Args:
        spark: the session.
        prepared: the checked request.
        state: the state of the run.
        identity: a function that returns the identity of the request. It is called only if needed, because it opens the
            input. Its errors are not caught.

    Raises:
        ConfigError: the id belongs to a published or held run with a different input, script, model or configuration,
            or to a run whose rows are staged for a different output; or the published rows are no longer in the output
            table.
        SinkError: the output table cannot be read.
        LineageError: the manifest was changed, the record cannot be written, or a different version of sparkscore wrote
            the manifest or the stage in a format that this version cannot read.
    """
    record, manifest = state.record, prepared.folder.read_manifest()
    if record is None or manifest is None:
        return None
    sink = open_sink(spark, prepared.deployment.output, prepared.run_id, run_id_column(prepared.deployment))
    _refuse_other_output(record, sink, prepared)
    schema = schema_of(manifest.columns)
    if state.is_held:
        read = _staged(record, manifest, sink, prepared, identity)
        return None if read is None else Run(record, read, spark, prepared.folder)
    landed = None if state.is_complete else sink.landed(schema, manifest.files)
    if not state.is_complete and landed is None:
        return None
    refuse_other_run(manifest.record, identity(), prepared.run_id)
    if landed is not None:
        record = _complete(manifest, sink, landed, prepared)
        return Run(record, partial(sink.read, landed), spark, prepared.folder)
    published = Published(record.output.version, record.output.rows, schema)
    if not sink.holds(published):
        raise ConfigError(
            code=ErrorCode.RUN_RESULT_GONE,
            what=f"run '{prepared.run_id}' is complete, and its rows are no longer in '{record.output.location}'",
            next_step="Choose another --run-id to score again.",
        )
    logger.info("run '%s' is complete already; nothing was done", prepared.run_id)
    return Run(record, partial(sink.read, published), spark, prepared.folder)


def _refuse_other_output(record: RunRecord, sink: Sink, prepared: PreparedRun) -> None:
    """Raise an error if an unfinished run with this id has staged its rows elsewhere or for a different output."""
    stage_setting = prepared.deployment.output.stage
    if not record.output.location:
        return
    target = replace(sink.target, path=local_path(record.output.location))
    stage, ours = stage_of(target, record.stage_location), stage_of(sink.target, stage_setting)
    is_other = stage.location != ours.location or target.path != sink.target.path
    if record.state != COMPLETE and stage.is_there() and is_other:
        raise ConfigError(
            code=ErrorCode.RUN_ID_USED,
            what=f"run id '{prepared.run_id}' belongs to a run whose rows are scored and wait in '{stage.location}'",
            got=f"another output '{sink.target.path}'",
            expected=f"'{target.path}'",
            next_step=f"Publish them with 'sparkscore publish {prepared.run_id}' or drop them with 'sparkscore publish "
            f"{prepared.run_id} --discard' first, or choose another --run-id.",
        )


def _staged(
    record: RunRecord, manifest: Manifest, sink: Sink, prepared: PreparedRun, identity: Callable[[], str]
) -> Callable[[], DataFrame] | None:
    """Return a function that reads the staged rows of a held run, or None if the stage no longer exists.

    Raises:
        ConfigError: the held run has a different input, script, model or configuration than this request.
        LineageError: a different version of sparkscore wrote the stage in a format that this version cannot read.
    """
    stage = stage_of(sink.target, prepared.deployment.output.stage)
    if not stage.is_there():
        return None
    check_waiting(stage)
    refuse_other_run(record, identity(), prepared.run_id, waits=True)
    logger.info("run '%s' is held already; 'sparkscore publish %s' publishes it", prepared.run_id, prepared.run_id)
    return partial(sink.read_staged, staged_result(manifest, stage, schema_of(manifest.columns)))


def _complete(manifest: Manifest, sink: Sink, published: Published, prepared: PreparedRun) -> RunRecord:
    """Write the final record of a run whose rows are published, remove its stage, and return the record."""
    rows = sum(file.rows for file in manifest.quarantined)
    location = quarantine_location(prepared.deployment) if rows else None
    quarantine = RecordedQuarantine(location=location, rows=rows)
    found = manifest.record.noting(output=describe_output(sink, published), quarantine=quarantine, stage=None)
    record = end_record(found, COMPLETE)
    prepared.folder.write_record(record)
    remove_stage(sink.target, prepared.deployment.output.stage)
    logger.info("run '%s' was published before its driver died; its record is complete now", prepared.run_id)
    return record
