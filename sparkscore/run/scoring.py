"""Decide before scoring what the Spark tasks do, with a test call (probe) if the columns are unknown.

Runs on the driver.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame

from sparkscore.config import Deployment
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.row_units import LARGE_GROUP, LargeGroup, find_large_group, plan_row_units
from sparkscore.run.columns import ResultColumns, check_input_types, choose_carried, decide_columns
from sparkscore.run.delivery import Delivery, deliver_content, deliver_model, delivery_for
from sparkscore.run.engine import engine_spec
from sparkscore.run.no_code import (
    arrow_columns,
    is_fast,
    match_model,
    no_code_spec,
    outputs_of,
    section_of,
    stage_model,
    task_cores,
    transformed_rows,
)
from sparkscore.run.nulls import declared_not_null
from sparkscore.run.opened import Request
from sparkscore.run.per_file import mini_batch_limit, refuse_other_endings
from sparkscore.run.prepare import PreparedRun
from sparkscore.run.probing import kept_probe, probe_columns
from sparkscore.run.reading import columns_to_read, samples_of
from sparkscore.scorers import ScorerSpec, ScriptSpec
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.specs import OnnxSpec, RowsSpec
from sparkscore.scripts.packing import PackedScript
from sparkscore.signature import parse_ddl
from sparkscore.signature.matching import columns_without_null, refuse_known_nulls
from sparkscore.signature.model_signature import Feed
from sparkscore.sinks import Sink
from sparkscore.sources import Source
from sparkscore.spark.jobs import first_mini_batches, task_slots
from sparkscore.spark.schema import column
from sparkscore.stage import Decision, MiniBatchReport, RunStage
from sparkscore.stage.chunks import ChunkLimit
from sparkscore.tolerance import Tolerance
from sparkscore.worker import FailureRules, LineageValues, ProbeReport, ResultSpec, WorkerSpec
from sparkscore.worker.probe import RowsSample, packed_report
from sparkscore.worker.row_reader import RowReader

logger = logging.getLogger("sparkscore")

_MB: Final = 1024 * 1024


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
    prepared = request.prepared
    delivery = delivery_for(request.spark, stage)
    rows, scorer = _scorer(request, stage, delivery)
    # Worker processes cache scorers by this key. The run id is not enough: it may be used again with another script.
    key = f"{prepared.run_id}/{uuid.uuid4().hex}"
    engine = engine_spec(prepared, key, scorer, delivery, declared_not_null(prepared))
    limit = mini_batch_limit(prepared.deployment, request.plan.snapshot)
    planned = _planned_units(request, limit, stage, scorer)
    predictions = _known_predictions(prepared, rows, scorer)
    probe = None
    has_rows = request.rows is not None
    if predictions is None or (prepared.script and has_rows and prepared.deployment.output.carry is None):
        first = partial(_first_mini_batches, request, rows, limit)
        probe = kept_probe(stage)
        if probe is None:
            probe = probe_columns(request, engine, first(), predictions, delivery)
            stage.keep(Decision.PROBE, packed_report(probe))
        predictions = predictions or probe.predictions
    # A model without a script returns one row for each input row, even if it returns a DataFrame.
    is_frame = prepared.script is not None and probe is not None and probe.is_frame
    carried = choose_carried(prepared.deployment, request.columns, is_frame=is_frame)
    lineage = LineageValues(prepared.run_id, *prepared.lineage_model)
    result = decide_columns(prepared.deployment, predictions or pa.schema([]), carried, request.columns, lineage)
    done = _done_units(stage, planned)
    spec = WorkerSpec(
        engine,
        limit,
        is_planned=request.plan.mini_batches is not None,
        result=_result_spec(request, result.spec, probe),
        stage=stage.for_tasks(*sink.lay_out(result.schema, stage)),
        rules=_failure_rules(prepared.deployment, limit),
        units=None if planned is None else tuple(unit for unit in sorted(planned) if unit not in done),
        chunk=ChunkLimit(items=prepared.deployment.chunk_size),
        host=request.host,
        reader=_row_reader(request, carried, limit),
    )
    return Work(spec, rows, result, probe, tuple(report for unit in sorted(done) for report in done[unit]))


def _first_mini_batches(
    request: Request, rows: DataFrame | None, limit: MiniBatchLimit
) -> Sequence[MiniBatch | RowsSample]:
    """Return mini-batches from the start of the input for the probe, or samples that tell workers what to read."""
    if request.planned is not None:
        return samples_of(request.planned, limit)
    return first_mini_batches(request.plan, rows, limit)


def _row_reader(request: Request, carried: Sequence[str], limit: MiniBatchLimit) -> RowReader | None:
    """Return the reader that the workers use, or None if Spark reads the rows or the items are files."""
    if request.planned is None:
        return None
    not_null = declared_not_null(request.prepared)
    return RowReader(request.planned.reader, columns_to_read(request.prepared, request.feeds, carried, not_null, limit))


def _done_units(stage: RunStage, planned: Mapping[int, int] | None) -> dict[int, list[MiniBatchReport]]:
    """Return the reports of the work units that an earlier execution of the run finished, keyed by unit number.

    The progress of all other work units is removed.

    Args:
        stage: the run's stage.
        planned: number of items of each work unit, or None if Spark's partitions are the work units.
    """
    done = {} if planned is None else stage.done_units(planned)
    if planned is not None and done:
        logger.info("%d of %d work units were scored before the run stopped", len(done), len(planned))
    elif chunks := stage.count_chunks():
        logger.info("%d chunks were scored before the run stopped; they are not scored again", chunks)
    stage.forget_progress(done)
    return done


def _planned_units(
    request: Request, limit: MiniBatchLimit, stage: RunStage, scorer: ScorerSpec
) -> dict[int, int] | None:
    """Store the work units in the stage, and return the number of items of each work unit, keyed by unit number.

    Work units that an earlier execution of the run stored are kept. Return None if Spark's partitions are the work
    units.
    """
    if request.plan.mini_batches is not None:
        return stage.keep_plan(request.plan.mini_batches)
    if request.planned is None:
        return None
    slots, fast = task_slots(request.spark), is_fast(request.prepared.model, scorer)
    files = request.planned.files
    parts = plan_row_units(files, limit, slots, is_fast=fast)
    if (group := find_large_group(files, parts, limit, slots, is_fast=fast)) is not None:
        _warn_of_large_group(group, slots)
    return stage.keep_parts(parts, request.planned.rows_of_files)


def _warn_of_large_group(group: LargeGroup, slots: int) -> None:
    logger.warning(
        "input: '%s' has a row group of %d MB before compression. With %d task slots, the run cannot be faster than "
        "this row group allows: scoring takes about %.1f times as long as with smaller ones. Write the file with row "
        "groups of %d MB or less, for example with parquet.block.size=%d in Spark or row_group_size=%d in PyArrow",
        group.path,
        group.size // _MB,
        slots,
        group.slowdown,
        LARGE_GROUP // _MB,
        LARGE_GROUP,
        max(1, group.rows * LARGE_GROUP // group.size),
    )


def _result_spec(request: Request, spec: ResultSpec, probe: ProbeReport | None) -> ResultSpec:
    """Return a copy of the result's specification with information about the input and the scorer added.

    ``columns`` is set to the number of input columns, and ``is_proven`` to whether the scorer is known to return one
    element for each item. For a model without a script, ``caller`` is set to the model's name, and ``is_per_item`` to
    True.
    """
    prepared = request.prepared
    is_proven = _is_per_item(prepared) or (probe is not None and probe.is_proven)
    spec = replace(spec, columns=len(request.columns or ()), is_proven=is_proven)
    return spec if prepared.script else replace(spec, caller=prepared.scorer_name, is_per_item=True)


def _is_per_item(prepared: PreparedRun) -> bool:
    """Return whether the model is known to return one element for each item.

    An ONNX graph works on whole columns, Spark keeps the rows that a ``pyspark.ml`` model scores, and a Booster's
    ``predict`` is XGBoost's own code.
    """
    if prepared.description is None:
        return False
    model_format = prepared.description.model_format
    is_booster = model_format == "xgboost" and outputs_of(prepared.description, section_of(prepared.deployment))
    return model_format in {"onnx", "spark"} or bool(is_booster)


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
    prepared, rows = request.prepared, None
    if request.rows is not None and request.planned is None:
        rows = request.rows.frame()
    if prepared.script is not None:
        folder = prepared.folder
        folders = ScriptFolders(str(folder.script_output), str(folder.script_logs), stage.work_folder)
        return rows, script_spec(prepared, prepared.script, delivery, request.dtypes, folders)
    section, description = section_of(prepared.deployment), prepared.description
    if description is None or prepared.model is None:
        raise RuntimeError("a prepared run has a script or a model")
    if description.model_format == "spark" and rows is not None:
        return transformed_rows(rows, stage_model(prepared.model, stage), _declared_names(prepared.deployment))
    doubt = request.plan.snapshot.order_doubt
    spec = no_code_spec(description, section, prepared.model, request.feeds, task_cores(request.spark), doubt)
    spec = replace(spec, files=delivery.deliver(prepared.model.path, spec.files))
    return rows, spec if isinstance(spec, OnnxSpec) else replace(spec, dtypes=request.dtypes)


@dataclass(frozen=True)
class ScriptFolders:
    """The folders for a scoring script's own files; see `ScriptSpec`. An empty string means a temporary folder.

    Attributes:
        output: the folder in ``AZUREML_BI_OUTPUT_PATH``. If empty, it is the unpacked code folder.
        logs: the folder for logs.
        work: the folder in which the code is unpacked.
    """

    output: str = ""
    logs: str = ""
    work: str = ""


def script_spec(
    prepared: PreparedRun, script: PackedScript, delivery: Delivery, dtypes: Dtypes, folders: ScriptFolders
) -> ScriptSpec:
    """Return the specification of a scoring script, and make its code and its models available to the workers.

    Args:
        prepared: the checked request.
        script: the packed code folder.
        delivery: how to send files to the workers.
        dtypes: the rule by which workers choose the dtypes of DataFrames.
        folders: folders for the script's own files.

    Raises:
        ScoringError: a file cannot be sent.
        OSError: a file cannot be read or copied.
    """
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
        output_folder=folders.output,
        log_folder=folders.logs,
        work_folder=folders.work,
        dtypes=dtypes,
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
