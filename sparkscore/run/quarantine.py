"""Publish the quarantine: the items that were tolerated and not scored, beside the result (driver)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from sparkscore.config import Deployment
from sparkscore.errors import SinkConflictError
from sparkscore.sinks import Sink, StagedResult, open_sink
from sparkscore.worker import QUARANTINE_SCHEMA, StagedFile


def open_quarantine(spark: SparkSession, deployment: Deployment, run_id: str) -> Sink:
    """Give the sink of the quarantine: a table of the output's format, named after it, to which runs append."""
    output = deployment.output
    place = f"{str(output.location).rstrip('/')}_quarantine"
    config = output.model_copy(update={"location": place, "mode": "append", "partition_by": ()})
    return open_sink(spark, config, run_id, "run_id", part="quarantine")


def publish_quarantine(sink: Sink, files: tuple[StagedFile, ...], stage: Path) -> dict[str, Any]:
    """Publish the quarantined items, before the predictions: who sees these, finds the others.

    Returns:
        what the record says of it.

    Raises:
        SinkError: it did not work; nothing of the run is visible.
    """
    if not files:
        return {"location": None, "rows": 0}
    staged = StagedResult(stage, files, from_arrow_schema(QUARANTINE_SCHEMA), {})
    published = sink.landed(staged.schema)  # by an attempt that died before it had published the predictions
    if published is None:
        sink.check_schema(staged.schema)
        published = sink.publish(staged)
    elif published.rows != staged.row_count:
        raise SinkConflictError(
            code="QUARANTINE_DIFFERS",
            what=f"the quarantine '{sink.target.path}' holds rows of an earlier attempt at run '{sink.target.run_id}'",
            got=f"{published.rows} rows",
            expected=f"{staged.row_count}, as this attempt would publish",
            next_step="Remove those rows, or choose another --run-id.",
        )
    return {"location": str(sink.target.path), "rows": published.rows}
