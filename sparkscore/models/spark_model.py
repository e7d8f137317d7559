"""Score rows inside Spark with an MLflow model's ``pyspark.ml`` pipeline. Runs on the driver."""

from __future__ import annotations

from pathlib import Path

import yaml
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import DataFrame

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError
from sparkscore.spark.settings import pinned_settings


def transform(rows: DataFrame, model: Path) -> DataFrame:
    """Score rows with an MLflow model's ``pyspark.ml`` pipeline, and return the scored rows.

    Columns of ``pyspark.ml`` vectors are converted to arrays of doubles.

    Args:
        rows: the input rows.
        model: the MLflow model's folder, which contains the pipeline.

    Raises:
        ModelLoadError: the pipeline cannot be loaded or applied to these rows, for example because a column is missing.
        ConfigError: a Spark session setting has a wrong value and cannot be changed.
    """
    with pinned_settings(rows.sparkSession):
        scored = _transform(rows, model)
    vectors = [field.name for field in scored.schema if isinstance(field.dataType, VectorUDT)]
    return scored.withColumns({name: vector_to_array(scored[name]) for name in vectors})


def _transform(rows: DataFrame, model: Path) -> DataFrame:
    try:
        return PipelineModel.load((model / _data_folder(model)).as_uri()).transform(rows)
    # Spark raises its own errors for a wrong pipeline, and KeyError, OSError or AttributeError for damaged files.
    except Exception as error:
        raise ModelLoadError(
            code=ErrorCode.MODEL_LOAD,
            what=f"the Spark pipeline of model '{model.name}' cannot be used with this input",
            got=type(error).__name__,
            next_step="Check that the input has the pipeline's columns; the whole message is in the log.",
        ) from error


def _data_folder(model: Path) -> str:
    flavors = yaml.safe_load((model / "MLmodel").read_text(encoding="utf-8"))["flavors"]
    return str(flavors["spark"].get("model_data", "sparkml"))
