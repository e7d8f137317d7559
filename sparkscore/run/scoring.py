"""Turn the request and the plan into what the workers are told, after a probe where types are not declared (driver)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from sparkscore.driver import first_mini_batch, input_schema, run_probe
from sparkscore.errors import OutputContractError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.plan import Plan
from sparkscore.run.columns import ResultColumns, check_input_types, choose_carried, decide_columns
from sparkscore.run.prepare import PreparedRun
from sparkscore.run.verdict import failure_error, nothing_to_score
from sparkscore.scorers import ScriptSpec
from sparkscore.signature import parse_ddl
from sparkscore.sinks import Sink
from sparkscore.worker import LineageValues, ProbeReport, ProbeSpec, StageSpec, WorkerSpec
from sparkscore.worker.planned import write_plan


@dataclass(frozen=True)
class Work:
    """Everything that is decided before scoring.

    Attributes:
        spec: what every task is told.
        result: the result's columns.
        probe: what the probe reported; None when there was no need for one.
    """

    spec: WorkerSpec
    result: ResultColumns
    probe: ProbeReport | None


def prepare_work(
    spark: SparkSession, prepared: PreparedRun, plan: Plan, rows: DataFrame | None, sink: Sink, stage: Path
) -> Work:
    """Decide what the workers do and what the result looks like.

    Runs one small Spark job, the probe, unless the deployment declares the result's types and its carried columns.

    Raises:
        SparkscoreError: the probe failed, or the columns do not fit together.
    """
    schema = None if rows is None else input_schema(rows)
    if schema is not None:
        check_input_types(schema)
    scorer = _scorer_spec(prepared, stage)
    # Not the run's id alone: a run may be tried again under it, with another script, in the same worker processes.
    scorer_key = f"{prepared.run_id}/{uuid.uuid4().hex}"
    limit = mini_batch_limit(prepared, plan)
    plan_file = _write_plan(plan, stage)
    declared = prepared.deployment.output.schema_ddl
    predictions = parse_ddl(declared) if declared else None
    probe = None
    if predictions is None or (rows is not None and prepared.deployment.output.carry is None):
        first = first_mini_batch(plan, plan_file, rows, limit)
        probe = _probe(spark, prepared, (scorer_key, scorer), first, predictions)
        predictions = predictions or probe.predictions
    is_frame = probe is not None and probe.is_frame
    carried = choose_carried(prepared.deployment, schema, is_frame=is_frame)
    result = decide_columns(prepared.deployment, predictions or pa.schema([]), carried, schema, _lineage(prepared))
    layout = _stage_spec(sink, stage)
    return Work(WorkerSpec(scorer_key, scorer, limit, plan_file, result.spec, layout), result, probe)


def mini_batch_limit(prepared: PreparedRun, plan: Plan) -> MiniBatchLimit:
    """Give the size of a mini-batch for the kind of input that was found."""
    size = prepared.deployment.mini_batch_size_for(plan.snapshot.kind)
    return MiniBatchLimit(size.items, size.size_bytes)


def _scorer_spec(prepared: PreparedRun, stage: Path) -> ScriptSpec:
    deployment = prepared.deployment
    code = deployment.code_configuration
    return ScriptSpec(
        code=prepared.script.code,
        script=prepared.script.name,
        arguments=tuple(code.arguments) if code else (),
        environment=tuple(deployment.environment_variables.items()),
        model_path=str(prepared.model.path) if prepared.model else None,
        output_folder=str(prepared.folder.script_output),
        work_folder=str(stage),
        arrow_dtypes=deployment.input.dtypes == "arrow",
    )


def _write_plan(plan: Plan, stage: Path) -> str | None:
    if plan.mini_batches is None:
        return None
    file = str(stage / "plan.parquet")
    write_plan(file, plan.mini_batches)
    return file


def _probe(
    spark: SparkSession,
    prepared: PreparedRun,
    scorer: tuple[str, ScriptSpec],
    first: MiniBatch | None,
    declared: pa.Schema | None,
) -> ProbeReport:
    if first is None:
        raise nothing_to_score()
    rows = None if first.rows is None else _as_stream(first.rows)
    spec = ProbeSpec(*scorer, first.mini_batch_id, first.files, rows, declared)
    report = run_probe(spark, spec)
    if report.failure is not None:
        raise failure_error(report.failure, prepared.script.name, "the first mini-batch", "Nothing was written.")
    if not report.predictions:
        raise OutputContractError(
            code="OUTPUT_UNKNOWN",
            what="run() returned nothing for the first mini-batch, so the result's columns are not known",
            got=f"0 elements for {first.item_count} items",
            next_step="Return an element for each item, or declare 'output.schema'.",
        )
    return report


def _as_stream(rows: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(buffer.getvalue())


def _lineage(prepared: PreparedRun) -> LineageValues:
    model = prepared.model
    return LineageValues(prepared.run_id, model.name if model else None, model.version if model else None)


def _stage_spec(sink: Sink, stage: Path) -> StageSpec:
    if not sink.lays_out_partitions:
        return StageSpec(str(stage))
    return StageSpec(str(stage), sink.target.partition_by, (sink.target.run_id_column,))
