"""A plain run is one Spark job: Spark is not asked for what a footer, a report or a log can answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper
from pyspark.sql import SparkSession

import sparkscore

ROWS, FILES = 3000, 3


def count_jobs(spark: SparkSession) -> int:
    """Return how many jobs a session has started. Its list of jobs is filled by another thread, and can be late."""
    return int(spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def save_model(path: Path) -> None:
    """Save a graph that adds up the columns `a` and `b` of each row."""
    inputs = [helper.make_tensor_value_info("columns", TensorProto.FLOAT, [None, 2])]
    outputs = [helper.make_tensor_value_info("total", TensorProto.FLOAT, [None])]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["columns", "axes"], ["total"], keepdims=0)
    graph = helper.make_graph([node], "total", inputs, outputs, [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def write_rows(folder: Path) -> None:
    folder.mkdir()
    numbers = np.random.default_rng(1).normal(size=(FILES, 2, ROWS)).astype(np.float32)
    for file, (a, b) in enumerate(numbers):
        table = pa.table({"key": range(file * ROWS, (file + 1) * ROWS), "a": a, "b": b})
        pq.write_table(table, folder / f"{file}.parquet", row_group_size=ROWS // 2)


@pytest.mark.parametrize("output_format", ["parquet", "delta"])
def test_a_run_of_an_onnx_model_is_one_job_of_spark(spark: SparkSession, tmp_path: Path, output_format: str) -> None:
    save_model(tmp_path / "total.onnx")
    write_rows(tmp_path / "in")
    before = count_jobs(spark)

    run = sparkscore.score(
        spark, None, model=tmp_path / "total.onnx", input=tmp_path / "in", output=tmp_path / "out",
        output_format=output_format, settings={"model.inputs": {"columns": ["a", "b"]}},
    )  # fmt: skip

    assert count_jobs(spark) - before == 1
    record = run.record
    assert (record["input"]["reader"], record["output"]["writer"]) == ("worker", "worker")
    assert record["counts"]["scored"] == record["output"]["rows"] == ROWS * FILES
    assert sorted(row["key"] for row in run.predictions().select("key").collect()) == list(range(ROWS * FILES))
