"""What a user of Spark writes without sparkscore: functions of PySpark and MLflow; Spark reads and writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from inspect import Parameter, Signature
from typing import Any, Final

import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own habit

from sparkscore.spark.prerequisites import DELTA_EXTENSION, delta_coordinate
from tests.bench.cases import Case
from tests.bench.predictor import (
    BATCH,
    load_predict,
    load_script,
    matrix_of_arrays,
    prediction_type,
    score_batch,
)

_LOOPBACK: Final = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
_FILES_OF_A_CALL: Final = 10
Score = Callable[[DataFrame, Case], DataFrame]


def start_session(case: Case, conf: Mapping[str, str]) -> SparkSession:
    """Start Spark on all cores, with Delta where the result is a Delta table."""
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": f"{os.environ['SPARKSCORE_BENCH_FOLDER']}/warehouse",
        **_LOOPBACK,
        **case.conf,
        **conf,
    }
    if case.output_format == "delta":
        settings |= {
            "spark.jars.packages": delta_coordinate(),
            "spark.sql.extensions": DELTA_EXTENSION,
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        }
    builder = SparkSession.builder.master("local[*]").appName(case.name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


class Spark:
    """A session, and a function from the input's DataFrame to that of the result."""

    def __init__(self, case: Case, score: Score, spark: SparkSession) -> None:
        self._case, self._score, self._spark = case, score, spark

    def turn_to(self, case: Case, name: str) -> None:
        self._case, self._score = case, SCORES.get(name, self._score)
        for key, value in case.conf.items():
            self._spark.conf.set(key, value)

    def run(self, source: str, output: str) -> dict[str, Any]:
        rows = self._spark.read.parquet(source) if self._case.items == "rows" else self._paths(source)
        self._score(rows, self._case).write.format(self._case.output_format).save(output)
        return {}

    def _paths(self, source: str) -> DataFrame:
        # The content is not read: the script opens the files itself.
        return self._spark.read.format("binaryFile").load(source).select("path")

    def stop(self) -> None:
        self._spark.stop()


def start(case: Case, name: str) -> Spark:
    return Spark(case, SCORES[name], start_session(case, {}))


def result_schema(rows: DataFrame, case: Case) -> str:
    """Return the columns of the result in Spark's DDL."""
    carried = [f"{field.name} {field.dataType.simpleString()}" for field in rows.select(*case.carry).schema]
    return ", ".join([*carried, f"prediction {prediction_type(case)}"])


def _needed(rows: DataFrame, case: Case) -> DataFrame:
    return rows.select(*dict.fromkeys([*case.carry, *case.features]))


def _map_in_arrow(rows: DataFrame, case: Case) -> DataFrame:
    return _needed(rows, case).mapInArrow(partial(arrow_batches, case), result_schema(rows, case))


def arrow_batches(case: Case, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Load the model and score the batches of a partition; runs on a worker."""
    predict = load_predict(case)
    for batch in batches:
        yield score_batch(predict, batch, case)


def _map_in_pandas(rows: DataFrame, case: Case) -> DataFrame:
    if case.items == "files":
        return rows.mapInPandas(partial(_file_frames, case), "id long, prediction double")
    return _needed(rows, case).mapInPandas(partial(_frames, case), result_schema(rows, case))


def _frames(case: Case, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    predict = load_predict(case)
    for frame in frames:
        matrix = matrix_of_arrays([frame[name].to_numpy() for name in case.features])
        yield frame[list(case.carry)].assign(prediction=predict(matrix))


def _file_frames(case: Case, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    run = load_script(case)
    for frame in frames:
        paths = [path.removeprefix("file:") for path in frame["path"]]
        for first in range(0, len(paths), _FILES_OF_A_CALL):
            yield pd.DataFrame(list(run(paths[first : first + _FILES_OF_A_CALL])))


def _predict_batch_udf(rows: DataFrame, case: Case) -> DataFrame:
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import DoubleType, FloatType

    returned = FloatType() if prediction_type(case) == "float" else DoubleType()
    score = predict_batch_udf(partial(_load_for_batches, case), return_type=returned, batch_size=BATCH)
    return _with_prediction(rows, case, score(*case.features))


def _load_for_batches(case: Case) -> Callable[..., Any]:
    predict = load_predict(case)

    def score(*columns: npt.NDArray[Any]) -> Any:
        return predict(matrix_of_arrays(columns))

    # PySpark counts the parameters. One of them with an array of all features would cost Spark another conversion.
    parameters = [Parameter(name, Parameter.POSITIONAL_ONLY) for name in case.features]
    score.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return score


def _spark_udf(flavor: str, rows: DataFrame, case: Case) -> DataFrame:
    import mlflow

    session = rows.sparkSession
    udf = mlflow.pyfunc.spark_udf(session, case.flavors[flavor], result_type=prediction_type(case), env_manager="local")
    return _with_prediction(rows, case, udf(F.struct(*case.features)))


def _with_prediction(rows: DataFrame, case: Case, prediction: Column) -> DataFrame:
    return rows.select(*case.carry, prediction.alias("prediction"))


SCORES: Final[Mapping[str, Score]] = {
    "spark-udf-sklearn": partial(_spark_udf, "sklearn"),
    "spark-udf-onnx": partial(_spark_udf, "onnx"),
    "spark-udf-pyfunc": partial(_spark_udf, "pyfunc"),
    "predict-batch-udf": _predict_batch_udf,
    "map-in-pandas": _map_in_pandas,
    "map-in-arrow": _map_in_arrow,
    "bare-spark": _needed,
}
