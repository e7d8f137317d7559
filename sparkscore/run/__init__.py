"""Score: the whole path of the data, a step a statement (driver)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Unpack

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Deployment
from sparkscore.plan import Plan, plan_run
from sparkscore.progress import ProgressDisplay, choose_display, follow
from sparkscore.record.from_reports import (
    counts_of,
    describe_plan,
    loads_of,
    unseen_of,
    verified_models_of,
    warnings_of,
)
from sparkscore.record.run_record import HELD, new_record
from sparkscore.redaction import redact
from sparkscore.run.columns import refuse_missing_not_null, run_id_column
from sparkscore.run.finished import Run, finished_before
from sparkscore.run.held import discard, publish
from sparkscore.run.identity import identity_of_run
from sparkscore.run.known_rows import check_known_rows
from sparkscore.run.nulls import decide_nulls, dtypes_of
from sparkscore.run.per_file import refuse_count_of_files, sized_in
from sparkscore.run.prepare import PreparedRun, RunOptions, log_choices, prepare
from sparkscore.run.publishing import describe_output, manifest_of, publish_manifest, staged_result
from sparkscore.run.quarantine import check_quarantine, open_quarantine
from sparkscore.run.recording import Recording, recorded
from sparkscore.run.scored_again import (
    describe_failed,
    family_locked,
    has_nothing_left,
    leave_out_scored,
    note_publishing,
)
from sparkscore.run.scoring import Request, Work, match_input, prepare_work
from sparkscore.run.staged_files import check_staged_files
from sparkscore.run.verdict import Thresholds, decide
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scripts.mlflow_store import where_scripts_logged
from sparkscore.signature.model_signature import Feed
from sparkscore.sinks import Published, Sink, Stage, first_commit_began, open_sink, stage_of, staged_in
from sparkscore.sources import Source, open_failed, open_source
from sparkscore.spark.jobs import input_schema, score_plan, task_slots
from sparkscore.spark.jvm_names import refuse_colons_in_patterns, refuse_unreadable_names
from sparkscore.spark.schema import columns_of
from sparkscore.stage import MiniBatchReport
from sparkscore.stage.lock import RunLock
from sparkscore.worker import FailureRules

__all__ = ["PreparedRun", "Run", "RunOptions", "discard", "execute", "prepare", "publish", "score"]

logger = logging.getLogger("sparkscore")


def score(spark: SparkSession, deployment: str | Path | None, **options: Unpack[RunOptions]) -> Run:
    """Score an input with a deployment and commit one result, or hold it where the deployment says ``publish: audit``.

    Runs on the driver; the model runs on Spark's workers. Blocks until the result is committed.

    Args:
        spark: the session to use; `sparkscore.local_session` makes one.
        deployment: path of the deployment file.
        **options: the same as on the command line, see `sparkscore.run.RunOptions`: ``input``, ``output``,
            ``input_format``, ``output_format``, ``mode``, ``partition_by``, ``run_id``, ``runs``, ``settings``.

    Raises:
        SparkscoreError: the run failed; nothing was published, and the error's ``record`` says what happened.
    """
    return execute(spark, prepare(deployment, **options))


def execute(spark: SparkSession, prepared: PreparedRun, *, progress: ProgressDisplay | None = None) -> Run:
    """Do a prepared run: plan, stage, decide, publish.

    Runs on the driver. A run id whose run is complete and asked for the same is not run again.

    Args:
        spark: the session to use.
        prepared: the request, from `prepare`.
        progress: where progress is shown; chosen for the terminal or notebook when absent.

    Raises:
        SparkscoreError: the run failed; nothing was published, and the error's ``record`` says what happened.
    """
    folder = prepared.folder
    folder.create()
    first = None if prepared.failed is None else prepared.failed.first
    with RunLock(folder.lock_file, prepared.run_id) as lock, family_locked(folder.path.parent, first):
        prepared = leave_out_scored(spark, prepared)
        # Under the lock: another driver may have finished the run a moment ago.
        finished = finished_before(spark, prepared, lambda: identity_of_run(prepared, _plan(spark, prepared)[1]))
        if finished is None and has_nothing_left(prepared):
            return _nothing_to_do(spark, prepared, lock)
        return finished or _execute(spark, prepared, lock, progress or choose_display())


def _execute(spark: SparkSession, prepared: PreparedRun, lock: RunLock, display: ProgressDisplay) -> Run:
    deployment, folder, place = prepared.deployment, prepared.folder, prepared.deployment.output.stage
    former = folder.read_manifest()
    record = new_record(prepared.run_id, prepared.source_name, deployment.effective())
    with recorded(folder, lock, record, deployment.settings.logging_level) as recording:
        folder.write_request(prepared.request)
        recording.note(**prepared.describe_models(), git_commit=prepared.git_commit)
        with recording.timed("plan"):
            _check_places(spark, deployment)
            source, plan = _plan(spark, prepared)
            sink = open_sink(spark, deployment.output, prepared.run_id, run_id_column(deployment))
            sink.check_target(is_retried=first_commit_began(stage_of(sink.target, place), sink.target))
            sinks = sink, open_quarantine(spark, deployment, prepared.run_id)
            if deployment.settings.error_threshold and former is None:
                check_quarantine(sinks[1])
            _note_plan(recording, prepared, source, plan, sink)
            feeds = match_input(prepared, source)
            source.check_contents()
        identity = str(recording.content.identity)
        with staged_in(sink.target, place, identity, is_moved=sink.lays_out_partitions) as stage:
            if prepared.script is not None:
                folder.write_code(prepared.script.files, prepared.script.left_out)
            with recording.timed("plan"):
                dtypes = _decide_dtypes(recording, prepared, source, feeds, stage)
                work = prepare_work(Request(spark, prepared, plan, source.frame(), feeds, dtypes), sink, stage)
                schema = work.result.schema
                sink.check_schema(schema, work.result.origins)
                refuse_missing_not_null(sink.columns_without_null(), work.result)
                check_known_rows(spark, sink, source, work.result, deployment.settings.error_threshold)
            with recording.timed("score"):
                reports = _score(spark, plan, work, display)
            # A driver that slept meanwhile may have lost the run: what the other one wrote stays.
            stage.check_still_ours()
            folder.write_attempts(reports)
            _note_scores(recording, plan, work, reports)
            decide(reports, plan.snapshot.items, prepared.scorer_name, _thresholds(deployment, work.spec.rules))
            source.check_unchanged()
            manifest = manifest_of(reports, schema, work.spec.result.lineage, recording.content)
            stage.check_still_ours()
            folder.write_manifest(manifest)
            if deployment.publish == "audit":
                _hold(recording, sink, stage, schema)
                read: Callable[[], DataFrame] = partial(sink.read_staged, staged_result(manifest, stage.path, schema))
            else:
                with recording.timed("publish"):
                    check_staged_files(spark, manifest, stage)
                    note_publishing(folder.path.parent, recording.content, deployment, manifest)
                    published = publish_manifest(manifest, schema, sinks, stage, recording, former)
                    recording.note(output=describe_output(sink, published))
                read = partial(sink.read, published)
    return Run(recording.content, read)


def _check_places(spark: SparkSession, deployment: Deployment) -> None:
    places = [place for place in (deployment.output.location, deployment.output.stage) if place]
    refuse_unreadable_names(spark, places)
    refuse_colons_in_patterns(places)


def _nothing_to_do(spark: SparkSession, prepared: PreparedRun, lock: RunLock) -> Run:
    """Record a run over failed items of which none is left."""
    failed, folder, deployment = prepared.failed, prepared.folder, prepared.deployment
    record = new_record(prepared.run_id, prepared.source_name, deployment.effective())
    with recorded(folder, lock, record, deployment.settings.logging_level) as recording:
        sink = open_sink(spark, deployment.output, prepared.run_id, run_id_column(deployment))
        place = {"format": "quarantine", "location": failed and failed.location, "version": failed and failed.version}
        recording.note(
            input=record.input.model_copy(update={**place, "items": 0}),
            output=describe_output(sink, None).model_copy(update={"rows": 0, "columns": {}}),
            only_failed=describe_failed(failed, 0),
        )
        logger.info("nothing to do: later runs have scored all that failed in run '%s'", failed and failed.run_id)
    return Run(recording.content, lambda: spark.createDataFrame([], StructType([])))


def _hold(recording: Recording, sink: Sink, stage: Stage, schema: StructType) -> None:
    """Leave the staged rows where they are until somebody publishes or discards the run."""
    stage.hold()
    recording.note(output=describe_output(sink, Published(None, None, schema)), stage=str(stage.path))
    recording.ends_as(HELD)
    run_id = recording.content.run_id
    logger.info("run '%s' is held: 'sparkscore publish %s' publishes it, with --discard it is dropped", run_id, run_id)


def _thresholds(deployment: Deployment, rules: FailureRules) -> Thresholds:
    settings = deployment.settings
    return Thresholds(
        settings.error_threshold,
        settings.mini_batch_error_threshold,
        settings.allowed_failed_percent,
        counts_files=rules.counts_files,
    )


def _plan(spark: SparkSession, prepared: PreparedRun) -> tuple[Source, Plan]:
    deployment = prepared.deployment
    is_files = deployment.is_azure and prepared.script is not None
    if prepared.failed is not None:
        source: Source = open_failed(spark, prepared.failed, deployment.input.columns)
    else:
        source = open_source(spark, deployment.input, is_files_by_default=is_files, is_no_code=deployment.is_no_code)
    refuse_count_of_files(deployment, source.snapshot)
    size = deployment.mini_batch_size_for(source.snapshot.kind)
    # A mini-batch of several files would be one call.
    files = 1 if size.items and deployment.is_no_code else size.items
    return source, plan_run(source.snapshot, files, task_slots(spark))


def _decide_dtypes(
    recording: Recording, prepared: PreparedRun, source: Source, feeds: tuple[Feed, ...] | None, stage: Stage
) -> Dtypes:
    nulls = decide_nulls(prepared, source, feeds, stage.path)
    recording.note(input=recording.content.input.model_copy(update={"nulls": nulls}))
    return dtypes_of(prepared, nulls)


def _columns_of(source: Source) -> dict[str, str] | None:
    """Name the columns of an input of rows, with Spark's names of their types."""
    rows = source.frame()
    return None if rows is None else columns_of(input_schema(rows))


def _score(spark: SparkSession, plan: Plan, work: Work, display: ProgressDisplay) -> list[MiniBatchReport]:
    snapshot = plan.snapshot
    threshold = -1 if work.spec.rules.counts_files else work.spec.rules.error_threshold
    with follow(display, work.spec.stage.folder, snapshot.items, snapshot.kind, threshold):
        return [*work.done, *score_plan(spark, work.rows, work.spec)]


def _note_plan(recording: Recording, prepared: PreparedRun, source: Source, plan: Plan, sink: Sink) -> None:
    snapshot = plan.snapshot
    kind = sized_in(prepared.deployment, snapshot)
    log_choices(prepared.deployment, kind)
    for reason, count in snapshot.skipped.items():
        logger.warning("input: %d left out (%s)", count, reason)
    if snapshot.order_doubt:
        logger.warning("input: columns go by name only: %s", snapshot.order_doubt)
    if plan.mini_batches is not None:
        prepared.folder.write_plan(plan.mini_batches)
    recording.note(
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
