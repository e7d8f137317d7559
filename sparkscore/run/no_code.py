"""Prepare a model that is used without a scoring script: check it, match it with the input, and stage it.

Runs on the driver.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Deployment, Model
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SignatureMismatchError, names
from sparkscore.minibatch import BLOCK_COLUMNS
from sparkscore.models import ModelDescription, ResolvedModel, check_params, check_trust, describe_model
from sparkscore.models.onnx_model import graph_file, graph_outputs
from sparkscore.run.delivery import files_of
from sparkscore.scorers import ScorerSpec
from sparkscore.scorers.feature_names import find_columns
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec, OnnxSpec, RowsSpec, is_without_code
from sparkscore.signature.matching import describe_feeds, match_inputs
from sparkscore.signature.model_signature import Feed, ModelInput
from sparkscore.spark.schema import to_arrow
from sparkscore.spark.settings import setting_of
from sparkscore.stage import RunStage

logger = logging.getLogger("sparkscore")

_ONNX_ONLY: Final = ("providers", "session_options")
_NOT_ONNX: Final = ("predict_fn", "params")
# Parameters of XGBoost's Booster.predict that change the values, but neither their number nor their type.
_VALUES_ONLY: Final = frozenset({"missing", "iteration_range"})
# Bytes. Reading 10,000 rows takes 3 ms, a neural network of 16 KB 2 ms, and 100 trees of 450 KB 8 ms.
_FAST_MODEL: Final = 64 * 1024


def check_model(deployment: Deployment, model: ResolvedModel) -> ModelDescription:
    """Check a model that is used without a scoring script, and return its description.

    This needs neither the input nor Spark. If the model has no signature, a warning may be logged with advice on how to
    add one.

    Raises:
        ModelError: the model's files are broken, or the model cannot be used without a script.
        MissingDependencyError: a package that is needed to read the model is not installed.
        ConfigError: the deployment has no ``model`` section; the model can run arbitrary code and is not trusted; a
            setting does not apply to models of this format; or ONNX Runtime does not accept a provider or a session
            option.
        SignatureMismatchError: ``model.params`` does not match the parameters in the model's signature.
    """
    section = section_of(deployment)
    description = describe_model(model, section)
    check_trust(model, description, deployment.trust)
    is_onnx = description.model_format == "onnx"
    useless = [key for key in (_NOT_ONNX if is_onnx else _ONNX_ONLY) if getattr(section, key)]
    if description.model_format == "spark":
        useless = [key for key in (*_ONNX_ONLY, *_NOT_ONNX, "inputs") if getattr(section, key)]
    if useless:
        raise ConfigError(
            code=ErrorCode.MODEL_SETTING,
            what=f"setting 'model.{useless[0]}' has no meaning for a model of format '{description.model_format}'",
            next_step="Remove the line.",
        )
    check_params(description, section.params, has_predict_fn=bool(section.predict_fn))
    if is_onnx:
        _check_session(section)
    if description.signature.inputs is None and description.signature_advice:
        logger.warning("model '%s' has no signature: %s", model.name, description.signature_advice)
    return description


def section_of(deployment: Deployment) -> Model:
    """Return the ``model`` section of a deployment.

    Raises:
        ConfigError: the deployment has no ``model`` section.
    """
    if deployment.model is None:
        raise ConfigError(
            code=ErrorCode.MODEL_MISSING,
            what="the deployment names no model",
            next_step="Name one with --model or 'model.path'.",
        )
    return deployment.model


def match_model(
    description: ModelDescription,
    section: Model,
    model: ResolvedModel,
    rows: StructType | None,
    order_doubt: str = "",
) -> tuple[Feed, ...] | None:
    """Match the model's inputs with the columns of the input, and log the matches. Does not start a Spark job.

    Args:
        description: format and signature of the model.
        section: the deployment's ``model`` section.
        model: the resolved model.
        rows: the input's schema, or None if the items are files.
        order_doubt: why the order of the input's columns is unknown, or an empty string if it is known.

    Returns:
        the model's inputs, each with its columns, or None if the model has no signature.

    Raises:
        SignatureMismatchError: columns are missing, do not fit, or would be matched by position although their order is
            unknown; or the items are files, and the model has no signature or cannot take files.
    """
    inputs = description.signature.inputs
    if inputs is None and rows is None:
        raise SignatureMismatchError(
            code=ErrorCode.SIGNATURE_MISMATCH,
            what=f"model '{model.name}' is to score files and has no signature",
            expected="a signature of one tensor, into which images are decoded, or of one binary column",
            next_step=description.signature_advice or "Log the model with a signature, or give it a scoring script.",
        )
    if inputs is None:
        return None
    columns = None if rows is None else arrow_columns(rows)
    chosen: Mapping[str, Sequence[str]] = section.inputs
    if description.model_format == "lightgbm" and columns is not None:
        chosen = _as_lightgbm_writes(inputs, columns.names, chosen)
    feeds = match_inputs(inputs, columns, chosen, rounds=section.round_inputs, order_doubt=order_doubt)
    for line in describe_feeds(feeds):
        logger.info("model '%s': %s", model.name, line)
    return feeds


def _as_lightgbm_writes(
    inputs: Sequence[ModelInput], columns: Sequence[str], chosen: Mapping[str, Sequence[str]]
) -> Mapping[str, Sequence[str]]:
    """Return the ``model.inputs`` setting, with entries added for columns that LightGBM renamed in the model file.

    LightGBM replaces each space in a feature name with an underscore. If the input has a column ``body height``, the
    feature ``body_height`` gets the entry ``body_height: [body height]``.

    In the model file, features without names are called ``Column_0``, ``Column_1`` and so on. If no feature has a name,
    and the input has all of these columns, the entry ``input: [Column_0, Column_1, …]`` is added.

    Args:
        inputs: the model's inputs.
        columns: names of the input's columns.
        chosen: the ``model.inputs`` setting, which maps the model's inputs to columns. Its entries take precedence.

    Raises:
        SignatureMismatchError: a feature matches two columns, one with underscores and one with spaces, and ``chosen``
            does not say which one to use.
    """
    features = [one.name or f"Column_{position}" for position, one in enumerate(inputs)]
    if all(one.name is None for one in inputs):  # LightGBM names such features Column_0, Column_1, …
        return {"input": features, **chosen} if set(features) <= set(columns) else chosen
    found = dict(zip(features, find_columns(features, columns, has_blanks=True), strict=True))
    doubled = [name for name in features if found[name] is None and name in columns and name not in chosen]
    if doubled:
        raise SignatureMismatchError(
            code=ErrorCode.SIGNATURE_MISMATCH,
            what=f"the model's columns {names(doubled)}",
            got="two columns of the input for one of them, since LightGBM writes an underscore for a blank",
            expected="one each",
            next_step=f"Say which it is: 'model.inputs: {{{doubled[0]}: [COLUMN]}}', or leave one out with "
            "'input.columns'.",
        )
    return {**{name: [column] for name, column in found.items() if column not in {None, name}}, **chosen}


def stage_model(model: ResolvedModel, stage: RunStage) -> Path:
    """Copy a ``pyspark.ml`` model into the stage, where Spark's executors can read it, and return the copy's path."""
    return stage.keep_model(model.path, model.sha256)


def no_code_spec(
    description: ModelDescription,
    section: Model,
    model: ResolvedModel,
    feeds: tuple[Feed, ...] | None,
    threads: int,
    order_doubt: str = "",
) -> MlflowSpec | FrameworkSpec | OnnxSpec:
    """Return the specification from which workers load and run a model without a scoring script.

    The specification contains the model's path on the driver. Callers must replace it with one that workers can read.

    Args:
        description: format and signature of the model.
        section: the deployment's ``model`` section.
        model: the resolved model.
        feeds: the model's inputs, each with its columns, or None if the model has no signature.
        threads: number of threads that ONNX Runtime may use in a task.
        order_doubt: why the order of the input's columns is unknown, or an empty string if it is known.
    """
    params = tuple(section.params.items())
    files = files_of(model)
    if description.model_format == "onnx":
        return OnnxSpec(
            files=files,
            graph=graph_file(model.path),
            feeds=feeds or (),
            outputs=graph_outputs(model.path),
            providers=section.providers,
            session_options=tuple(section.session_options.items()),
            threads=threads,
        )
    if description.model_format == "mlflow" or description.model_format == "spark":  # noqa: PLR1714 - mypy narrows this form only
        return MlflowSpec(files, feeds, section.predict_fn, params, order_doubt)
    return FrameworkSpec(files, description.model_format, feeds, section.predict_fn, params, order_doubt)


def outputs_of(description: ModelDescription, section: Model) -> pa.Schema | None:
    """Return the prediction columns that the model's signature declares, or None if they are unknown.

    They are also unknown if ``model.predict_fn`` is set, because a signature only describes the ``predict`` method, and
    if an XGBoost file gets parameters that may change what ``predict`` returns.
    """
    is_changed = description.model_format == "xgboost" and section.params.keys() - _VALUES_ONLY
    return None if section.predict_fn or is_changed else description.signature.outputs


def is_fast(model: ResolvedModel | None, scorer: ScorerSpec) -> bool:
    """Return whether a model is so small that it scores rows about as fast as they are read.

    Only files without code of the user's are judged by their size.
    """
    is_folder = isinstance(scorer, OnnxSpec) and bool(scorer.graph)
    if model is None or is_folder or not is_without_code(scorer):
        return False
    return model.path.is_file() and model.path.stat().st_size <= _FAST_MODEL


def transformed_rows(rows: DataFrame, model: Path, chosen: tuple[str, ...]) -> tuple[DataFrame, RowsSpec]:
    """Add the predictions of a ``pyspark.ml`` pipeline to the input rows.

    Spark itself computes the predictions when the returned rows are read. No Python worker loads the model.

    Args:
        rows: the input rows.
        model: path of the model's folder in the stage.
        chosen: names of the prediction columns that the deployment declares. If empty, all columns that the pipeline
            adds are predictions.

    Returns:
        the rows with the columns that the pipeline adds, and a `RowsSpec` with the names of the prediction columns.

    Raises:
        ModelLoadError: the pipeline cannot be loaded, or cannot be applied to these rows.
        ConfigError: a setting of the session cannot be changed; see `transform`.
    """
    from sparkscore.models.spark_model import transform  # noqa: PLC0415 - pyspark.ml takes time to import

    # A pipeline may filter and shuffle rows, so the position of a row in its file block is no longer known.
    rows = rows.drop(*BLOCK_COLUMNS)
    scored = transform(rows, model)
    added = tuple(name for name in scored.columns if name not in rows.columns)
    return scored, RowsSpec(chosen or added)


def arrow_columns(rows: StructType) -> pa.Schema:
    """Convert a Spark schema to the Arrow schema of the columns that workers receive."""
    return to_arrow(rows)


def task_cores(spark: SparkSession) -> int:
    """Return the number of CPU cores that a Spark task may use (``spark.task.cpus``), or 1 if it is not known."""
    return int(setting_of(spark, "spark.task.cpus", "1") or 1)


def _check_session(section: Model) -> None:
    from sparkscore.scorers.onnx import check_session  # noqa: PLC0415 - only ONNX models need ONNX Runtime

    check_session(section.providers, section.session_options)
