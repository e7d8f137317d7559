"""Execute a run from the request to the published result, in the steps shown in the README. Runs on the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from pyspark.sql import SparkSession

from sparkscore.progress import ProgressDisplay, choose_display
from sparkscore.record.run_record import HELD
from sparkscore.run.asked import RunOptions
from sparkscore.run.finished import finished_before
from sparkscore.run.hosts import refuse_unseen, telling_changes
from sparkscore.run.identity import identity_of_run
from sparkscore.run.prepare import PreparedRun, prepare
from sparkscore.run.recording import recorded
from sparkscore.run.result import Run
from sparkscore.run.scored_again import family_locked, has_nothing_left, leave_out_scored
from sparkscore.run.state import RunState
from sparkscore.run.steps import (
    ActiveRun,
    begin,
    check_input,
    count_scores,
    decide_work,
    hold_result,
    keep_manifest,
    nothing_to_do,
    open_input,
    open_outputs,
    plan_input,
    publish_result,
    score_on_workers,
    stage_for,
    start_record,
)
from sparkscore.run.verdict import decide
from sparkscore.spark.connect import working_on
from sparkscore.spark.prerequisites import check_spark_version


def score(spark: SparkSession, deployment: str | Path | None, **options: Unpack[RunOptions]) -> Run:
    """Score an input and publish the result, or hold the result if the deployment has ``publish: audit``.

    Runs on the driver, while the script or model runs on Spark's executors. Returns when the result is published or
    held.

    Args:
        spark: the session to use; `sparkscore.local_session` creates one.
        deployment: path of the deployment file. None if ``model`` names the model, or if ``only_failed`` names a run
            whose request is used again.
        **options: the options of the run, see `sparkscore.run.RunOptions`: ``input``, ``output``, ``input_format``,
            ``output_format``, ``mode``, ``partition_by``, ``run_id``, ``runs``, ``settings``, ``model``,
            ``only_failed``.

    Raises:
        SparkscoreError: the request is wrong, or the run failed. The error's ``record`` attribute is the run record, or
            None if the run had not started.
    """
    return execute(spark, prepare(deployment, **options))


def execute(spark: SparkSession, prepared: PreparedRun, *, progress: ProgressDisplay | None = None) -> Run:
    """Execute a prepared run: plan, score, decide whether the run may publish, and publish or hold the result.

    Runs on the driver. Nothing is scored if a run with this id and the same request is already published or held.

    Args:
        spark: the session to use.
        prepared: the checked request, from `prepare`.
        progress: the progress display. If None, one that suits the terminal or notebook is chosen.

    Raises:
        SparkscoreError: the run failed. The error's ``record`` attribute is the run record, or None if the run had not
            started.
    """
    folder, deployment = prepared.folder, prepared.deployment
    folder.create()
    first = None if prepared.failed is None else prepared.failed.first
    with working_on(spark), folder.claim() as lock, family_locked(folder.runs, first):
        check_spark_version(spark.version)
        state = RunState(folder, lock, folder.read_record())
        prepared = leave_out_scored(spark, prepared)
        if (done := _done_before(spark, prepared, state)) is not None:
            return done
        record = start_record(prepared, state)
        with recorded(folder, lock, record, deployment.settings.logging_level) as recording:
            active = ActiveRun(spark, prepared, state, recording)
            begin(active)
            with recording.timed("plan"):
                source = open_input(spark, prepared)
                plan = plan_input(spark, prepared, source)
                outputs = open_outputs(active)
                feeds = check_input(active, source, plan, outputs)
            with stage_for(active, outputs) as stage:
                with recording.timed("plan"):
                    work = decide_work(active, source, plan, feeds, outputs, stage)
                with recording.timed("score"), telling_changes(source):
                    reports = score_on_workers(spark, stage, plan, work, progress or choose_display())
                count_scores(active, stage, plan, work, reports)
                refuse_unseen(spark, plan.snapshot, ((report.failure, report.worker) for report in reports))
                decide(reports, plan.snapshot.items, prepared.scorer_name, work.spec.rules.tolerance)
                source.check_unchanged()
                with recording.timed("publish"):
                    manifest = keep_manifest(active, outputs, stage, work, reports)
                if deployment.publish == "audit":
                    rows = hold_result(active, outputs, stage, manifest)
                    recording.ends_as(HELD)
                else:
                    with recording.timed("publish"):
                        rows = publish_result(active, outputs, stage, manifest)
    return Run(recording.content, rows, spark, folder)


def _done_before(spark: SparkSession, prepared: PreparedRun, state: RunState) -> Run | None:
    """Return the run if there is nothing to score, or None if its items must be scored.

    There is nothing to score if the run is already published or held. With ``only_failed``, there is also nothing to
    score if other runs have already scored all of the failed items.
    """

    def identity() -> str:
        return identity_of_run(prepared, plan_input(spark, prepared, open_input(spark, prepared)))

    finished = finished_before(spark, prepared, state, identity)
    if finished is None and has_nothing_left(prepared):
        return nothing_to_do(spark, prepared, state)
    return finished
