"""Azure's deployments without a script: what a model gives that looks at all rows that it gets, file by file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import sparkscore
from sparkscore.run import asked

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

AZURE = "https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json"


CENTRED = """
import mlflow


class Centred(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if (model_input["x"] < 0).any():
            raise ValueError("a negative number")
        return (model_input["x"] - model_input["x"].mean()).to_numpy()


mlflow.models.set_model(Centred())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a model that gives the distance from the mean of the rows that it gets."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "centred.py").write_text(CENTRED)
    mlflow.pyfunc.save_model(
        str(folder / "model"), python_model=str(folder / "centred.py"), pip_requirements=["mlflow"]
    )
    return folder / "model"


def deploy(folder: Path, model: Path, **settings: Any) -> Path:
    content = {"$schema": AZURE, "model": {"path": str(model)}, "trust": "code", "settings": settings}
    (folder / "deployment.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / "deployment.yml"


@pytest.mark.parametrize(("kind", "size"), [("csv", "2"), ("parquet", 2)])
def test_a_model_gets_one_file_in_one_call(
    kind: str, size: Any, spark: SparkSession, tmp_path: Path, model: Path
) -> None:
    random, expected = np.random.default_rng(3), []
    (tmp_path / "in").mkdir()
    # The large one is more than this session lets Spark put into one partition.
    spark.conf.set("spark.sql.files.maxPartitionBytes", "50000")
    for name, count in {"a": 3, "b": 5, "c": 30_000 if kind == "parquet" else 7}.items():
        frame = pd.DataFrame({"id": [f"{name}{number}" for number in range(count)], "x": random.random(count)})
        path = tmp_path / "in" / f"{name}.{kind}"
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, row_group_size=2_000)
        expected.append(frame.assign(prediction=frame["x"] - frame["x"].mean()))
    deployment = deploy(tmp_path, model, mini_batch_size=size)

    try:
        run = sparkscore.score(
            spark, deployment, input=tmp_path / "in", output=tmp_path / "out", output_format="parquet"
        )
        assert spark.conf.get("spark.sql.files.maxPartitionBytes") == "50000"
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")

    assert run.record["counts"]["mini_batches"] == 3
    found = pd.read_parquet(tmp_path / "out").sort_values("id", ignore_index=True)
    wanted = pd.concat(expected).sort_values("id", ignore_index=True)
    np.testing.assert_allclose(found["prediction"], wanted["prediction"], rtol=0, atol=1e-9)
    assert {Path(file).name[0] for file in found["source_file"]} == set("abc")


def test_a_file_that_fails_fails_as_a_whole(spark: SparkSession, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, values in {"a": [1.0, 3.0], "b": [-1.0, 4.0, 8.0, 9.0], "c": [5.0, 9.0]}.items():
        pd.DataFrame({"x": values}).to_csv(tmp_path / "in" / f"{name}.csv", index=False)
    deployment = deploy(tmp_path, model, error_threshold=1, retry_settings={"max_retries": 0})

    run = sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out", output_format="parquet")

    found = pd.read_parquet(tmp_path / "out")
    assert sorted(found["prediction"]) == [-2.0, -1.0, 1.0, 2.0]
    counts = run.record["counts"]
    assert (counts["scored"], counts["failed"], counts["scored_in_parts"]) == (4, 4, 0)


def test_a_script_may_return_nothing_for_some_files(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path]
) -> None:
    (tmp_path / "in").mkdir()
    for name in "abcd":
        (tmp_path / "in" / f"{name}.txt").write_text(name)
    script = "def run(files):\n    return [7] if files[0].endswith('c.txt') else []"
    deployment = make_deployment(script, settings={"error_threshold": -1, "mini_batch_size": 1})

    run = sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out", output_format="parquet")

    assert pd.read_parquet(tmp_path / "out")["prediction"].tolist() == [7]
    assert (run.record["counts"]["scored"], run.record["counts"]["failed"]) == (1, 3)

    nothing = make_deployment("def run(files): return []", "nothing", settings={"error_threshold": -1})
    declared = {"output.schema": "prediction bigint"}
    with pytest.raises(sparkscore.SparkscoreError, match="No item was scored"):
        sparkscore.score(spark, nothing, input=tmp_path / "in", output=tmp_path / "none", settings=declared)
    assert not (tmp_path / "none").exists()


def test_what_a_script_logs_is_kept_in_the_runs_folder(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # MLflow is loaded here, and its own store would be the driver's.
    monkeypatch.setattr(asked, "stores_for_workers", lambda: ("", ""))
    pd.DataFrame({"x": [1.0, 2.0]}).to_parquet(tmp_path / "in.parquet")
    script = """
    import mlflow

    def init():
        mlflow.log_metric("loads", 1)

    def run(frame):
        return frame["x"].tolist()
    """

    run = sparkscore.score(spark, make_deployment(script), input=tmp_path / "in.parquet", output=tmp_path / "out")

    (warning,) = run.record["warnings"]
    folder = next(Path(part) for part in warning.split("'") if part.endswith("script_logs/mlflow"))
    found = []
    for store in folder.glob("*.db"):
        with closing(sqlite3.connect(store)) as open_store:
            found += open_store.execute("select key, value from metrics").fetchall()
    assert found == [("loads", 1.0)] * run.record["model_loads"]


OF_IMAGES = """
import mlflow
import numpy as np


class Mean(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return np.full(len(model_input), model_input.mean())


mlflow.models.set_model(Mean())
"""


def test_each_image_has_a_call_of_its_own(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "mean.py").write_text(OF_IMAGES)
    taken = mlflow.types.Schema([mlflow.types.TensorSpec(np.dtype("uint8"), (-1, 2, 2, 3))])
    mlflow.pyfunc.save_model(
        str(tmp_path / "model"),
        python_model=str(tmp_path / "mean.py"),
        signature=mlflow.models.ModelSignature(inputs=taken),
        pip_requirements=["mlflow"],
    )
    (tmp_path / "in").mkdir()
    for number in range(3):
        pixels = np.full((2, 2, 3), number * 40, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    deployment = deploy(tmp_path, tmp_path / "model", mini_batch_size=2)

    sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out", output_format="parquet")

    found = pd.read_parquet(tmp_path / "out")
    values = {
        Path(str(file)).stem: value for file, value in zip(found["source_file"], found["prediction"], strict=True)
    }
    assert values == {"0": 0, "1": 40, "2": 80}

    (tmp_path / "in" / "notes.txt").write_text("x")
    with pytest.raises(sparkscore.SparkscoreError, match=r"INPUT_ENDINGS.*'notes.txt'"):
        sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "other")
