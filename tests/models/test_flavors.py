"""Each flavor gives through Spark, to the bit, what it gives in a plain Python process."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.record.listing import read_record
from tests.support import flavors, plain_python

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Flavor:
    """How a model is made, scored with sparkscore, and scored without it."""

    save: Callable[[Path], None]
    kind: str = "mlflow"
    settings: Mapping[str, object] = field(default_factory=dict)
    file: str = "model"
    method: str = "predict"
    rows: str = "all"


TRUSTED = {"trust": "code"}
ROUNDED = {"model.round_inputs": True, "input.columns": flavors.FEATURES}
FLAVORS = {
    "scikit-learn": Flavor(flavors.save_sklearn, settings=TRUSTED),
    "scikit-learn probabilities": Flavor(
        flavors.save_sklearn, settings=TRUSTED | {"model.predict_fn": "predict_proba"}, method="predict_proba"
    ),
    "scikit-learn pipeline": Flavor(flavors.save_pipeline, settings=TRUSTED),
    "XGBoost": Flavor(flavors.save_xgboost),
    "LightGBM": Flavor(flavors.save_lightgbm),
    "pyfunc with artifacts and code": Flavor(flavors.save_pyfunc, settings=TRUSTED),
    "pyfunc with type hints": Flavor(flavors.save_type_hints, settings=TRUSTED | {"input.columns": ["f0"]}),
    "pyfunc that returns a DataFrame": Flavor(flavors.save_frame_pyfunc, settings=TRUSTED),
    "ONNX": Flavor(flavors.save_onnx, "onnx", ROUNDED, "model.onnx", rows="float32"),
    "TensorFlow through ONNX": Flavor(flavors.save_tensorflow, "onnx", ROUNDED, "model.onnx", rows="float32"),
    "ONNX in MLflow": Flavor(flavors.save_mlflow_onnx, settings=ROUNDED, rows="float32"),
    "scikit-learn file": Flavor(
        flavors.save_joblib, "sklearn", TRUSTED | {"model.framework": "sklearn"}, "model.joblib", "predict"
    ),
    "XGBoost file": Flavor(
        flavors.save_xgboost_json, "xgboost", {"model.framework": "xgboost"}, "model.json", rows="float32"
    ),
    "XGBoost binary file": Flavor(flavors.save_xgboost_json, "xgboost", {}, "model.ubj", rows="float32"),
    "LightGBM file": Flavor(flavors.save_lightgbm_text, "lightgbm", {"model.framework": "lightgbm"}, "model.txt"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the rows, and the same without numbers that would be infinite as floats of 32 bits, which are refused."""
    folder = tmp_path_factory.mktemp("rows")
    frame = flavors.make_rows()
    for name, limit in {"all": np.inf, "float32": 3e38}.items():
        table = pa.Table.from_pandas(frame.assign(**frame[flavors.FEATURES].clip(-limit, limit)), preserve_index=False)
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def rows(inputs: Path) -> Path:
    return inputs / "all.parquet"


@pytest.fixture(autouse=True, scope="module")
def _quiet_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, inputs: Path, _quiet_mlflow: None) -> Path:
    """Save every model, and score each in one process that knows nothing of sparkscore.

    With one thread, as a Spark task has one core.
    """
    folder = tmp_path_factory.mktemp("models")
    jobs = []
    for name, flavor in FLAVORS.items():
        place = folder / name
        place.mkdir()
        flavor.save(place / flavor.file)
        files = place / flavor.file, inputs / f"{flavor.rows}.parquet", flavor.method, place / "plain.pickle"
        jobs.append([flavor.kind, *map(str, files)])
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, str(Path(plain_python.__file__)), str(folder / "jobs.json")]
    subprocess.run(command, check=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return folder


def columns_of(result: Any) -> dict[str, Any]:
    """Give what a model returned as columns, as the documentation says."""
    if isinstance(result, pd.DataFrame):
        return {str(name): result[name].to_numpy() for name in result}
    if isinstance(result, dict):
        return result if len(result) > 1 else {"prediction": next(iter(result.values()))}
    return {"prediction": result}


def bits(values: Any) -> list[Any]:
    """Give each value so that only the same bits are equal: NaN is NaN, and -0.0 is not 0.0."""
    return [as_bits(value) for value in values]


def as_bits(value: Any) -> Any:
    if isinstance(value, (list, np.ndarray)):
        return tuple(map(as_bits, value))
    if isinstance(value, dict):
        return tuple((key, as_bits(one)) for key, one in sorted(value.items()))
    if isinstance(value, (float, np.floating)):
        # A float of 32 bits is the same number as a double.
        return np.float64(value).tobytes()
    return value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize("name", FLAVORS)
def test_a_flavor_gives_what_it_gives_in_plain_python(
    name: str, spark: SparkSession, models: Path, inputs: Path, tmp_path: Path
) -> None:
    flavor = FLAVORS[name]
    rows = inputs / f"{flavor.rows}.parquet"

    run = sparkscore.score(
        spark,
        None,
        model=models / name / flavor.file,
        input=rows,
        output=tmp_path / "out",
        output_format="parquet",
        settings=flavor.settings,
        runs=tmp_path / "runs",
    )

    scored = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive").to_table()
    # One file, one partition and one mini-batch: the rows come in the input's order.
    source = pq.read_table(rows)
    carried = [column for column in source.column_names if column in scored.column_names]
    assert scored.select(carried).equals(source.select(carried))
    expected = columns_of(pickle.loads((models / name / "plain.pickle").read_bytes()))  # noqa: S301 - made just now
    for column, values in expected.items():
        assert bits(as_values(scored.column(column))) == bits(values), column
    assert run.record["counts"]["scored"] == 10_000
    assert run.record["state"] == "COMPLETE" == read_record(tmp_path / "runs", run.record["run_id"]).state


def as_values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist(maps_as_pydicts="strict") if has_maps(column.type) else column.to_pylist()
    return values


def has_maps(type_: pa.DataType) -> bool:
    return bool(pa.types.is_map(type_))


def test_a_pipeline_of_spark_is_scored_by_its_own_transform(spark: SparkSession, rows: Path, tmp_path: Path) -> None:
    model = flavors.save_spark_pipeline(spark, tmp_path / "model")
    frame = spark.read.parquet(str(rows))
    expected = {row["key"]: row["prediction"] for row in model.transform(frame).select("key", "prediction").collect()}

    run = sparkscore.score(
        spark, None, model=tmp_path / "model", input=rows, output=tmp_path / "out", output_format="parquet"
    )

    scored = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive").to_table()
    assert dict(zip(*(scored.column(name).to_pylist() for name in ("key", "prediction")), strict=True)) == expected
    assert len(expected) == 10_000
    assert run.record["model"]["kind"] == "spark"
    assert "array<double>" in run.record["output"]["columns"].values()


def test_the_model_is_loaded_once_in_a_worker_process_however_many_partitions(
    spark: SparkSession, rows: Path, tmp_path: Path
) -> None:
    flavors.save_lightgbm(tmp_path / "model")
    spark.read.parquet(str(rows)).repartition(16).write.parquet(str(tmp_path / "parts"))

    run = sparkscore.score(
        spark,
        None,
        model=tmp_path / "model",
        input=tmp_path / "parts",
        output=tmp_path / "out",
        output_format="parquet",
    )

    record = run.record
    assert record["counts"]["mini_batches"] == 16
    assert record["model_loads"] == record["worker_processes"] <= 2
    assert record["verified_models"] == {record["model"]["sha256"]: record["worker_processes"]}
