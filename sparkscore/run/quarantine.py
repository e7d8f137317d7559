"""Publish the quarantine: the items that were tolerated and not scored, beside the result (driver)."""

from __future__ import annotations

from functools import partial

from pyspark.sql import DataFrame, SparkSession

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError
from sparkscore.location import local_path, spark_path
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RecordedQuarantine, RunRecord
from sparkscore.run.prepare import quarantine_place
from sparkscore.sinks import Published, Sink, StagedResult, open_sink
from sparkscore.spark.schema import column, from_arrow
from sparkscore.spark.settings import read_from
from sparkscore.stage import StagedFile, StageFolder
from sparkscore.worker import QUARANTINE_SCHEMA

# What tells a failed item from others; position counts within its mini-batch.
_IDENTITY = ("mini_batch", "position", "source_file", "row")


def open_quarantine(spark: SparkSession, deployment: Deployment, run_id: str) -> Sink:
    """Give the sink of the quarantine: a table of the output's format, named after it, to which runs append."""
    changed = {"location": quarantine_location(deployment), "mode": "append", "partition_by": ()}
    config = deployment.output.model_copy(update=changed)
    return open_sink(spark, config, run_id, "run_id", part="quarantine")


def quarantine_location(deployment: Deployment) -> str:
    """Name the quarantine's place."""
    return str(local_path(quarantine_place(str(deployment.output.location))))


def read_quarantine(spark: SparkSession, record: RunRecord) -> DataFrame:
    """Return the rows of a run in its quarantine as it is now; none where the run has published none."""
    schema, location = from_arrow(QUARANTINE_SCHEMA), record.quarantine.location
    if location is None:
        return spark.createDataFrame([], schema)
    is_delta = record.output.format == "delta"
    table = read_from(spark, str(record.output.format)).load(location if is_delta else spark_path(location))
    return table.where(column("run_id") == record.run_id).select(*map(column, schema.names))


def check_quarantine(sink: Sink) -> None:
    """Refuse before scoring what is at the quarantine's place and could not be appended to.

    Raises:
        SinkError: something else is there, or it cannot be written.
    """
    sink.check_target()
    sink.check_schema(from_arrow(QUARANTINE_SCHEMA))


def publish_quarantine(
    sink: Sink, files: tuple[StagedFile, ...], stage: StageFolder, former: Manifest | None
) -> RecordedQuarantine:
    """Publish the quarantined items, before the predictions: who sees these, finds the others.

    Args:
        sink: that of the quarantine.
        files: the staged files that count.
        stage: where they are.
        former: what an earlier attempt was about to publish, whose quarantine may be there.

    Returns:
        what the record says of it.

    Raises:
        SinkError: it did not work; nothing of the run is visible.
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
    """Refuse to go on where the quarantine that is there names other items than this attempt would publish."""
    if sink.has_same_rows(published, staged, _IDENTITY):
        return
    raise SinkConflictError(
        code=ErrorCode.QUARANTINE_DIFFERS,
        what=f"the quarantine '{sink.target.path}' holds rows of an earlier attempt at run '{sink.target.run_id}'",
        got=f"{published.rows} rows",
        expected=f"{staged.row_count}, of the items that failed in this attempt",
        next_step="Remove those rows, or choose another --run-id.",
    )
