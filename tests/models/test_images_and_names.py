"""Images without a script, and scripts that look their models up, through the whole of a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper
from PIL import Image

import sparkscore
from tests.support.images import save_sum_of_pixels

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeDeployment = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, float]:
    """Write an image of each kind, and give the sum of its pixels."""
    random = np.random.default_rng(1)
    (tmp_path / "photos").mkdir()
    sums = {}
    for ending in ("png", "tiff", "bmp"):
        pixels = random.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"a.{ending}")
        sums[f"a.{ending}"] = float(pixels.sum())
    return sums


def test_images_are_decoded_into_what_the_graph_asks_for(
    spark: SparkSession, tmp_path: Path, photos: dict[str, float]
) -> None:
    save_sum_of_pixels(tmp_path / "model.onnx")

    run = sparkscore.score(
        spark, None, model=tmp_path / "model.onnx", input=tmp_path / "photos", output=tmp_path / "out"
    )

    found = {Path(row["source_file"]).name: row["prediction"] for row in run.predictions().collect()}
    assert found == photos


@pytest.mark.usefixtures("photos")
def test_a_corrupt_image_is_that_files_failure(spark: SparkSession, tmp_path: Path) -> None:
    save_sum_of_pixels(tmp_path / "model.onnx")
    good = (tmp_path / "photos" / "a.png").read_bytes()
    (tmp_path / "photos" / "broken.png").write_bytes(good[: len(good) // 2])

    with pytest.raises(sparkscore.SparkscoreError) as caught:
        sparkscore.score(spark, None, model=tmp_path / "model.onnx", input=tmp_path / "photos", output=tmp_path / "out")

    assert "broken.png" in str(caught.value)
    record = caught.value.record
    assert record is not None
    assert (record["counts"]["scored"], record["counts"]["failed"]) == (3, 1)


@pytest.mark.each_spark
def test_columns_of_other_types_pass_by_a_model(spark: SparkSession, tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["prediction"])
    ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", 1]) for name in ("x", "prediction")]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    (tmp_path / "model.onnx").write_bytes(
        helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    rows = pa.table({"x": [1.5], "at": [at], "day": [at.date()], "parts": [[{"a": b"\0"}]]})
    pq.write_table(rows, tmp_path / "rows.parquet")

    run = sparkscore.score(
        spark, None, model=tmp_path / "model.onnx", input=tmp_path / "rows.parquet", output=tmp_path / "out"
    )

    (row,) = run.predictions().toArrow().to_pylist()
    assert {name: row[name] for name in rows.column_names} == rows.to_pylist()[0]


LOOKS_UP = """
from azureml.core.model import Model
from azureml_user.parallel_run import EntryScript

def init():
    global texts
    texts = [open(Model.get_model_path("small")).read(), open(Model.get_model_path("large", version=7)).read()]
    EntryScript().logger.info("two models")

def run(frame):
    return [" ".join(texts)] * len(frame)
"""


def test_a_script_finds_several_models_by_name_and_the_record_has_each_digest(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    pq.write_table(pa.table({"id": range(3)}), tmp_path / "rows.parquet")
    for name in ("small", "large"):
        (tmp_path / f"{name}.txt").write_text(name)
    deployment = make_deployment(
        LOOKS_UP,
        models={
            "small": str(tmp_path / "small.txt"),
            "large": {"path": str(tmp_path / "large.txt"), "version": 7},
        },
    )

    run = sparkscore.score(spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out")

    assert {row["prediction"] for row in run.predictions().collect()} == {"small large"}
    assert {model["name"]: len(model["sha256"]) for model in run.record["models"]} == {"small": 64, "large": 64}
    logs = list((tmp_path / "runs" / run.record["run_id"] / "script_logs").rglob("*"))
    assert any(log.is_file() and "two models" in log.read_text() for log in logs)
