"""Publish a run's staged files: first the quarantine, then the predictions. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from pyspark.sql.types import StructType

from sparkscore.errors import MissingDependencyError
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RecordedOutput, RunRecord
from sparkscore.run.quarantine import publish_quarantine
from sparkscore.run.recording import Recording, state_of
from sparkscore.sinks import Published, Sink, Stage, StagedResult
from sparkscore.spark.schema import columns_of
from sparkscore.stage import MiniBatchReport, RunStage
from sparkscore.worker import LineageValues


def manifest_of(
    reports: Sequence[MiniBatchReport], schema: StructType, lineage: LineageValues, record: RunRecord
) -> Manifest:
    """Return the manifest of a run. The manifest lists the staged files, as the workers reported them.

    Quarantine files without rows are left out.

    Args:
        reports: the reports on the mini-batches.
        schema: the columns of the result.
        lineage: the values of the lineage columns. The model's name and version are copied from here to the manifest,
            because they are part of the commit in a Delta table's history.
        record: the run record so far.
    """
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
    """Publish a run: commit the quarantined items, then the predictions.

    Quarantined items that an earlier execution of the run has already published are not committed again. Before the
    first commit, the run record is updated to show that rows may be visible.

    Args:
        manifest: the staged files to publish.
        schema: the columns of the result.
        sinks: the sink of the predictions and the sink of the quarantine.
        stage: the run's stage.
        recording: the run's record.
        former: the manifest that an earlier execution of the run wrote and may have published, or None.

    Returns:
        the version, the number of rows and the schema of the published predictions.

    Raises:
        SinkError: publishing failed, the output no longer accepts the result, or another driver has taken over the run.
        MissingDependencyError: Spark must write to a Delta table, and the session has no Delta.
        LineageError: the run record cannot be written.
    """
    predictions, quarantine = sinks
    stage.check_still_ours()
    with _saying_what_is_published(recording):
        # Check the result's table before the quarantine is committed. The sink checks again when it commits.
        predictions.check_again(schema)
        staged = staged_result(manifest, stage, schema)
        predictions.check_rows(partial(predictions.read_staged, staged), schema)
        # Record that publishing began, before the first row (of the quarantine) can become visible.
        recording.note(output=describe_output(predictions, Published(None, None, schema), publishing_began=True))
        recording.note(quarantine=publish_quarantine(quarantine, manifest.quarantined, stage, former))
        return predictions.publish(staged)


@contextmanager
def _saying_what_is_published(recording: Recording) -> Iterator[None]:
    """Change the error of a session without Delta, which says before scoring that nothing was written."""
    try:
        yield
    except MissingDependencyError as error:
        error.state = state_of(recording.content)
        error.next_step = (
            f"Run 'sparkscore publish {recording.content.run_id}' with a Spark that has Delta: nothing is scored again."
        )
        raise


def staged_result(manifest: Manifest, stage: RunStage, schema: StructType) -> StagedResult:
    """Return the staged predictions of a manifest as a `StagedResult`, which a sink can read and publish."""
    return StagedResult(stage, manifest.files, schema, manifest.commit_info)


def describe_output(sink: Sink, published: Published | None, *, publishing_began: bool | None = None) -> RecordedOutput:
    """Return the run record's entry about the output.

    Args:
        sink: the output.
        published: the published result. If None, the entry has no version, row count or columns.
        publishing_began: whether readers may see rows of the run although it is not yet published. If None, the
            entry's field ``publishing_began`` is not set.
    """
    target = sink.target
    planned = RecordedOutput(
        format=sink.format, location=str(target.path), mode=target.mode, version=None, rows=None, columns=None
    )
    if publishing_began is not None:
        planned = planned.model_copy(update={"publishing_began": publishing_began})
    if published is None:
        return planned
    found = {
        "version": published.version,
        "rows": published.rows,
        "columns": columns_of(published.schema),
        "writer": published.writer,
        "writer_reason": published.writer_reason,
    }
    moved = {} if published.moved_to is None else {"moved_to": published.moved_to}
    return planned.model_copy(update=found | moved)
