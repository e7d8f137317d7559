"""The steps of a run, in the order in which `sparkscore.run.pipeline.execute` takes them (driver)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Deployment
from sparkscore.plan import Plan, plan_run
from sparkscore.progress import ProgressDisplay, follow
from sparkscore.record.from_reports import (
    counts_of,
    describe_plan,
    loads_of,
    unseen_of,
    verified_models_of,
    warnings_of,
)
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import RunRecord, new_record
from sparkscore.redaction import redact
from sparkscore.run.columns import refuse_missing_not_null, run_id_column
from sparkscore.run.identity import identity_of_run
from sparkscore.run.known_rows import check_known_rows
from sparkscore.run.nulls import decide_nulls, dtypes_of
from sparkscore.run.per_file import mini_batch_limit, refuse_count_of_files, sized_in
from sparkscore.run.prepare import PreparedRun, log_choices
from sparkscore.run.publishing import describe_output, manifest_of, publish_manifest, staged_result
from sparkscore.run.quarantine import check_quarantine, open_quarantine
from sparkscore.run.recording import Recording, recorded
from sparkscore.run.result import Run
from sparkscore.run.scored_again import describe_failed, note_publishing
from sparkscore.run.scoring import Request, Work, match_input, prepare_work
from sparkscore.run.staged_files import check_staged_files
from sparkscore.run.state import RunState
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scripts.mlflow_store import where_scripts_logged
from sparkscore.signature.model_signature import Feed
from sparkscore.sinks import Published, Sink, Stage, first_commit_began, open_sink, stage_of, staged_in
from sparkscore.sources import Source, open_failed, open_source
from sparkscore.spark.jobs import input_schema, score_plan, task_slots
from sparkscore.spark.jvm_names import refuse_colons_in_patterns, refuse_unreadable_names
from sparkscore.spark.schema import columns_of, schema_of
from sparkscore.stage import MiniBatchReport, RunStage
from sparkscore.stage.progress import ItemsDone

logger = logging.getLogger("sparkscore")

ReadRows = Callable[[], DataFrame]


@dataclass(frozen=True)
class Attempt:
    """An attempt at a run.

    Attributes:
        spark: the session.
        prepared: the request.
        state: how far the run was when the attempt began.
        recording: its record.
    """

    spark: SparkSession
    prepared: PreparedRun
    state: RunState
    recording: Recording

    @property
    def deployment(self) -> Deployment:
        """What was asked for."""
        return self.prepared.deployment


@dataclass(frozen=True)
class Outputs:
    """Where the result goes.

    Attributes:
        predictions: the table of the predictions.
        quarantine: the table of the failed items.
        former: what an earlier attempt was about to publish.
    """

    predictions: Sink
    quarantine: Sink
    former: Manifest | None


def new_attempts_record(prepared: PreparedRun, state: RunState) -> RunRecord:
    """Start the record of an attempt; a run that was held stays so until its rows are published."""
    record = new_record(prepared.run_id, prepared.source_name, prepared.deployment.effective())
    return record.noting(stage=state.record.stage) if state.keeps_rows and state.record else record


def begin(attempt: Attempt) -> None:
    """Keep what was asked for, and refuse places that Spark could not read."""
    prepared, output = attempt.prepared, attempt.deployment.output
    prepared.folder.write_request(prepared.request)
    attempt.recording.note(**prepared.describe_models(), git_commit=prepared.git_commit)
    places = [place for place in (output.location, output.stage) if place]
    refuse_unreadable_names(attempt.spark, places)
    refuse_colons_in_patterns(places)


def open_input(spark: SparkSession, prepared: PreparedRun) -> Source:
    """Pin the input: a list of files, a version of a table, or the failed items of an earlier run."""
    deployment = prepared.deployment
    if prepared.failed is not None:
        return open_failed(spark, prepared.failed, deployment.input.columns)
    is_files = deployment.is_azure and prepared.script is not None
    return open_source(spark, deployment.input, is_files_by_default=is_files, is_no_code=deployment.is_no_code)


def plan_input(spark: SparkSession, prepared: PreparedRun, source: Source) -> Plan:
    """Cut the input into mini-batches and work units."""
    deployment = prepared.deployment
    refuse_count_of_files(deployment, source.snapshot)
    limit = mini_batch_limit(deployment, source.snapshot)
    return plan_run(source.snapshot, limit.items, task_slots(spark))


def open_outputs(attempt: Attempt) -> Outputs:
    """Open the tables that the run writes, and refuse before scoring what could not be published there."""
    spark, deployment, run_id = attempt.spark, attempt.deployment, attempt.prepared.run_id
    former = attempt.prepared.folder.read_manifest()
    sink = open_sink(spark, deployment.output, run_id, run_id_column(deployment))
    sink.check_target(is_retried=first_commit_began(stage_of(sink.target, deployment.output.stage), sink.target))
    outputs = Outputs(sink, open_quarantine(spark, deployment, run_id), former)
    if deployment.settings.error_threshold and former is None:
        check_quarantine(outputs.quarantine)
    return outputs


def check_input(attempt: Attempt, source: Source, plan: Plan, outputs: Outputs) -> tuple[Feed, ...] | None:
    """Record what is scored, and match the model with it; return what the model gets of the input."""
    _note_plan(attempt, source, plan, outputs.predictions)
    feeds = match_input(attempt.prepared, source)
    source.check_contents()
    return feeds


@contextmanager
def stage_for(attempt: Attempt, outputs: Outputs) -> Iterator[Stage]:
    """Open the run's stage; that of a held run stays, however the attempt ends."""
    prepared, sink = attempt.prepared, outputs.predictions
    place, identity = attempt.deployment.output.stage, str(attempt.recording.content.identity)
    moved = sink.lays_out_partitions
    with staged_in(sink.target, place, identity, is_moved=moved, run_folder=prepared.folder.path) as stage:
        stage.is_kept = attempt.state.keeps_rows
        if prepared.script is not None:
            prepared.folder.write_code(prepared.script.files, prepared.script.left_out)
        yield stage


def decide_work(
    attempt: Attempt, source: Source, plan: Plan, feeds: tuple[Feed, ...] | None, outputs: Outputs, stage: Stage
) -> Work:
    """Decide what the workers do, and refuse a result that its table would not take."""
    prepared, sink = attempt.prepared, outputs.predictions
    dtypes = _decide_dtypes(attempt, source, feeds, stage)
    work = prepare_work(Request(attempt.spark, prepared, plan, source.frame(), feeds, dtypes), sink, stage)
    sink.check_schema(work.result.schema, work.result.origins)
    refuse_missing_not_null(sink.columns_without_null(), work.result)
    check_known_rows(attempt.spark, sink, source, work.result, attempt.deployment.settings.error_threshold)
    return work


def score_on_workers(
    spark: SparkSession, stage: RunStage, plan: Plan, work: Work, display: ProgressDisplay
) -> list[MiniBatchReport]:
    """Let the workers score all mini-batches and stage what comes back; return a report for each mini-batch."""
    snapshot = plan.snapshot

    def stop_if_in_vain(done: ItemsDone) -> None:
        if work.spec.rules.tolerance.is_passed(done.failed, done.failed_mini_batches):
            stage.ask_to_stop()

    with follow(display, stage.read_progress, snapshot.items, snapshot.item_type, stop_if_in_vain):
        return [*work.done, *score_plan(spark, work.rows, work.spec)]


def count_scores(attempt: Attempt, stage: Stage, plan: Plan, work: Work, reports: list[MiniBatchReport]) -> None:
    """Record what the workers reported."""
    # A driver that slept meanwhile may have lost the run: what the other one wrote stays.
    stage.check_still_ours()
    attempt.prepared.folder.write_attempts(reports)
    _note_scores(attempt.recording, plan, work, reports)


def keep_manifest(attempt: Attempt, stage: Stage, work: Work, reports: list[MiniBatchReport]) -> Manifest:
    """Say which staged files count; from now on the run can be published without its input and model."""
    manifest = manifest_of(reports, work.result.schema, work.spec.result.lineage, attempt.recording.content)
    stage.check_still_ours()
    attempt.prepared.folder.write_manifest(manifest)
    return manifest


def publish_result(attempt: Attempt, outputs: Outputs, stage: Stage, manifest: Manifest) -> ReadRows:
    """Make the rows visible in one step; return what reads them."""
    recording, sink = attempt.recording, outputs.predictions
    check_staged_files(attempt.spark, manifest, stage)
    note_publishing(attempt.prepared.folder.runs, recording.content, attempt.deployment, manifest)
    sinks = (sink, outputs.quarantine)
    published = publish_manifest(manifest, schema_of(manifest.columns), sinks, stage, recording, outputs.former)
    recording.note(output=describe_output(sink, published), stage=None)
    stage.is_kept = False
    return partial(sink.read, published)


def hold_result(attempt: Attempt, outputs: Outputs, stage: Stage, manifest: Manifest) -> ReadRows:
    """Leave the staged rows where they are until somebody publishes or discards the run; return what reads them."""
    recording, sink, schema = attempt.recording, outputs.predictions, schema_of(manifest.columns)
    stage.is_kept = True
    recording.note(output=describe_output(sink, Published(None, None, schema)), stage=stage.location)
    run_id = attempt.prepared.run_id
    logger.info("run '%s' is held: 'sparkscore publish %s' publishes it, with --discard it is dropped", run_id, run_id)
    return partial(sink.read_staged, staged_result(manifest, stage, schema))


def nothing_to_do(spark: SparkSession, prepared: PreparedRun, state: RunState) -> Run:
    """Record a run over failed items of which none is left."""
    failed, folder, deployment = prepared.failed, prepared.folder, prepared.deployment
    record = new_record(prepared.run_id, prepared.source_name, deployment.effective())
    with recorded(folder, state.lock, record, deployment.settings.logging_level) as recording:
        sink = open_sink(spark, deployment.output, prepared.run_id, run_id_column(deployment))
        place = {"format": "quarantine", "location": failed and failed.location, "version": failed and failed.version}
        recording.note(
            input=record.input.model_copy(update={**place, "items": 0}),
            output=describe_output(sink, None).model_copy(update={"rows": 0, "columns": {}}),
            only_failed=describe_failed(failed, 0),
        )
        logger.info("nothing to do: later runs have scored all that failed in run '%s'", failed and failed.run_id)
    read = partial(spark.createDataFrame, [], StructType([]))
    return Run(recording.content, read, spark, folder)


def _decide_dtypes(attempt: Attempt, source: Source, feeds: tuple[Feed, ...] | None, stage: Stage) -> Dtypes:
    recording = attempt.recording
    nulls = decide_nulls(attempt.prepared, source, feeds, stage)
    recording.note(input=recording.content.input.model_copy(update={"nulls": nulls}))
    return dtypes_of(attempt.prepared, nulls)


def _columns_of(source: Source) -> dict[str, str] | None:
    """Name the columns of an input of rows, with Spark's names of their types."""
    rows = source.frame()
    return None if rows is None else columns_of(input_schema(rows))


def _note_plan(attempt: Attempt, source: Source, plan: Plan, sink: Sink) -> None:
    prepared, snapshot = attempt.prepared, plan.snapshot
    kind = sized_in(prepared.deployment, snapshot)
    log_choices(prepared.deployment, kind)
    for reason, count in snapshot.skipped.items():
        logger.warning("input: %d left out (%s)", count, reason)
    if snapshot.order_doubt:
        logger.warning("input: columns go by name only: %s", snapshot.order_doubt)
    if plan.mini_batches is not None:
        prepared.folder.write_plan(plan.mini_batches)
    attempt.recording.note(
        identity=identity_of_run(prepared, plan),
        only_failed=describe_failed(prepared.failed, snapshot.items),
        input=describe_plan(plan, _columns_of(source)),
        output=describe_output(sink, None),
        config=prepared.deployment.effective(kind),
    )


def _note_scores(recording: Recording, plan: Plan, work: Work, reports: list[MiniBatchReport]) -> None:
    counts = counts_of(reports, work.probe, plan.snapshot.items)
    told = [*warnings_of(reports, work.probe), *where_scripts_logged(recording.folder.script_logs)]
    warnings = [redact(warning) for warning in told]
    for warning in warnings:
        logger.warning("%s", warning)
    verified = verified_models_of(reports)
    recording.note(
        counts=counts,
        input=recording.content.input.model_copy(update={"items": counts.items}),
        warnings=warnings,
        verified_models=verified,
        unseen_categories=unseen_of(reports),
        **loads_of(reports, work.probe),
    )
