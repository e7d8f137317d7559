"""Build what the workers need to compute an SQL function, and deliver its files to them. Runs on the driver."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from sparkscore.minibatch import MiniBatchLimit
from sparkscore.run import PreparedRun
from sparkscore.run.delivery import Delivery
from sparkscore.run.engine import engine_spec
from sparkscore.run.no_code import match_model, no_code_spec, section_of
from sparkscore.run.scoring import ScriptFolders, script_spec
from sparkscore.scorers import ScorerSpec
from sparkscore.scorers.dtypes import Dtypes, has_two_dtypes
from sparkscore.scorers.specs import OnnxSpec
from sparkscore.signature.matching import columns_without_null
from sparkscore.signature.model_signature import Feed
from sparkscore.spark.schema import from_arrow
from sparkscore.sql.function import SqlFunction
from sparkscore.worker import EngineSpec, LineageValues, ResultSpec
from sparkscore.worker.sql_arguments import Argument
from sparkscore.worker.sql_call import FunctionSpec


def function_spec(function: SqlFunction, delivery: Delivery, threads: int) -> FunctionSpec:
    """Return the specification that the workers get, and make the function's files available to them.

    Args:
        function: the function.
        delivery: how to send files to the workers.
        threads: number of threads that ONNX Runtime may use in a task.

    Raises:
        SignatureMismatchError: the arguments do not fit the model.
        ScoringError: a file cannot be sent.
        OSError: a file cannot be read or copied.
    """
    prepared = function.prepared
    feeds = feeds_of(function)
    arguments = without_null(function.arguments, feeds)
    scorer = _scorer(prepared, feeds, arguments, delivery, threads)
    engine = _keyed(engine_spec(prepared, "", scorer, delivery))
    retries = prepared.deployment.settings.retry_settings.max_retries
    return FunctionSpec(
        name=function.name,
        arguments=arguments,
        engine=engine,
        result=_result(function, arguments),
        columns=function.columns,
        version=function.model_version,
        limit=_limit(function),
        tries=retries + 1,
        raises=function.raises,
        is_files=function.is_of_files,
    )


def _keyed(engine: EngineSpec) -> EngineSpec:
    """Return an engine's specification with a key that is the same for every function with the same scorer."""
    return replace(engine, key=f"sql/{hashlib.sha256(pickle.dumps(engine)).hexdigest()}")


def feeds_of(function: SqlFunction) -> tuple[Feed, ...] | None:
    """Return the model's inputs with the arguments that are passed to each, or None if they are not known.

    Raises:
        SignatureMismatchError: the arguments do not fit the model.
    """
    prepared = function.prepared
    if prepared.description is None or prepared.model is None:
        return None
    schema = pa.schema([pa.field(each.name, each.type, nullable=each.nullable) for each in function.arguments])
    rows = None if function.is_of_files else from_arrow(schema)
    return match_model(prepared.description, section_of(prepared.deployment), prepared.model, rows)


def without_null(arguments: Sequence[Argument], feeds: Sequence[Feed] | None) -> tuple[Argument, ...]:
    """Return the arguments, in which those that the model takes without NULLs are not nullable."""
    wanted = columns_without_null(feeds or ())
    return tuple(replace(each, nullable=each.nullable and each.name not in wanted) for each in arguments)


def _scorer(
    prepared: PreparedRun,
    feeds: tuple[Feed, ...] | None,
    arguments: Sequence[Argument],
    delivery: Delivery,
    threads: int,
) -> ScorerSpec:
    dtypes = _dtypes(prepared, arguments)
    if prepared.script is not None:
        return script_spec(prepared, prepared.script, delivery, dtypes, ScriptFolders())
    if prepared.description is None or prepared.model is None:
        raise RuntimeError("a prepared function has a script or a model")
    spec = no_code_spec(prepared.description, section_of(prepared.deployment), prepared.model, feeds, threads)
    spec = replace(spec, files=delivery.deliver(prepared.model.path, spec.files))
    return spec if isinstance(spec, OnnxSpec) else replace(spec, dtypes=dtypes)


def _dtypes(prepared: PreparedRun, arguments: Sequence[Argument]) -> Dtypes:
    """Return the dtypes of the DataFrames that the scorer gets.

    Which rows a query has is not known, so an integer or boolean argument that may be NULL is treated as if it had
    NULLs. In each batch, it has the dtype that a job gives to a column with NULLs.
    """
    config = prepared.deployment.input
    are_arrow = config.dtypes == "arrow" and prepared.script is not None
    with_null = frozenset(each.name for each in arguments if each.nullable and has_two_dtypes(each.type))
    return Dtypes(are_arrow, with_null, config.nulls == "nan")


def _result(function: SqlFunction, arguments: Sequence[Argument]) -> ResultSpec:
    prepared = function.prepared
    name, version = prepared.lineage_model
    is_proven = prepared.description is not None and prepared.description.model_format == "onnx"
    spec = ResultSpec(
        predictions=function.predictions,
        # With a carried column, a scorer must return one element for each row, in order.
        carried=() if function.is_of_files else (arguments[0].name,),
        renamed=(),
        lineage=LineageValues("", name, version),
        columns=0 if function.is_of_files else len(arguments),
        is_proven=is_proven,
    )
    return spec if prepared.script else replace(spec, caller=prepared.scorer_name, is_per_item=True)


def _limit(function: SqlFunction) -> MiniBatchLimit:
    size = function.prepared.deployment.mini_batch_size_for("rows")
    return MiniBatchLimit(size.items, size.size_bytes)
