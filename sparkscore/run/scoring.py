"""Decide before scoring what the Spark tasks do, with a test call (probe) if the columns are unknown.

Runs on the driver.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.plan import Plan
from sparkscore.redaction import redact
from sparkscore.run.columns import ResultColumns, check_input_types, choose_carried, decide_columns
from sparkscore.run.delivery import Delivery, deliver_content, deliver_model, delivery_for
from sparkscore.run.engine import engine_spec
from sparkscore.run.hosts import refuse_unseen
from sparkscore.run.no_code import (
    arrow_columns,
    match_model,
    no_code_spec,
    outputs_of,
    section_of,
    stage_model,
    task_cores,
    transformed_rows,
)
from sparkscore.run.nulls import declared_not_null
from sparkscore.run.per_file import mini_batch_limit, refuse_other_endings
from sparkscore.run.prepare import PreparedRun
from sparkscore.run.verdict import failure_error, nothing_to_score
from sparkscore.scorers import ScorerSpec, ScriptSpec
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.specs import OnnxSpec, RowsSpec
from sparkscore.scripts.packing import PackedScript
from sparkscore.signature import parse_ddl
from sparkscore.signature.matching import columns_without_null, refuse_known_nulls
from sparkscore.signature.model_signature import Feed
from sparkscore.sinks import Sink
from sparkscore.sources import Source
from sparkscore.spark.jobs import first_mini_batches, run_probe
from sparkscore.spark.schema import column
from sparkscore.stage import Decision, MiniBatchReport, RunStage, TaskStage
from sparkscore.stage.chunks import ChunkLimit
from sparkscore.tolerance import Tolerance
from sparkscore.worker import EngineSpec, FailureRules, LineageValues, ProbeReport, ProbeSpec, ResultSpec, WorkerSpec
from sparkscore.worker.child.messages import write_stream
from sparkscore.worker.host import HostCheck
from sparkscore.worker.probe import pack_items, packed_report, unpacked_report

logger = logging.getLogger("sparkscore")


@dataclass(frozen=True)
class InputRows:
    """The rows of an input whose items are rows.

    Attributes:
        columns: the columns of the rows.
        frame: returns the rows as a DataFrame. Spark may have to look at the files for it.
    """

    columns: StructType
    frame: Callable[[], DataFrame | None]


@dataclass(frozen=True)
class Request:
    """A checked request together with its opened input.

    Attributes:
        spark: the session.
        prepared: the checked request.
        plan: the plan of the run.
        rows: the input rows, or None if the items are files.
        feeds: the model's inputs, each with its columns, or None if there is a script or no signature.
        dtypes: the rule by which workers choose the dtypes of the pandas DataFrames that the scorer gets.
        host: the conditions that each worker process must meet, checked in its first task. None if the workers are on
            this host.
    """

    spark: SparkSession
    prepared: PreparedRun
    plan: Plan
    rows: InputRows | None
    feeds: tuple[Feed, ...] | None
    dtypes: Dtypes = field(default_factory=Dtypes)
    host: HostCheck | None = None

    @property
    def columns(self) -> StructType | None:
        """The input's schema, or None if the items are files."""
        return None if self.rows is None else self.rows.columns


@dataclass(frozen=True)
class Work:
    """The work of a run's Spark tasks, as decided before scoring.

    Attributes:
        spec: the specification that every task gets.
        rows: the rows that the tasks score, or None if the tasks read the input files themselves.
        result: the columns of the result.
        probe: the probe's report, or None if no probe was needed.
        done: the reports of work units that an earlier execution of the run finished. These work units are not scored
            again.
    """

    spec: WorkerSpec
    rows: DataFrame | None
    result: ResultColumns
    probe: ProbeReport | None
    done: tuple[MiniBatchReport, ...] = ()


def match_input(prepared: PreparedRun, source: Source) -> tuple[Feed, ...] | None:
    """Check the types of the input's columns, and match the columns with the model if there is no scoring script.

    Returns:
        the model's inputs, each with its columns, or None if there is a script or no signature.

    Raises:
        SignatureMismatchError: the input does not fit the model; or failed rows are not tolerated, and a column is
            known to contain a NULL that the model does not accept.
        SourceSchemaError: Arrow or Parquet cannot store the type of a column exactly.
        ConfigError: the input of an image model in an Azure deployment has files that Azure ML does not read as images.
    """
    columns = source.columns()
    if columns is not None:
        check_input_types(columns)
    if prepared.description is None or prepared.model is None:
        return None
    feeds = match_model(
        prepared.description,
        section_of(prepared.deployment),
        prepared.model,
        columns,
        source.snapshot.order_doubt,
    )
    if columns is None and feeds and feeds[0].shape is not None:
        refuse_other_endings(prepared.deployment, source.snapshot)
    if feeds and prepared.deployment.settings.error_threshold == 0:
        refuse_known_nulls(feeds, source.count_nulls(columns_without_null(feeds)))
    return feeds


def prepare_work(request: Request, sink: Sink, stage: RunStage) -> Work:
    """Decide what the Spark tasks do, and determine the columns of the result.

    If the types of the predictions or the names of the carried columns are unknown, Spark runs a probe, a test call of
    the scorer. If the run is resumed, the plan, the probe's report and the finished work units are taken from the
    stage.

    Args:
        request: the checked request with its input.
        sink: the output.
        stage: the run's stage.

    Raises:
        SparkscoreError: for example, the probe failed, or two columns of the result have the same name.
    """
    prepared, plan, for_tasks = request.prepared, request.plan, _for_tasks(sink, stage)
    delivery = delivery_for(request.spark, stage)
    rows, scorer = _scorer(request, stage, delivery)
    # Worker processes cache scorers by this key. The run id is not enough: it may be used again with another script.
    key = f"{prepared.run_id}/{uuid.uuid4().hex}"
    engine = engine_spec(prepared, key, scorer, delivery, declared_not_null(prepared))
    limit = mini_batch_limit(prepared.deployment, plan.snapshot)
    planned = None if plan.mini_batches is None else stage.keep_plan(plan.mini_batches)
    predictions = _known_predictions(prepared, rows, scorer)
    probe = None
    if predictions is None or (prepared.script and rows is not None and prepared.deployment.output.carry is None):
        first = partial(first_mini_batches, plan, for_tasks, rows, limit)
        probe = _kept_probe(stage)
        if probe is None:
            probe = _probe(request, engine, first(), predictions, delivery)
            stage.keep(Decision.PROBE, packed_report(probe))
        predictions = predictions or probe.predictions
    # A model without a script returns one row for each input row, even if it returns a DataFrame.
    is_frame = prepared.script is not None and probe is not None and probe.is_frame
    carried = choose_carried(prepared.deployment, request.columns, is_frame=is_frame)
    lineage = LineageValues(prepared.run_id, *prepared.lineage_model)
    result = decide_columns(prepared.deployment, predictions or pa.schema([]), carried, request.columns, lineage)
    rules = _result_spec(request, result.spec, probe)
    done = {} if planned is None else stage.done_units(planned)
    if planned is not None and done:
        logger.info("%d of %d work units were scored before the run stopped", len(done), len(planned))
    elif chunks := stage.count_chunks():
        logger.info("%d chunks were scored before the run stopped; they are not scored again", chunks)
    stage.forget_progress(done)
    units = None if planned is None else tuple(unit for unit in sorted(planned) if unit not in done)
    chunk = ChunkLimit(items=prepared.deployment.chunk_size)
    failures = _failure_rules(prepared.deployment, limit)
    spec = WorkerSpec(engine, limit, planned is not None, rules, for_tasks, failures, units, chunk, request.host)
    return Work(spec, rows, result, probe, tuple(report for unit in sorted(done) for report in done[unit]))


def _result_spec(request: Request, spec: ResultSpec, probe: ProbeReport | None) -> ResultSpec:
    """Return a copy of the result's specification with information about the input and the scorer added.

    ``columns`` is set to the number of input columns, and ``is_proven`` to whether the scorer is known to return one
    element for each item. For a model without a script, ``caller`` is set to the model's name, and ``is_per_item`` to
    True.
    """
    prepared = request.prepared
    # An ONNX graph works on whole columns, and Spark keeps the rows that a pyspark.ml model scores.
    is_known = prepared.description is not None and prepared.description.model_format in {"onnx", "spark"}
    is_proven = is_known or (probe is not None and probe.is_proven)
    spec = replace(spec, columns=len(request.columns or ()), is_proven=is_proven)
    return spec if prepared.script else replace(spec, caller=prepared.scorer_name, is_per_item=True)


def _failure_rules(deployment: Deployment, limit: MiniBatchLimit) -> FailureRules:
    tries = deployment.settings.retry_settings.max_retries + 1
    return FailureRules(tries, tolerance_of(deployment, counts_files=limit.is_file))


def tolerance_of(deployment: Deployment, *, counts_files: bool = False) -> Tolerance:
    """Return how many items and mini-batches of a run may fail.

    Args:
        deployment: the deployment with the thresholds.
        counts_files: whether a failed mini-batch counts as one failed item, because each mini-batch is one file.
    """
    settings = deployment.settings
    return Tolerance(
        settings.error_threshold, settings.mini_batch_error_threshold, settings.allowed_failed_percent, counts_files
    )


def _scorer(request: Request, stage: RunStage, delivery: Delivery) -> tuple[DataFrame | None, ScorerSpec]:
    """Return the rows that the tasks score, and the specification of the scorer. Models are copied into the stage.

    The rows are None if the tasks read the input files themselves. For a ``pyspark.ml`` model, the rows already include
    the predictions, because Spark itself computes them.
    """
    prepared, rows = request.prepared, None if request.rows is None else request.rows.frame()
    if prepared.script is not None:
        return rows, _script_spec(request, prepared.script, stage, delivery)
    section, description = section_of(prepared.deployment), prepared.description
    if description is None or prepared.model is None:
        raise RuntimeError("a prepared run has a script or a model")
    if description.model_format == "spark" and rows is not None:
        return transformed_rows(rows, stage_model(prepared.model, stage), _declared_names(prepared.deployment))
    doubt = request.plan.snapshot.order_doubt
    spec = no_code_spec(description, section, prepared.model, request.feeds, task_cores(request.spark), doubt)
    spec = replace(spec, files=delivery.deliver(prepared.model.path, spec.files))
    return rows, spec if isinstance(spec, OnnxSpec) else replace(spec, dtypes=request.dtypes)


def _script_spec(request: Request, script: PackedScript, stage: RunStage, delivery: Delivery) -> ScriptSpec:
    prepared = request.prepared
    deployment = prepared.deployment
    code = deployment.code_configuration
    tracking_uri, registry_uri = prepared.stores
    return ScriptSpec(
        code=deliver_content(delivery, script.code, script.path.parent.name, "code folder") or script.code,
        script=script.name,
        arguments=tuple(code.arguments) if code else (),
        environment=tuple(deployment.environment_variables.items()),
        model=None if prepared.model is None else deliver_model(delivery, prepared.model),
        models=tuple(deliver_model(delivery, model) for model in prepared.models),
        tracking_uri=tracking_uri,
        registry_uri=registry_uri,
        output_folder=str(prepared.folder.script_output),
        log_folder=str(prepared.folder.script_logs),
        work_folder=stage.work_folder,
        dtypes=request.dtypes,
    )


def _known_predictions(prepared: PreparedRun, rows: DataFrame | None, scorer: ScorerSpec) -> pa.Schema | None:
    """Return the prediction columns if they are known before the scorer is called, or None if a probe must find them.

    They are known in these cases:

    - ``output.schema`` declares them.
    - The model's signature declares them; see `outputs_of`.
    - Spark itself computes the predictions.
    """
    declared = prepared.deployment.output.schema_ddl
    if declared:
        return parse_ddl(declared)
    if isinstance(scorer, RowsSpec) and rows is not None:
        return arrow_columns(rows.select(*map(column, scorer.columns)).schema)
    if prepared.description is None:
        return None
    return outputs_of(prepared.description, section_of(prepared.deployment))


def _declared_names(deployment: Deployment) -> tuple[str, ...]:
    declared = deployment.output.schema_ddl
    return tuple(parse_ddl(declared).names) if declared else ()


def _kept_probe(stage: RunStage) -> ProbeReport | None:
    """Return the stored report of the probe, or None if no earlier execution of the run has stored one in the stage.

    The probe is a test call before scoring. A resumed run uses the stored report, so that its result has the same
    columns as the rows that are already staged.
    """
    kept = stage.kept(Decision.PROBE)
    return None if kept is None else unpacked_report(kept)


def _probe(
    request: Request, engine: EngineSpec, first: Sequence[MiniBatch], declared: pa.Schema | None, delivery: Delivery
) -> ProbeReport:
    """Run the probe: score one mini-batch on a worker, and return a report with the names and types of the columns.

    If failed items are tolerated, a script may return nothing for a mini-batch. In that case, the next mini-batch in
    `first` is scored.

    Args:
        request: the checked request with its input.
        engine: the specification from which workers start the scorer.
        first: some mini-batches from the start of the input.
        declared: the prediction columns if they are declared, or None.
        delivery: how to send the mini-batch to the worker if it is too large to be part of the Spark job.

    Raises:
        SparkscoreError: the input is empty, the scorer failed, or the scorer returned nothing.
    """
    if not first:
        raise nothing_to_score()
    prepared = request.prepared
    is_tolerant = prepared.deployment.settings.error_threshold != 0
    tried = first if is_tolerant else first[:1]
    for mini_batch in tried:
        report = run_probe(request.spark, _probe_spec(request, engine, mini_batch, declared, delivery))
        if report.failure is not None:
            for warning in report.warnings:  # A warning, such as a version mismatch, may explain the failure.
                logger.warning("%s", redact(warning))
            refuse_unseen(request.spark, request.plan.snapshot, [(report.failure, report.worker)])
            raise failure_error(report.failure, prepared.scorer_name, "the first mini-batch", "Nothing was written.")
        if report.predictions:
            return report
    raise OutputContractError(
        code=ErrorCode.OUTPUT_UNKNOWN,
        what=f"{prepared.scorer_name} returned nothing for the first {len(tried)} mini-batches, so the columns of the "
        "result are not known",
        got=f"0 elements for {sum(each.item_count for each in tried)} items",
        next_step="Declare 'output.schema', for example 'prediction double'"
        + ("." if is_tolerant else ", or return an element for each item; fewer count as failed items."),
    )


def _probe_spec(
    request: Request, engine: EngineSpec, first: MiniBatch, declared: pa.Schema | None, delivery: Delivery
) -> ProbeSpec:
    prepared = request.prepared
    output, settings = prepared.deployment.output, prepared.deployment.settings
    # A model without a script returns one row for each input row, even if it returns a DataFrame.
    is_joined = bool(output.carry) if output.carry is not None else None if prepared.script else True
    rows = None if first.rows is None else bytes(write_stream(first.rows))
    sent = deliver_content(delivery, pack_items(first.files, rows), first.mini_batch_id, "the first mini-batch")
    return ProbeSpec(
        engine,
        first.mini_batch_id,
        () if sent else first.files,
        None if sent else rows,
        declared,
        is_tolerant=settings.error_threshold != 0,
        is_joined=is_joined,
        columns=len(request.columns or ()),
        tries=settings.retry_settings.max_retries + 1,
        host=request.host,
        sent=sent,
    )


def _for_tasks(sink: Sink, stage: RunStage) -> TaskStage:
    if not sink.lays_out_partitions:
        return stage.for_tasks()
    return stage.for_tasks(sink.target.partition_by, (sink.target.run_id_column,))
