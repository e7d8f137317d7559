"""Publish what was staged and counts: the quarantine, then the predictions, then the record (driver)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pyspark.sql.types import StructType

from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RecordedOutput, RunRecord
from sparkscore.run.quarantine import publish_quarantine
from sparkscore.run.recording import Recording
from sparkscore.sinks import Published, Sink, Stage, StagedResult
from sparkscore.spark.schema import columns_of
from sparkscore.stage import MiniBatchReport, StageFolder
from sparkscore.worker import LineageValues


def manifest_of(
    reports: Sequence[MiniBatchReport], schema: StructType, lineage: LineageValues, record: RunRecord
) -> Manifest:
    """Name the staged files that count: those of the task attempts whose reports came back."""
    return Manifest(
        files=tuple(file for report in reports for file in report.staged),
        quarantined=tuple(file for report in reports for file in report.quarantined if file.rows),
        columns=columns_of(schema),
        commit_info={"model_name": lineage.model_name, "model_version": lineage.model_version},
        record=record,
    )


def publish_manifest(
    manifest: Manifest,
    schema: StructType,
    sinks: tuple[Sink, Sink],
    stage: Stage,
    recording: Recording,
    former: Manifest | None,
) -> Published:
    """Publish a run: who sees its quarantine, finds its predictions; a commit that landed before is not made again.

    Args:
        manifest: what counts.
        schema: the result's columns.
        sinks: those of the predictions and of the quarantine.
        stage: where the files are.
        recording: the run's record.
        former: what an earlier attempt was about to publish.

    Raises:
        SinkError: it did not work; the error says what readers see.
    """
    predictions, quarantine = sinks
    stage.check_still_ours()
    # Here for the sake of the quarantine, which comes first; the sink asks again when it commits.
    predictions.check_again(schema)
    staged = staged_result(manifest, stage, schema)
    predictions.check_rows(partial(predictions.read_staged, staged), schema)
    # From now on rows may be visible, of the quarantine first: the record says so before they are.
    recording.note(output=describe_output(predictions, Published(None, None, schema)))
    recording.note(quarantine=publish_quarantine(quarantine, manifest.quarantined, stage, former))
    return predictions.publish(staged)


def staged_result(manifest: Manifest, stage: StageFolder, schema: StructType) -> StagedResult:
    """Give what a sink needs to know of the staged predictions."""
    return StagedResult(stage, manifest.files, schema, manifest.commit_info)


def describe_output(sink: Sink, published: Published | None) -> RecordedOutput:
    """Describe the output for the record: as it is planned, on its way, or published."""
    target = sink.target
    planned = RecordedOutput(
        format=sink.format, location=str(target.path), mode=target.mode, version=None, rows=None, columns=None
    )
    if published is None:
        return planned
    found = {"version": published.version, "rows": published.rows, "columns": columns_of(published.schema)}
    moved = {} if published.moved_to is None else {"moved_to": published.moved_to}
    return planned.model_copy(update=found | moved)
