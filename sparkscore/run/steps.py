"""The steps of a run, which `sparkscore.run.pipeline.execute` calls. Runs on the driver."""

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
from sparkscore.run.columns import refuse_missing_not_null
from sparkscore.run.hosts import check_hosts
from sparkscore.run.identity import identity_of_run
from sparkscore.run.known_rows import check_known_rows
from sparkscore.run.nulls import decide_nulls, dtypes_of
from sparkscore.run.opened import InputRows, Request
from sparkscore.run.per_file import counted_items, mini_batch_limit, refuse_count_of_files
from sparkscore.run.prepare import PreparedRun, log_choices
from sparkscore.run.publishing import describe_output, manifest_of, publish_manifest, staged_result
from sparkscore.run.quarantine import check_quarantine, open_quarantine
from sparkscore.run.reading import SPARK, WORKER, decide_reader, refuse_reader
from sparkscore.run.recorded_deployment import run_id_column
from sparkscore.run.recording import Recording, recorded
from sparkscore.run.result import Run
from sparkscore.run.scored_again import note_publishing, only_failed_entry
from sparkscore.run.scoring import Work, match_input, prepare_work
from sparkscore.run.staged_files import check_staged_files, join_small_files
from sparkscore.run.state import RunState
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scripts.mlflow_store import where_scripts_logged
from sparkscore.signature.model_signature import Feed
from sparkscore.sinks import Published, Sink, Stage, first_commit_began, open_sink, stage_of, staged_in
from sparkscore.sources import Source, open_failed, open_source
from sparkscore.spark.jobs import score_plan, task_slots
from sparkscore.spark.jvm_names import refuse_colons_in_patterns, refuse_unreadable_names
from sparkscore.spark.schema import columns_of, schema_of
from sparkscore.stage import MiniBatchReport, RunStage
from sparkscore.stage.progress import ItemsDone

logger = logging.getLogger("sparkscore")

ReadRows = Callable[[], DataFrame]


@dataclass(frozen=True)
class ActiveRun:
    """A run that this driver is executing.

    Attributes:
        spark: the session.
        prepared: the checked request.
        state: the state of the run before this driver started or resumed it.
        recording: the run's record, to which the steps add entries.
    """

    spark: SparkSession
    prepared: PreparedRun
    state: RunState
    recording: Recording

    @property
    def deployment(self) -> Deployment:
        """The run's deployment."""
        return self.prepared.deployment


@dataclass(frozen=True)
class Outputs:
    """The tables into which a run publishes.

    Attributes:
        predictions: the sink of the predictions.
        quarantine: the sink of the failed items.
        former: the manifest that an earlier execution of the run wrote and may have published, or None.
    """

    predictions: Sink
    quarantine: Sink
    former: Manifest | None


def start_record(prepared: PreparedRun, state: RunState) -> RunRecord:
    """Return the record with which this driver starts or resumes a run.

    If the run was held and has been neither published nor discarded, the new record keeps the location of its stage. If
    an earlier execution began to publish but did not finish, the new record says that rows may be visible.
    """
    record = new_record(prepared.run_id, prepared.deployment_name, prepared.deployment.effective())
    if state.may_be_published:  # Rows in the run's quarantine may already be visible.
        record = record.noting(output=record.output.model_copy(update={"publishing_began": True}))
    return record.noting(stage=state.record.stage) if state.keeps_rows and state.record else record


def begin(active: ActiveRun) -> None:
    """Write the request, and the record's entries about the script and the models, into the run's folder.

    Also check that Spark can open the paths of the output and the ``output.stage`` folder, which may contain special
    characters.

    Raises:
        ConfigError: Spark cannot open one of the paths.
        LineageError: the run's folder cannot be written.
    """
    prepared, output = active.prepared, active.deployment.output
    prepared.folder.write_request(prepared.request)
    active.recording.note(**prepared.describe_models(), git_commit=prepared.git_commit)
    locations = [location for location in (output.location, output.stage) if location]
    refuse_unreadable_names(active.spark, locations)
    refuse_colons_in_patterns(locations)


def open_input(spark: SparkSession, prepared: PreparedRun) -> Source:
    """Open the input and pin its content: a list of files, a version of a table, or failed items.

    Failed items are read from the quarantine of the run given by ``only_failed``.

    Raises:
        SourceError: the input does not exist or cannot be read.
        ConfigError: the deployment has no input location, or an input setting is wrong.
    """
    deployment = prepared.deployment
    if prepared.failed is not None:
        return open_failed(spark, prepared.failed, deployment.input.columns)
    is_files = deployment.is_azure and prepared.script is not None
    return open_source(spark, deployment.input, is_files_by_default=is_files, is_no_code=deployment.is_no_code)


def plan_input(spark: SparkSession, prepared: PreparedRun, source: Source) -> Plan:
    """Return the run's plan. If the items are files, it divides them into mini-batches and work units.

    If the items are rows, the plan has no mini-batches, because workers split the rows into mini-batches.

    Raises:
        ConfigError: ``mini_batch_size`` cannot be used for this input, for example because it is in bytes and the items
            are files.
    """
    deployment = prepared.deployment
    refuse_count_of_files(deployment, source.snapshot)
    limit = mini_batch_limit(deployment, source.snapshot)
    return plan_run(source.snapshot, limit.items, task_slots(spark))


def open_outputs(active: ActiveRun) -> Outputs:
    """Open the result table and the quarantine table, and check before scoring that the run can publish to them.

    The quarantine table is checked only if failed items are tolerated and the run has no manifest yet.

    Raises:
        ConfigError: the deployment has no output location.
        SinkError: the run cannot publish to a table.
        LineageError: the manifest of an earlier execution of the run was changed, or has a format that this version of
            sparkscore cannot read.
    """
    spark, deployment, run_id = active.spark, active.deployment, active.prepared.run_id
    former = active.prepared.folder.read_manifest()
    sink = open_sink(spark, deployment.output, run_id, run_id_column(deployment))
    sink.check_target(is_retried=first_commit_began(stage_of(sink.target, deployment.output.stage), sink.target))
    outputs = Outputs(sink, open_quarantine(spark, deployment, run_id), former)
    if deployment.settings.error_threshold and former is None:
        check_quarantine(outputs.quarantine)
    return outputs


def check_input(active: ActiveRun, source: Source, plan: Plan, outputs: Outputs) -> tuple[Feed, ...] | None:
    """Write the input and the plan into the run record, check the input, and match its columns with the model.

    Returns:
        the model's inputs, each with its columns, or None if there is a script or no signature.

    Raises:
        SparkscoreError: for example, the columns do not fit the model, or Spark would read the input's contents
            incorrectly.
    """
    _note_plan(active, source, plan, outputs.predictions)
    refuse_reader(active.prepared, source)
    feeds = match_input(active.prepared, source)
    source.check_contents()
    return feeds


@contextmanager
def stage_for(active: ActiveRun, outputs: Outputs) -> Iterator[Stage]:
    """Open the run's stage for the ``with`` block, and write the digests of the code files into the run's folder.

    If the run is resumed later, the digests show which code files have changed. The stage of a held run is kept even if
    the ``with`` block fails.

    Raises:
        ConfigError: the stage belongs to a different request, contains files that sparkscore did not create, or
            overlaps with the output.
        SinkError: the stage cannot be created, or is on a different file system than the output.
        LineageError: the run's folder cannot be written, or a different version of sparkscore wrote the stage in a
            different format.
    """
    prepared, sink = active.prepared, outputs.predictions
    stage_setting, identity = active.deployment.output.stage, str(active.recording.content.identity)
    moved = sink.moves_files
    with staged_in(sink.target, stage_setting, identity, is_moved=moved, run_folder=prepared.folder.path) as stage:
        stage.is_kept = active.state.keeps_rows
        if prepared.script is not None:
            prepared.folder.write_code(prepared.script.files, prepared.script.left_out)
        yield stage


def decide_work(
    active: ActiveRun, source: Source, plan: Plan, feeds: tuple[Feed, ...] | None, outputs: Outputs, stage: Stage
) -> Work:
    """Decide what the tasks do, and check before scoring that the output table accepts the columns of the result.

    This may start Spark jobs that check the workers, look for NULLs, run the probe (a test call of the scorer), or
    check the input rows.

    Raises:
        SparkscoreError: for example, the probe failed, or the output table does not accept the columns.
    """
    prepared, sink = active.prepared, outputs.predictions
    sinks = [sink, outputs.quarantine] if active.deployment.settings.error_threshold else [sink]
    host = check_hosts(active.spark, stage, sinks, plan.snapshot)
    dtypes = _decide_dtypes(active, source, feeds, stage)
    rows = _decide_reader(active, source, stage)
    work = prepare_work(Request(active.spark, prepared, plan, rows, feeds, dtypes, host), sink, stage)
    sink.check_schema(work.result.schema, work.result.origins)
    refuse_missing_not_null(sink.columns_without_null(), work.result)
    check_known_rows(active.spark, sink, source, work.result, active.deployment.settings.error_threshold)
    return work


def score_on_workers(
    spark: SparkSession, stage: RunStage, plan: Plan, work: Work, display: ProgressDisplay
) -> list[MiniBatchReport]:
    """Score the mini-batches on the workers, and return the reports on the mini-batches.

    The workers write the rows into the stage. If more items or mini-batches fail than are tolerated, the workers are
    asked to stop, and the mini-batches that they have not reached get no reports.

    Work units that an earlier execution of the run finished are not scored again, but their reports are returned as
    well.
    """

    def stop_if_too_many_failed(done: ItemsDone) -> None:
        if work.spec.rules.tolerance.is_passed(done.failed, done.failed_mini_batches):
            stage.ask_to_stop()

    with follow(display, stage.read_progress, plan.snapshot.items, plan.snapshot.item_type, stop_if_too_many_failed):
        return [*work.done, *score_plan(spark, work.rows, work.spec)]


def count_scores(active: ActiveRun, stage: Stage, plan: Plan, work: Work, reports: list[MiniBatchReport]) -> None:
    """Write one row per call of the scorer into ``attempts.parquet``, and add counts and warnings to the run record.

    Raises:
        SinkConflictError: this driver lost the run's lock, for example because another driver has taken over the run.
        LineageError: a file in the run's folder cannot be written.
    """
    # If this driver was suspended, another driver may have resumed the run. Do not overwrite that driver's files.
    stage.check_still_ours()
    active.prepared.folder.write_attempts(reports)
    _note_scores(active.recording, plan, work, reports)


def keep_manifest(
    active: ActiveRun, outputs: Outputs, stage: Stage, work: Work, reports: list[MiniBatchReport]
) -> Manifest:
    """Join small staged files if necessary, write the manifest of the files, and return it.

    With the manifest, the run can be published later without its input and its model.

    Raises:
        SinkConflictError: another driver has taken over the run.
        LineageError: the manifest cannot be written.
    """
    written = manifest_of(reports, work.result.schema, work.spec.result.lineage, active.recording.content)
    manifest = join_small_files(active.spark, written, stage, (outputs.predictions, outputs.quarantine))
    stage.check_still_ours()
    active.prepared.folder.write_manifest(manifest)
    return manifest


def publish_result(active: ActiveRun, outputs: Outputs, stage: Stage, manifest: Manifest) -> ReadRows:
    """Publish the quarantined items and then the predictions, and return a function that reads the predictions.

    Raises:
        SinkError: a staged file was changed, or publishing failed.
        ScoringError: the Spark job that checks the staged files failed.
        LineageError: the run record or the list of runs with ``only_failed`` cannot be written.
    """
    recording, sink = active.recording, outputs.predictions
    check_staged_files(active.spark, manifest, stage)
    note_publishing(active.prepared.folder.runs, recording.content, active.deployment, manifest)
    sinks = (sink, outputs.quarantine)
    published = publish_manifest(manifest, schema_of(manifest.columns), sinks, stage, recording, outputs.former)
    recording.note(output=describe_output(sink, published), stage=None)
    stage.is_kept = False
    return partial(sink.read, published)


def hold_result(active: ActiveRun, outputs: Outputs, stage: Stage, manifest: Manifest) -> ReadRows:
    """Keep the staged rows until the run is published or discarded, and return a function that reads them."""
    recording, sink, schema = active.recording, outputs.predictions, schema_of(manifest.columns)
    stage.is_kept = True
    began = bool(recording.content.output.publishing_began)
    output = describe_output(sink, Published(None, None, schema), publishing_began=began)
    recording.note(output=output, stage=stage.location)
    run_id = active.prepared.run_id
    logger.info("run '%s' is held: 'sparkscore publish %s' publishes it, and --discard drops it", run_id, run_id)
    return partial(sink.read_staged, staged_result(manifest, stage, schema))


def nothing_to_do(spark: SparkSession, prepared: PreparedRun, state: RunState) -> Run:
    """Write the record of a run with ``only_failed`` that has nothing to score, and return the run.

    There is nothing to score if other runs have already scored all of the failed items.
    """
    failed, folder, deployment = prepared.failed, prepared.folder, prepared.deployment
    record = new_record(prepared.run_id, prepared.deployment_name, deployment.effective())
    with recorded(folder, state.lock, record, deployment.settings.logging_level) as recording:
        sink = open_sink(spark, deployment.output, prepared.run_id, run_id_column(deployment))
        table = {"format": "quarantine", "location": failed and failed.location, "version": failed and failed.version}
        recording.note(
            input=record.input.model_copy(update={**table, "items": 0}),
            output=describe_output(sink, None).model_copy(update={"rows": 0, "columns": {}}),
            only_failed=only_failed_entry(failed, 0),
        )
        logger.info("nothing to do: later runs have scored all items that failed in run '%s'", failed and failed.run_id)
    return Run(recording.content, partial(spark.createDataFrame, [], StructType([])), spark, folder)


def _decide_reader(active: ActiveRun, source: Source, stage: Stage) -> InputRows | None:
    """Decide whether Spark or the workers read the rows, and record it. Return None if the items are files."""
    columns, recording = source.columns(), active.recording
    if columns is None:
        return None
    planned, reason = decide_reader(active.prepared, source, stage)
    found = {"reader": SPARK if planned is None else WORKER, "reader_reason": reason or None}
    recording.note(input=recording.content.input.model_copy(update=found))
    return InputRows(columns, source.frame, planned)


def _decide_dtypes(active: ActiveRun, source: Source, feeds: tuple[Feed, ...] | None, stage: Stage) -> Dtypes:
    recording, nulls = active.recording, decide_nulls(active.prepared, source, feeds, stage)
    recording.note(input=recording.content.input.model_copy(update={"nulls": nulls}))
    return dtypes_of(active.prepared, nulls)


def _columns_of(source: Source) -> dict[str, str] | None:
    """Return the names and Spark types of the input's columns, or None if the items are files."""
    columns = source.columns()
    return None if columns is None else columns_of(columns)


def _note_plan(active: ActiveRun, source: Source, plan: Plan, sink: Sink) -> None:
    prepared, snapshot = active.prepared, plan.snapshot
    counted = counted_items(prepared.deployment, snapshot)
    log_choices(prepared.deployment, counted)
    for reason, count in snapshot.skipped.items():
        logger.warning("input: %d left out (%s)", count, reason)
    if snapshot.order_doubt:
        logger.warning("input: columns are matched by name only: %s", snapshot.order_doubt)
    if plan.mini_batches is not None:
        prepared.folder.write_plan(plan.mini_batches)
    active.recording.note(
        identity=identity_of_run(prepared, plan),
        only_failed=only_failed_entry(prepared.failed, snapshot.items),
        input=describe_plan(plan, _columns_of(source)),
        output=describe_output(sink, None, publishing_began=active.recording.content.output.publishing_began),
        config=prepared.deployment.effective(counted),
    )


def _note_scores(recording: Recording, plan: Plan, work: Work, reports: list[MiniBatchReport]) -> None:
    counts = counts_of(reports, work.probe, plan.snapshot.items)
    found = [*warnings_of(reports, work.probe), *where_scripts_logged(recording.folder.script_logs)]
    warnings = [redact(warning) for warning in found]
    for warning in warnings:
        logger.warning("%s", warning)
    recording.note(
        counts=counts,
        input=recording.content.input.model_copy(update={"items": counts.items}),
        warnings=warnings,
        verified_models=verified_models_of(reports),
        unseen_categories=unseen_of(reports),
        **loads_of(reports, work.probe),
    )
