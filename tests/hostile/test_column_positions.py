from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper
from pyspark.sql import SparkSession
from sklearn.linear_model import LinearRegression

import sparkscore
from sparkscore.config import Input
from sparkscore.errors import SignatureMismatchError, SourceSchemaError
from sparkscore.sources import Source, open_source

SKLEARN = {"trust": "code", "model.framework": "sklearn"}
WEIGHTS = [[1.0], [10.0], [100.0]]
RECORD = {"z": 1.0, "m": 2.0, "a": 3.0}  # 1 + 20 + 300


def opened(spark: SparkSession, place: Path, **more: object) -> Source:
    config = Input.model_validate({"location": [str(place)], **more})
    return open_source(spark, config, is_files_by_default=False)


def write_json(place: Path, *records: dict[str, float]) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(json.dumps(record) for record in records))
    return place


@pytest.fixture(params=["onnx", "sklearn"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"model.{'onnx' if request.param == 'onnx' else 'pkl'}"
    if request.param == "sklearn":
        path.write_bytes(pickle.dumps(LinearRegression(fit_intercept=False).fit(np.eye(3), np.ravel(WEIGHTS))))
        return path
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None, 1])],
        [onnx.numpy_helper.from_array(np.array(WEIGHTS), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def score(spark: SparkSession, model: Path, place: Path, tmp_path: Path, **settings: object) -> list[float]:
    kind = {} if model.suffix == ".onnx" else SKLEARN
    sparkscore.score(
        spark, None, model=model, input=place, input_format="json", output=tmp_path / "out", output_format="parquet",
        runs=tmp_path / "runs", settings={"isolation": "none", **kind, **settings},
    )  # fmt: skip
    table = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "out").rglob("*.parquet")))
    found: list[float] = np.ravel(table.column("prediction").to_pylist()).tolist()
    return found


def test_json_lines_go_by_position_in_the_order_of_the_first_record(
    spark: SparkSession, model: Path, tmp_path: Path
) -> None:
    place = write_json(tmp_path / "in.json", RECORD, dict(sorted(RECORD.items())))

    assert score(spark, model, place, tmp_path) == pytest.approx([321.0, 321.0])


def test_json_files_of_two_orders_do_not_go_by_position_until_the_user_orders_them(
    spark: SparkSession, model: Path, tmp_path: Path
) -> None:
    write_json(tmp_path / "in" / "1.json", RECORD)
    write_json(tmp_path / "in" / "2.json", dict(sorted(RECORD.items())))

    with pytest.raises(SignatureMismatchError, match=r"position.*1\.json.*2\.json.*input\.columns"):
        score(spark, model, tmp_path / "in", tmp_path)
    assert score(spark, model, tmp_path / "in", tmp_path, **{"input.columns": ["z", "m", "a"]}) == [321.0, 321.0]


def test_a_script_gets_json_columns_in_the_order_of_the_first_record(spark: SparkSession, tmp_path: Path) -> None:
    source = opened(spark, write_json(tmp_path / "in.json", RECORD), format="json")

    frame = source.frame()
    assert frame is not None
    assert frame.columns[:3] == ["z", "m", "a"]
    assert source.snapshot.order_doubt == ""


def test_a_declared_schema_is_the_order_also_where_it_names_a_folders_key(spark: SparkSession, tmp_path: Path) -> None:
    write_json(tmp_path / "in" / "day=7" / "a.json", RECORD)

    declared = opened(spark, tmp_path / "in", format="json", schema="day int, z double, m double, a double")
    inferred = opened(spark, tmp_path / "in", format="json")

    for source, columns in ((declared, ["day", "z", "m", "a"]), (inferred, ["z", "m", "a", "day"])):
        frame = source.frame()
        assert frame is not None
        assert frame.columns[:4] == columns
    assert declared.snapshot.order_doubt == ""
    assert "'day'" in inferred.snapshot.order_doubt


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_key_of_folders_that_is_a_column_in_another_case_is_refused(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "in" / "ID=5"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"id": [1], "x": [2]}), folder / "a.parquet")
    if kind != "parquet":
        (folder / "a.parquet").unlink()
        (folder / f"a.{kind}").write_text('{"id": 1, "x": 2}\n' if kind == "json" else "id,x\n1,2\n")

    with pytest.raises(SourceSchemaError, match=r"\[INPUT_PARTITIONS\].*'id'.*case"):
        opened(spark, tmp_path / "in", format=kind)


def test_delta_parquet_and_csv_have_an_order_where_files_agree(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / "parquet").mkdir(exist_ok=True)
        pq.write_table(pa.table({"z": [1], "a": [2]}), tmp_path / "parquet" / f"{name}.parquet")

    assert opened(spark, tmp_path / "parquet", format="parquet").snapshot.order_doubt == ""
    pq.write_table(pa.table({"a": [1], "z": [2]}), tmp_path / "parquet" / "3.parquet")
    assert "3.parquet" in opened(spark, tmp_path / "parquet", format="parquet").snapshot.order_doubt
    assert opened(spark, tmp_path / "parquet", format="parquet", columns=["z", "a"]).snapshot.order_doubt == ""
