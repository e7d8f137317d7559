"""What a model cannot take is refused on the driver: no Spark job is started, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

import sparkscore
from sparkscore.config import Input
from sparkscore.sources import open_source
from tests.support import flavors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COLUMNS = {"age": "double", "bmi": "double"}


def save_mlflow(path: Path, inputs: dict[str, str], *, params: dict[str, Any] | None = None) -> None:
    """Save a pyfunc whose signature asks for these columns."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    known = ParamSchema([ParamSpec(name, "double", value) for name, value in (params or {}).items()])
    columns = Schema([ColSpec(kind, name) for name, kind in inputs.items()])
    signature = ModelSignature(columns, params=known) if params else ModelSignature(columns)
    mlflow.pyfunc.save_model(
        path, python_model=lambda frame: np.ones(len(frame)), signature=signature, pip_requirements=["mlflow"]
    )


def save_graph(path: Path, shape: list[Any], *, ir: int = 9, opset: int = 17, element: int = TensorProto.FLOAT) -> None:
    """Save an ONNX graph that gives back its one input."""
    inputs = [helper.make_tensor_value_info("x", element, shape)]
    outputs = [helper.make_tensor_value_info("y", element, shape)]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", inputs, outputs)
    model = helper.make_model(graph, ir_version=ir, opset_imports=[helper.make_opsetid("", opset)])
    path.write_bytes(model.SerializeToString())


def save_outside_data(path: Path) -> None:
    """Save an ONNX graph whose weights are said to lie outside its folder."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [0.0, 0.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../outside.bin"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", inputs, outputs, [weight])
    path.mkdir()
    (path / "model.onnx").write_bytes(
        helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )


def save_text(path: Path) -> None:
    path.write_text("no model")


@dataclass(frozen=True)
class Refusal:
    """A model, what the deployment says of it, and the words of the refusal."""

    save: Callable[[Path], None]
    code: str
    words: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    file: str = "model"
    columns: dict[str, str] = field(default_factory=lambda: COLUMNS)


TRUSTED = {"trust": "code"}
MISMATCH = "SIGNATURE_MISMATCH"


def model_of(**inputs: str) -> Callable[[Path], None]:
    return lambda path: save_mlflow(path, inputs)


REFUSALS = {
    "a missing column": Refusal(model_of(age="double", sex="string"), MISMATCH, ("'sex'", "got none"), TRUSTED),
    "text for a number": Refusal(
        model_of(age="double", bmi="double"), MISMATCH, ("'bmi'", "string", "double"), TRUSTED,
        columns={"age": "double", "bmi": "string"},
    ),
    "double for an integer": Refusal(model_of(age="long", bmi="double"), MISMATCH, ("'age'", "bigint"), TRUSTED),
    "double for a float": Refusal(model_of(age="float", bmi="double"), MISMATCH, ("'age'", "float"), TRUSTED),
    "bigint for an int": Refusal(
        model_of(age="integer"), MISMATCH, ("'age'", "bigint", "int"), TRUSTED, columns={"age": "bigint"}
    ),
    "bigint for a double": Refusal(
        model_of(age="double"), MISMATCH, ("'age'", "bigint", "double"), TRUSTED, columns={"age": "bigint"}
    ),
    "a number for a text": Refusal(model_of(age="string"), MISMATCH, ("'age'", "double", "string"), TRUSTED),
    "more columns than a signature without names": Refusal(
        flavors.save_type_hints, MISMATCH, ("2 columns", "1 without names"), TRUSTED
    ),
    "an unknown parameter": Refusal(
        lambda path: save_mlflow(path, COLUMNS, params={"threshold": 0.5}), "MODEL_PARAMS", ("'treshold'",),
        TRUSTED | {"model.params": {"treshold": 0.5}},
    ),
    "a parameter of another type": Refusal(
        lambda path: save_mlflow(path, COLUMNS, params={"threshold": 0.5}), "MODEL_PARAMS", ("'threshold'", "str"),
        TRUSTED | {"model.params": {"threshold": "high"}},
    ),
    "a parameter of a model without any": Refusal(
        model_of(age="double", bmi="double"), "MODEL_PARAMS", ("none",), TRUSTED | {"model.params": {"threshold": 1}}
    ),
    "code without trust": Refusal(model_of(age="double"), "MODEL_TRUST", ("trust: code",)),
    "a pickle without trust": Refusal(
        flavors.save_joblib, "MODEL_TRUST", ("trust: code",), {"model.framework": "sklearn"}, "model.joblib"
    ),
    "another digest": Refusal(
        model_of(age="double"), "MODEL_DIGEST", ("f" * 64,), TRUSTED | {"model.sha256": "f" * 64}
    ),
    "a file of no known kind": Refusal(save_text, "MODEL_FRAMEWORK", ("model.framework",), file="model.json"),
    "a tensor of another width": Refusal(
        lambda path: save_graph(path, [None, 3]), MISMATCH, ("2", "3"), {"model.round_inputs": True}, "model.onnx"
    ),
    "doubles for a tensor of floats": Refusal(
        lambda path: save_graph(path, [None, 2]), MISMATCH, ("double", "float", "round_inputs"), {}, "model.onnx"
    ),
    "a tensor of images for columns": Refusal(
        lambda path: save_graph(path, [None, 3, 8, 8]), MISMATCH, ("192",), {"model.round_inputs": True}, "model.onnx"
    ),
    "an input that the graph does not have": Refusal(
        lambda path: save_graph(path, [None, 2]), MISMATCH, ("'z'",), {"model.inputs": {"z": ["age"]}}, "model.onnx"
    ),
    "a newer IR version": Refusal(
        lambda path: save_graph(path, [None, 2], ir=99), "ONNX_IR", ("99",), file="model.onnx"
    ),
    "a newer opset": Refusal(
        lambda path: save_graph(path, [None, 2], opset=99), "ONNX_OPSET", ("99",), file="model.onnx"
    ),
    "an input type that no column has": Refusal(
        lambda path: save_graph(path, [None, 2], element=TensorProto.COMPLEX64), "ONNX_INPUT", ("COMPLEX64",),
        file="model.onnx",
    ),
    "weights outside the folder": Refusal(save_outside_data, "ONNX_EXTERNAL_DATA", ("outside",)),
    "no ONNX at all": Refusal(save_text, "ONNX_BROKEN", (), file="model.onnx"),
    "an unknown provider": Refusal(
        lambda path: save_graph(path, [None, 2]), "ONNX_PROVIDER", ("CPUExecutionProvider",),
        {"model.providers": ["NoSuchProvider"]}, "model.onnx",
    ),
    "an unknown session option": Refusal(
        lambda path: save_graph(path, [None, 2]), "ONNX_SESSION_OPTION", ("no_such_option",),
        {"model.session_options": {"no_such_option": 1}}, "model.onnx",
    ),
    "an ONNX option for another model": Refusal(
        model_of(age="double"), "MODEL_SETTING", ("providers",), TRUSTED | {"model.providers": ["CPUExecutionProvider"]}
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


def jobs(spark: SparkSession) -> int:
    """Return how many jobs a session has run. Spark forgets old jobs, but their numbers are not used again."""
    return max(spark.sparkContext.statusTracker().getJobIdsForGroup(None), default=-1) + 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSALS)
def test_it_is_refused_before_any_job(name: str, spark: SparkSession, tmp_path: Path) -> None:
    refusal = REFUSALS[name]
    model = tmp_path / refusal.file
    refusal.save(model)
    # Of CSV files with declared columns Spark reads nothing before the run does; it reads Parquet's footers in a job.
    (tmp_path / "rows.csv").write_text(",".join(refusal.columns) + "\n" + ",".join("1" for _ in refusal.columns))
    schema = ", ".join(f"{column} {kind}" for column, kind in refusal.columns.items())
    before = jobs(spark)

    with pytest.raises(sparkscore.SparkscoreError) as caught:
        sparkscore.score(
            spark, None, model=model, input=tmp_path / "rows.csv", output=tmp_path / "out",
            settings={"input.schema": schema, **refusal.settings},
        )  # fmt: skip

    assert caught.value.code == refusal.code, str(caught.value)
    assert all(word in str(caught.value) for word in refusal.words), str(caught.value)
    assert jobs(spark) == before
    assert not (tmp_path / "out").exists()


def test_jobs_are_counted(spark: SparkSession) -> None:
    before = jobs(spark)
    spark.range(3).count()

    assert jobs(spark) > before


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tolerated", [0, -1])
def test_a_null_that_footers_tell_of_is_refused_for_an_integer_unless_failed_rows_are_tolerated(
    spark: SparkSession, tmp_path: Path, tolerated: int
) -> None:
    save_mlflow(tmp_path / "model", {"age": "long"})
    pq.write_table(pa.table({"age": [1, None, 3]}), tmp_path / "rows.parquet")
    # Spark itself reads the footers in jobs: as many as without a run.
    before = jobs(spark)
    open_source(spark, Input(location=(str(tmp_path / "rows.parquet"),)), is_files_by_default=False)
    of_opening = jobs(spark) - before
    options: dict[str, Any] = {"model": tmp_path / "model", "input": tmp_path / "rows.parquet"}
    options |= {"output": tmp_path / "out", "output_format": "parquet"}
    settings = {"trust": "code", "settings.error_threshold": tolerated}

    if tolerated:
        assert sparkscore.score(spark, None, **options, settings=settings).record["counts"]["failed"] == 1
        return
    before = jobs(spark)
    with pytest.raises(sparkscore.SparkscoreError) as caught:
        sparkscore.score(spark, None, **options, settings=settings)

    assert caught.value.code == MISMATCH
    assert "column 'age': got 1 NULLs, expected bigint without NULL" in str(caught.value)
    assert jobs(spark) - before == of_opening
    assert not (tmp_path / "out").exists()
