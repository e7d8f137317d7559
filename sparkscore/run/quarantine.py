"""Publish and read the quarantine: the table of the failed items that were tolerated. Runs on the driver."""

from __future__ import annotations

from functools import partial

from pyspark.sql import DataFrame, SparkSession

from sparkscore.config import Deployment, Output
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError
from sparkscore.location import local_path, spark_path
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RecordedQuarantine, RunRecord
from sparkscore.run.prepare import quarantine_beside
from sparkscore.sinks import Published, Sink, StagedResult, open_sink
from sparkscore.spark.delta_statements import READ_ELSEWHERE, check_delta
from sparkscore.spark.schema import column, from_arrow
from sparkscore.spark.settings import read_from
from sparkscore.stage import RunStage, StagedFile
from sparkscore.worker import QUARANTINE_SCHEMA

# The columns that identify a failed item; `position` is its position in the mini-batch.
_IDENTITY = ("mini_batch", "position", "source_file", "row")


def open_quarantine(spark: SparkSession, deployment: Deployment, run_id: str) -> Sink:
    """Return a sink that appends to the quarantine table, which is next to the output and has the same format."""
    return open_sink(spark, quarantine_output(deployment), run_id, "run_id", part="quarantine")


def quarantine_output(deployment: Deployment) -> Output:
    """Return the settings of the quarantine table, as those of an output."""
    changed = {"location": quarantine_location(deployment), "mode": "append", "partition_by": ()}
    return deployment.output.model_copy(update=changed)


def quarantine_location(deployment: Deployment) -> str:
    """Return the local path of a deployment's quarantine table."""
    return str(local_path(quarantine_beside(str(deployment.output.location))))


def read_quarantine(spark: SparkSession, record: RunRecord) -> DataFrame:
    """Return a DataFrame with a run's rows from the quarantine table, or an empty one if the run has no rows there."""
    schema, location = from_arrow(QUARANTINE_SCHEMA), record.quarantine.location
    if location is None:
        return spark.createDataFrame([], schema)
    is_delta = record.output.format == "delta"
    if is_delta:
        check_delta(spark, f"quarantine '{location}'", READ_ELSEWHERE, state="The run has published it.")
    table = read_from(spark, str(record.output.format)).load(location if is_delta else spark_path(location))
    return table.where(column("run_id") == record.run_id).select(*map(column, schema.names))


def check_quarantine(sink: Sink) -> None:
    """Check before scoring that failed items can be published to the quarantine table later.

    Raises:
        SinkError: the location contains something other than a quarantine table; the table has different columns, or
            already has rows of a run with this id; or the table cannot be written.
    """
    sink.check_target()
    sink.check_schema(from_arrow(QUARANTINE_SCHEMA))


def publish_quarantine(
    sink: Sink, files: tuple[StagedFile, ...], stage: RunStage, former: Manifest | None
) -> RecordedQuarantine:
    """Publish the quarantined items of a run, unless an earlier execution of the run has already published them.

    Call this function before the predictions are published, so that readers who see the predictions also find the
    failed items. If there are no quarantined items, nothing is published.

    Args:
        sink: the sink of the quarantine.
        files: the staged files with the quarantined items.
        stage: the run's stage.
        former: the manifest of an earlier execution of the run, which may have published its items, or None.

    Returns:
        the run record's entry about the quarantine.

    Raises:
        SinkError: publishing failed, the quarantine table no longer accepts the items, or an earlier execution of the
            run has published different items.
    """
    staged = StagedResult(stage, files, from_arrow(QUARANTINE_SCHEMA), {})
    published = sink.landed(staged.schema) if former is not None else None
    if former is not None and published is not None:
        if former.quarantined != files:
            _refuse_other_items(sink, published, staged)
    elif not files:
        return RecordedQuarantine(location=None, rows=0)
    else:
        sink.check_schema(staged.schema)
        sink.check_rows(partial(sink.read_staged, staged), staged.schema)
        published = sink.publish(staged)
    return RecordedQuarantine(location=str(sink.target.path), rows=published.rows or 0)


def _refuse_other_items(sink: Sink, published: Published, staged: StagedResult) -> None:
    """Raise an error if this execution's failed items differ from those that an earlier execution of the run published.

    Raises:
        SinkConflictError: the items differ.
    """
    if sink.has_same_rows(published, staged, _IDENTITY):
        return
    raise SinkConflictError(
        code=ErrorCode.QUARANTINE_DIFFERS,
        what=f"quarantine '{sink.target.path}' has rows that run '{sink.target.run_id}' published before it stopped",
        got=f"{published.rows} rows",
        expected=f"{staged.row_count}, of the items that failed now",
        next_step="Remove those rows, or choose another --run-id.",
    )
