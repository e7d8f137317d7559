"""Score: the whole path of the data, a step a statement (driver)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Deployment
from sparkscore.driver import score_plan, task_slots
from sparkscore.errors import ConfigError
from sparkscore.lineage import COMPLETE, counts_of, describe_plan, identity_of, loads_of, warnings_of
from sparkscore.plan import Plan, plan_run
from sparkscore.progress import ProgressDisplay, choose_display, follow
from sparkscore.run.columns import run_id_column
from sparkscore.run.prepare import PreparedRun, RunOptions, log_choices, prepare
from sparkscore.run.quarantine import open_quarantine, publish_quarantine
from sparkscore.run.recording import Recording, recorded, refuse_other_run
from sparkscore.run.scoring import Request, Work, match_input, prepare_work
from sparkscore.run.verdict import Thresholds, decide
from sparkscore.sinks import Published, Sink, StagedResult, open_sink
from sparkscore.sinks.target import staged_in
from sparkscore.sources import Source, open_source
from sparkscore.worker import MiniBatchReport

__all__ = ["PreparedRun", "Run", "RunOptions", "execute", "prepare", "score"]

logger = logging.getLogger("sparkscore")


@dataclass(frozen=True)
class Run:
    """A run that is complete.

    Attributes:
        record: the run record, as ``--json`` prints it.
    """

    record: dict[str, Any]
    _sink: Sink
    _published: Published

    def predictions(self) -> DataFrame:
        """Give this run's rows of the result, and no others, as they were committed."""
        return self._sink.read(self._published)


def score(spark: SparkSession, deployment: str | Path | None, **options: Unpack[RunOptions]) -> Run:
    """Score an input with a deployment and commit one result.

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
    deployment = prepared.deployment
    if (finished := _finished_before(spark, prepared)) is not None:
        return finished
    with recorded(prepared) as recording:
        with recording.timed("plan"):
            source, plan = _plan(spark, prepared)
            sink = open_sink(spark, deployment.output, prepared.run_id, run_id_column(deployment))
            sink.check_target()
            quarantine = open_quarantine(spark, deployment, prepared.run_id)
            quarantine.check_target()
            _note_plan(recording, prepared, plan, sink)
            feeds = match_input(prepared, source.frame())
        with staged_in(sink.target, deployment.output.stage, is_moved=sink.lays_out_partitions) as stage:
            with recording.timed("plan"):
                work = prepare_work(Request(spark, prepared, plan, source.frame(), feeds), sink, stage)
                sink.check_schema(work.result.schema)
            with recording.timed("score"):
                reports = _score(spark, plan, work, progress or choose_display())
            _note_scores(recording, plan, work, reports)
            decide(reports, plan.snapshot.items, prepared.scorer_name, _thresholds(deployment))
            with recording.timed("publish"):
                source.check_unchanged()
                staged = _commit(prepared, work, reports, stage)
                recording.note(quarantine=publish_quarantine(quarantine, reports, stage))
                published = sink.publish(staged)
            recording.note(output=_describe_output(sink, published))
    return Run(recording.content, sink, published)


def _thresholds(deployment: Deployment) -> Thresholds:
    settings = deployment.settings
    return Thresholds(settings.error_threshold, settings.mini_batch_error_threshold, settings.allowed_failed_percent)


def _plan(spark: SparkSession, prepared: PreparedRun) -> tuple[Source, Plan]:
    # Without a script, Azure's deployments too read tables as tables.
    is_files = prepared.deployment.is_azure and prepared.script is not None
    source = open_source(spark, prepared.deployment.input, is_files_by_default=is_files)
    size = prepared.deployment.mini_batch_size_for(source.snapshot.kind)
    return source, plan_run(source.snapshot, size.items, task_slots(spark))


def _score(spark: SparkSession, plan: Plan, work: Work, display: ProgressDisplay) -> list[MiniBatchReport]:
    snapshot = plan.snapshot
    with follow(display, work.spec.stage.folder, snapshot.items, snapshot.kind):
        return score_plan(spark, plan, work.rows, work.spec)


def _commit(prepared: PreparedRun, work: Work, reports: list[MiniBatchReport], stage: Path) -> StagedResult:
    """Name the staged files that count: those of the task attempts whose reports came back."""
    files = tuple(file for report in reports for file in report.staged)
    prepared.folder.write_manifest(files)
    lineage = work.spec.result.lineage
    commit_info = {"model_name": lineage.model_name, "model_version": lineage.model_version}
    return StagedResult(stage, files, work.result.schema, commit_info)


def _note_plan(recording: Recording, prepared: PreparedRun, plan: Plan, sink: Sink) -> None:
    snapshot = plan.snapshot
    log_choices(prepared.deployment, snapshot.kind)
    for reason, count in snapshot.skipped.items():
        logger.warning("input: %d left out (%s)", count, reason)
    if plan.mini_batches is not None:
        prepared.folder.write_plan(plan.mini_batches)
    recording.note(
        identity=_identity(prepared, plan),
        input=describe_plan(plan),
        output=_describe_output(sink, None),
        config=prepared.deployment.effective(snapshot.kind),
    )


def _note_scores(recording: Recording, plan: Plan, work: Work, reports: list[MiniBatchReport]) -> None:
    counts = counts_of(reports, work.probe, plan.snapshot.items)
    items = recording.content["input"] | {"items": counts["items"]}
    warnings = warnings_of(reports, work.probe)
    for warning in warnings:
        logger.warning("%s", warning)
    recording.note(counts=counts, input=items, warnings=warnings, **loads_of(reports, work.probe))


def _describe_output(sink: Sink, published: Published | None) -> dict[str, Any]:
    target = sink.target
    described = {"format": sink.format, "location": str(target.path), "mode": target.mode}
    if published is None:
        return {**described, "version": None, "rows": None, "columns": None}
    columns = {field.name: field.dataType.simpleString() for field in published.schema}
    return {**described, "version": published.version, "rows": published.rows, "columns": columns}


def _identity(prepared: PreparedRun, plan: Plan) -> str:
    return identity_of(
        {
            "input": plan.snapshot.version,
            **prepared.digests(),
            "config": prepared.deployment.effective(plan.snapshot.kind),
        }
    )


def _finished_before(spark: SparkSession, prepared: PreparedRun) -> Run | None:
    """Give the run of this id if it is complete and was the same request; its result stands and is not made again."""
    record = prepared.folder.read_record()
    if record is None or record.get("state") != COMPLETE:
        return None
    _, plan = _plan(spark, prepared)
    refuse_other_run(record, _identity(prepared, plan), prepared.run_id)
    sink = open_sink(spark, prepared.deployment.output, prepared.run_id, run_id_column(prepared.deployment))
    output = record["output"]
    ddl = ", ".join(f"`{name.replace('`', '``')}` {kind}" for name, kind in output["columns"].items())
    schema = StructType(StructType.fromDDL(ddl).fields)  # type: ignore[attr-defined]  # declared as any DataType
    published = Published(output["version"], output["rows"], schema)
    if not sink.holds(published):
        raise ConfigError(
            code="RUN_RESULT_GONE",
            what=f"run '{prepared.run_id}' is complete, and its rows are no longer in '{output['location']}'",
            next_step="Choose another --run-id to score again.",
        )
    logger.info("run '%s' is complete already; nothing was done", prepared.run_id)
    return Run(record, sink, published)
