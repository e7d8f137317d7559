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
from sparkscore.lineage import (
    COMPLETE,
    counts_of,
    describe_plan,
    end_record,
    identity_of,
    loads_of,
    verified_models_of,
    warnings_of,
)
from sparkscore.plan import Plan, plan_run
from sparkscore.progress import ProgressDisplay, choose_display, follow
from sparkscore.run.columns import run_id_column
from sparkscore.run.prepare import PreparedRun, RunOptions, log_choices, prepare
from sparkscore.run.quarantine import open_quarantine, publish_quarantine
from sparkscore.run.recording import Recording, recorded, refuse_other_run
from sparkscore.run.scoring import Request, Work, match_input, prepare_work
from sparkscore.run.verdict import Thresholds, decide
from sparkscore.runlock import is_held
from sparkscore.sinks import Published, Sink, StagedResult, open_sink, remove_stage, staged_in
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
            identity = _identity(prepared, plan)
            sink = open_sink(spark, deployment.output, prepared.run_id, run_id_column(deployment))
            sink.check_target()
            quarantine = open_quarantine(spark, deployment, prepared.run_id)
            _note_plan(recording, prepared, plan, sink, identity)
            feeds = match_input(prepared, source)
        with staged_in(sink.target, deployment.output.stage, identity, is_moved=sink.lays_out_partitions) as stage:
            with recording.timed("plan"):
                work = prepare_work(Request(spark, prepared, plan, source.frame(), feeds), sink, stage)
                sink.check_schema(work.result.schema)
            with recording.timed("score"):
                reports = _score(spark, plan, work, progress or choose_display())
            prepared.folder.write_attempts(reports)
            _note_scores(recording, plan, work, reports)
            decide(reports, plan.snapshot.items, prepared.scorer_name, _thresholds(deployment))
            with recording.timed("publish"):
                source.check_unchanged()
                staged = _commit(prepared, work, reports, stage.path)
                stage.check_still_ours()
                recording.note(quarantine=publish_quarantine(quarantine, reports, stage.path))
                # With its columns in the record, a commit that lands is recognised even if this process dies now.
                recording.note(output=_describe_output(sink, Published(None, None, work.result.schema)))
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
        return [*work.done, *score_plan(spark, work.rows, work.spec)]


def _commit(prepared: PreparedRun, work: Work, reports: list[MiniBatchReport], stage: Path) -> StagedResult:
    """Name the staged files that count: those of the task attempts whose reports came back."""
    files = tuple(file for report in reports for file in report.staged)
    prepared.folder.write_manifest(files)
    lineage = work.spec.result.lineage
    commit_info = {"model_name": lineage.model_name, "model_version": lineage.model_version}
    return StagedResult(stage, files, work.result.schema, commit_info)


def _note_plan(recording: Recording, prepared: PreparedRun, plan: Plan, sink: Sink, identity: str) -> None:
    snapshot = plan.snapshot
    log_choices(prepared.deployment, snapshot.kind)
    for reason, count in snapshot.skipped.items():
        logger.warning("input: %d left out (%s)", count, reason)
    if plan.mini_batches is not None:
        prepared.folder.write_plan(plan.mini_batches)
    recording.note(
        identity=identity,
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
    verified = verified_models_of(reports)
    recording.note(
        counts=counts, input=items, warnings=warnings, verified_models=verified, **loads_of(reports, work.probe)
    )


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
    """Give the run of this id if its result is there and was the same request; it is not made again.

    Its record may say otherwise: a driver that died just after it had published could not write it.
    """
    record = prepared.folder.read_record()
    columns = None if record is None else record["output"]["columns"]
    if record is None or not columns or is_held(prepared.folder.lock_file):
        return None
    sink = open_sink(spark, prepared.deployment.output, prepared.run_id, run_id_column(prepared.deployment))
    schema = _schema_of(columns)
    is_complete = record["state"] == COMPLETE
    landed = None if is_complete else sink.landed(schema)
    if not is_complete and landed is None:
        return None
    _, plan = _plan(spark, prepared)
    refuse_other_run(record, _identity(prepared, plan), prepared.run_id)
    if landed is not None:
        return _complete(record, sink, landed, prepared)
    published = Published(record["output"]["version"], record["output"]["rows"], schema)
    if not sink.holds(published):
        raise ConfigError(
            code="RUN_RESULT_GONE",
            what=f"run '{prepared.run_id}' is complete, and its rows are no longer in '{record['output']['location']}'",
            next_step="Choose another --run-id to score again.",
        )
    logger.info("run '%s' is complete already; nothing was done", prepared.run_id)
    return Run(record, sink, published)


def _complete(record: dict[str, Any], sink: Sink, published: Published, prepared: PreparedRun) -> Run:
    """Complete the record of a driver that died after its result had landed."""
    record = end_record({**record, "output": _describe_output(sink, published)}, COMPLETE)
    prepared.folder.write_record(record)
    remove_stage(sink.target, prepared.deployment.output.stage)
    logger.info("run '%s' was published by a driver that died then; its record is complete now", prepared.run_id)
    return Run(record, sink, published)


def _schema_of(columns: dict[str, str]) -> StructType:
    ddl = ", ".join(f"`{name.replace('`', '``')}` {kind}" for name, kind in columns.items())
    return StructType(StructType.fromDDL(ddl).fields)  # type: ignore[attr-defined]  # declared as any DataType
