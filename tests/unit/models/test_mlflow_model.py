from __future__ import annotations

import json
import pickle
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
import xgboost
import yaml
from mlflow.models import ModelSignature as MlflowSignature
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from mlflow.types.schema import (
    AnyType,
    Array,
    ColSpec,
    DataType,
    Map,
    Object,
    Property,
    Schema,
    SparkMLVector,
    TensorSpec,
)
from sklearn.linear_model import LogisticRegression

from sparkscore.config import Model
from sparkscore.errors import ConfigError, MissingDependencyError, ModelError, ModelLoadError, SignatureMismatchError
from sparkscore.models import ModelDescription, ResolvedModel, check_params, check_trust, describe_model
from sparkscore.models.mlflow_signature import read_signature
from sparkscore.returned import tabulate
from sparkscore.signature.model_signature import ColumnInput, ModelSignature, TensorInput, is_optional

Made = Callable[..., ModelDescription]

X = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "bmi": [1.0, 2.0, 1.0, 2.0]})
Y = np.array([0, 1, 0, 1])


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


def resolved(path: Path, uri: str | None = None) -> ResolvedModel:
    return ResolvedModel(path, path.name, "1", "0" * 64, uri)


def described(path: Path) -> ModelDescription:
    return describe_model(resolved(path), Model(path=str(path)))


def write_mlmodel(folder: Path, flavors: dict[str, Any] | None = None, **more: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    chosen = flavors or {"python_function": {"loader_module": "mlflow.sklearn"}}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": chosen, **more}))
    return folder


# ------------------------------------------------------------------------------------------------------- signatures


ANY: Any = AnyType
VECTOR: Any = SparkMLVector


def column(type_: Any, name: str | None = "x") -> Schema:
    return Schema([ColSpec(type_, name)])


STRUCT = Object([Property("a", "long"), Property("b", Array("string"), required=False)])


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (DataType.boolean, pa.bool_()),
        (DataType.integer, pa.int32()),
        (DataType.long, pa.int64()),
        (DataType.float, pa.float32()),
        (DataType.double, pa.float64()),
        (DataType.string, pa.string()),
        (DataType.binary, pa.binary()),
        (DataType.datetime, pa.timestamp("us")),
        (Array("long"), pa.list_(pa.int64())),
        (Array(Array("float")), pa.list_(pa.list_(pa.float32()))),
        (Map("double"), pa.map_(pa.string(), pa.float64())),
        (Map(Array("long")), pa.map_(pa.string(), pa.list_(pa.int64()))),
        (STRUCT, pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))])),
        (Array(STRUCT), pa.list_(pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]))),
        (VECTOR(), pa.list_(pa.float64())),
        (ANY(), None),
        (Array(ANY()), None),
        (Object([Property("a", ANY())]), None),
    ],
)
def test_each_type_of_a_column_has_an_arrow_type(type_: Any, expected: pa.DataType | None) -> None:
    written = MlflowSignature(inputs=column(type_), outputs=column(type_, "y")).to_dict()

    read = read_signature(json.loads(json.dumps(written)))

    assert read.inputs == (ColumnInput("x", expected),)
    assert read.outputs == (None if expected is None else pa.schema([("y", expected)]))


@pytest.mark.parametrize(
    ("dtype", "expected", "stored"),
    [
        ("float32", pa.float32(), pa.float32()),
        ("float64", pa.float64(), pa.float64()),
        ("float16", pa.float16(), pa.float32()),
        ("int8", pa.int8(), pa.int8()),
        ("int64", pa.int64(), pa.int64()),
        ("uint8", pa.uint8(), pa.int16()),
        ("uint32", pa.uint32(), pa.int64()),
        ("bool", pa.bool_(), pa.bool_()),
        ("str", pa.string(), pa.string()),
        ("bytes", pa.binary(), pa.binary()),
        ("datetime64", pa.timestamp("us"), pa.timestamp("us")),
        ("object", None, None),
    ],
)
def test_each_type_of_a_tensor_has_an_arrow_type(dtype: str, expected: pa.DataType, stored: pa.DataType) -> None:
    schema = Schema([TensorSpec(np.dtype(dtype), (-1, 28, 28))])

    read = read_signature(MlflowSignature(inputs=schema, outputs=schema).to_dict())

    assert read.inputs == (TensorInput(None, expected, (-1, 28, 28)),)
    rows = None if stored is None else pa.schema([("prediction", pa.list_(pa.list_(stored)))])
    assert read.outputs == rows


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (Schema([ColSpec("long")]), [("prediction", pa.int64())]),
        (Schema([ColSpec("long"), ColSpec("double")]), [("c0", pa.int64()), ("c1", pa.float64())]),
        (Schema([ColSpec("long", "label"), ColSpec("double", "p")]), [("label", pa.int64()), ("p", pa.float64())]),
        (Schema([TensorSpec(np.dtype("float64"), (-1,))]), [("prediction", pa.float64())]),
        (Schema([TensorSpec(np.dtype("float64"), (-1, 1))]), [("prediction", pa.list_(pa.float64()))]),
        (Schema([TensorSpec(np.dtype("float32"), (-1, 3), "p")]), [("p", pa.list_(pa.float32()))]),
        (Schema([ColSpec(STRUCT)]), [("a", pa.int64()), ("b", pa.list_(pa.string()))]),
    ],
)
def test_result_columns_have_predictable_names(outputs: Schema, expected: list[tuple[str, pa.DataType]]) -> None:
    read = read_signature(MlflowSignature(inputs=column("long"), outputs=outputs).to_dict())

    assert read.outputs == pa.schema(expected)


@pytest.mark.parametrize("type_", [Map("double"), ANY()])
def test_outputs_that_leave_something_open_are_found_out_later(type_: Any) -> None:
    read = read_signature(MlflowSignature(inputs=column("long"), outputs=Schema([ColSpec(type_)])).to_dict())

    assert read.outputs is None


def test_columns_that_pandas_numbered_have_no_names() -> None:
    signature = infer_signature(pd.DataFrame({0: [1.0], 1: ["x"]}), pd.DataFrame({0: [1.0]}))

    read = read_signature(signature.to_dict())

    assert read.inputs == (ColumnInput(None, pa.float64()), ColumnInput(None, pa.string()))
    assert read.outputs == pa.schema([("prediction", pa.float64())])


def test_optional_columns_and_parameters_are_read() -> None:
    inputs = Schema([ColSpec("long", "a"), ColSpec("string", "b", required=False)])
    params = infer_signature(np.array([1.0]), params={"top": 3, "names": ["x"]}).params

    read = read_signature(MlflowSignature(inputs=inputs, params=params).to_dict())

    assert read.inputs == (ColumnInput("a", pa.int64()), ColumnInput("b", pa.string(), is_required=False))
    assert read.params == (("top", 3), ("names", ["x"]))
    assert read.outputs is None


class Patient(pydantic.BaseModel):
    age: int
    name: str
    weights: list[float]
    note: str | None = None


class OfPatients(PythonModel):
    def predict(self, model_input: list[Patient]) -> list[str]:  # type: ignore[override]
        return [patient.name for patient in model_input]


def test_the_fields_of_a_list_of_pydantic_models_are_the_columns(tmp_path: Path) -> None:
    mlflow.pyfunc.save_model(tmp_path / "m", python_model=OfPatients(), pip_requirements=["pandas"])

    signature = described(tmp_path / "m").signature

    assert signature.inputs is not None
    assert set(signature.inputs) == {
        ColumnInput("age", pa.int64()),
        ColumnInput("name", pa.string()),
        ColumnInput("weights", pa.list_(pa.float64())),
        ColumnInput("note", pa.string(), is_required=False),
    }
    assert signature.outputs == pa.schema([("prediction", pa.string())])


# ------------------------------------------------------------------------------------------------------ descriptions


def save_sklearn(folder: Path, **arguments: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    mlflow.sklearn.save_model(model, folder, pip_requirements=["scikit-learn==1.0", "numpy"], **arguments)


def save_xgboost(folder: Path) -> None:
    mlflow.xgboost.save_model(xgboost.XGBClassifier(n_estimators=2).fit(X, Y), folder, pip_requirements=["xgboost"])


def save_booster(folder: Path) -> None:
    booster = xgboost.train({"max_depth": 1}, xgboost.DMatrix(X, Y), 2)
    mlflow.xgboost.save_model(booster, folder, pip_requirements=["xgboost"], model_format="json")


def lightgbm_booster() -> lightgbm.Booster:
    options = {"verbose": -1, "min_data_in_leaf": 1, "min_data_in_bin": 1}
    return lightgbm.train(options, lightgbm.Dataset(X, Y), 2)


def save_lightgbm(folder: Path) -> None:
    mlflow.lightgbm.save_model(lightgbm_booster(), folder, pip_requirements=["lightgbm"])


def save_lightgbm_classifier(folder: Path) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y)
    mlflow.lightgbm.save_model(model, folder, pip_requirements=["lightgbm"], serialization_format="cloudpickle")


def save_onnx(folder: Path) -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    (x, y) = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]) for name in "xy")
    graph = onnx.helper.make_graph([node], "g", [x], [y])
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    mlflow.onnx.save_model(model, folder, pip_requirements=["onnxruntime"])


def save_with_code(folder: Path) -> None:
    code = folder.parent / "own_code"
    code.mkdir()
    (code / "__init__.py").write_text("")
    booster = xgboost.train({"max_depth": 1}, xgboost.DMatrix(X, Y), 2)
    mlflow.xgboost.save_model(booster, folder, code_paths=[str(code)], pip_requirements=["xgboost"])


def save_pyfunc(folder: Path) -> None:
    mlflow.pyfunc.save_model(folder, python_model=OfPatients(), pip_requirements=["pandas"])


def save_pickled(folder: Path) -> None:
    save_sklearn(folder, serialization_format="cloudpickle")


def save_skops(folder: Path) -> None:
    save_sklearn(folder, serialization_format="skops")


@pytest.mark.parametrize(
    ("save", "flavor", "runs_code"),
    [
        (save_pickled, "sklearn", True),
        (save_skops, "sklearn", True),
        (save_pyfunc, "python_function", True),
        (save_with_code, "xgboost", True),
        (save_lightgbm_classifier, "lightgbm", True),
        (save_xgboost, "xgboost", False),
        (save_booster, "xgboost", False),
        (save_lightgbm, "lightgbm", False),
        (save_onnx, "onnx", False),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:lightgbm")
def test_each_flavor_is_known_and_so_is_whether_it_runs_code(
    save: Callable[[Path], None], flavor: str, *, runs_code: bool, tmp_path: Path
) -> None:
    save(tmp_path / "m")

    description = described(tmp_path / "m")

    assert description.model_format == "mlflow"
    assert flavor in description.flavors
    assert "python_function" in description.flavors
    assert description.runs_code is runs_code
    assert (description.signature.inputs is None) is (save is not save_pyfunc)
    assert "set_signature" in description.signature_advice


@pytest.mark.parametrize(
    ("flavors", "file"),
    [
        ({"python_function": {"loader_module": "mlflow.xgboost"}, "xgboost": {"model_class": "os.abort"}}, "model.ubj"),
        ({"python_function": {"loader_module": "mlflow.onnx", "code": "code"}, "onnx": {}}, "model.onnx"),
        ({"python_function": {"loader_module": "mlflow.onnx"}, "onnx": {"code": "code"}}, "model.onnx"),
        ({"python_function": {"loader_module": "mlflow.onnx"}, "onnx": {}}, "extra/model.PKL"),
        ({"python_function": {"loader_module": "own_loader"}}, "model.onnx"),
        ({"python_function": {"loader_module": "mlflow.pytorch"}, "pytorch": {}}, "data/model.pth"),
    ],
)
def test_what_could_run_code_is_never_taken_for_data(flavors: dict[str, Any], file: str, tmp_path: Path) -> None:
    folder = write_mlmodel(tmp_path / "m", flavors)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"")

    assert described(folder).runs_code


def test_a_spark_pipeline_is_sparks_to_score(tmp_path: Path) -> None:
    flavors = {"python_function": {"loader_module": "mlflow.spark"}, "spark": {"model_data": "sparkml"}}

    description = described(write_mlmodel(tmp_path / "m", flavors))

    assert (description.model_format, description.runs_code) == ("spark", False)


def test_requirements_and_python_are_read_from_what_mlflow_writes(tmp_path: Path) -> None:
    save_pickled(tmp_path / "m")

    description = described(tmp_path / "m")

    assert description.requirements == (f"mlflow=={mlflow.__version__}", "scikit-learn==1.0", "numpy")
    assert description.python_version == platform.python_version()


def test_requirements_of_an_old_model_come_from_its_conda_file(tmp_path: Path) -> None:
    folder = write_mlmodel(tmp_path / "m")
    dependencies = ["python=3.9", "pip", {"pip": ["mlflow", "-r other.txt", "cloudpickle==2.0  # for the model"]}]
    (folder / "conda.yaml").write_text(yaml.safe_dump({"dependencies": dependencies}))
    (folder / "python_env.yaml").write_text("python: 3.9.7\n")

    description = described(folder)

    assert description.requirements == ("mlflow", "cloudpickle==2.0")
    assert description.python_version == "3.9.7"


@pytest.mark.parametrize("text", ["dependencies: 3", "a: [", "- pip"])
def test_a_file_that_only_informs_does_not_stop_anything(text: str, tmp_path: Path) -> None:
    folder = write_mlmodel(tmp_path / "m")
    (folder / "conda.yaml").write_text(text)

    description = described(folder)

    assert (description.requirements, description.python_version) == ((), None)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("flavors: [", "a file that is not YAML"),
        ("", "no mapping 'flavors'"),
        ("flavors: 3", "no mapping 'flavors'"),
        ("flavors: {sklearn: {}}", "the flavors 'sklearn'"),
        ("flavors: {python_function: {}}", "loader_module"),
        ("flavors: {python_function: {loader_module: a}}\nsignature: {inputs: 'x'}", "signature"),
        ('flavors: {python_function: {loader_module: a}}\nsignature: {inputs: \'[{"type": "odd"}]\'}', "signature"),
        ("flavors: {python_function: {loader_module: a}}\nsignature: 3", "signature"),
    ],
)
def test_a_broken_mlmodel_file_is_refused(text: str, got: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(text)

    with pytest.raises(ModelLoadError) as caught:
        described(tmp_path)

    assert caught.value.code == "MODEL_BROKEN"
    assert got in caught.value.got


def test_a_signature_needs_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_mlmodel(tmp_path / "m", signature={"inputs": '[{"type": "long"}]'})
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(MissingDependencyError):
        described(folder)


# ------------------------------------------------------------------------------------------------------- parameters


def with_params(*params: tuple[str, object]) -> ModelDescription:
    return ModelDescription("mlflow", ("python_function",), ModelSignature(params=params or None))


KNOWN = (("top", 3), ("scale", 0.5), ("flag", True), ("word", "x"), ("list", [1.0]), ("free", None), ("dict", {"a": 1}))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"top": 5, "scale": 1, "flag": False, "word": "y"},
        {"scale": 0.25, "list": [1, 2.5], "free": "anything", "dict": {"a": 2}},
        {"list": []},
    ],
)
def test_parameters_that_the_signature_names_are_taken(params: dict[str, object]) -> None:
    check_params(with_params(*KNOWN), params)


@pytest.mark.parametrize(
    ("params", "got"),
    [
        ({"tops": 5}, "'tops'"),
        ({"top": 0.5}, "'top': float"),
        ({"top": True}, "'top': bool"),
        ({"scale": "1"}, "'scale': str"),
        ({"scale": True}, "'scale': bool"),
        ({"flag": 1}, "'flag': int"),
        ({"word": 1}, "'word': int"),
        ({"list": 1.0}, "'list': float"),
        ({"list": ["x"]}, "'list': list"),
    ],
)
def test_parameters_that_it_does_not_name_or_type_so_are_refused(params: dict[str, object], got: str) -> None:
    with pytest.raises(SignatureMismatchError) as caught:
        check_params(with_params(*KNOWN), params)

    assert caught.value.code == "MODEL_PARAMS"
    assert got in caught.value.got


def test_parameters_without_any_in_the_signature_are_refused_not_ignored() -> None:
    with pytest.raises(SignatureMismatchError) as caught:
        check_params(with_params(), {"top": 3})

    assert "ignores" in caught.value.expected


def test_parameters_of_other_methods_are_theirs_to_check() -> None:
    check_params(with_params(), {"top": 3}, has_predict_fn=True)


# ------------------------------------------------------------------------------------------------ which model is it


@pytest.mark.parametrize(
    ("name", "framework", "model_format"),
    [
        ("m.pkl", "ScikitLearn", "sklearn"),
        ("m.joblib", "scikit-learn", "sklearn"),
        ("m.PKL", "sklearn", "sklearn"),
        ("m.pickle", "XGBoost", "xgboost"),
        ("m.pkl", "LightGBM", "lightgbm"),
    ],
)
def test_a_pickle_is_what_the_deployment_says(name: str, framework: str, model_format: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(1))

    description = describe_model(resolved(tmp_path / name), Model(path=name, framework=framework))

    assert (description.model_format, description.runs_code) == (model_format, True)
    assert description.signature == ModelSignature()


@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "m.json", "m.txt"])
@pytest.mark.parametrize("framework", [None, "CatBoost", "mlflow", "onnx"])
def test_a_file_that_could_be_anything_needs_its_framework(name: str, framework: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")

    with pytest.raises(ModelError) as caught:
        describe_model(resolved(tmp_path / name), Model(path=name, framework=framework))

    assert caught.value.code == "MODEL_FRAMEWORK"
    assert "model.framework: sklearn" in caught.value.next_step


@pytest.mark.parametrize(
    ("name", "framework", "model_format"),
    [
        ("m.bst", "XGBoost", "xgboost"),
        ("m.model", "xgboost", "xgboost"),
        ("m.lgb", "LightGBM", "lightgbm"),
        ("m", "lightgbm", "lightgbm"),
        ("m.sav", "sklearn", "sklearn"),
        ("m.P", "ScikitLearn", "sklearn"),
    ],
)
def test_files_of_any_ending_are_those_of_the_framework_that_is_named(
    name: str, framework: str, model_format: str, tmp_path: Path
) -> None:
    quiet = {"verbose": -1, "num_threads": 1}
    booster = lightgbm.train(quiet, lightgbm.Dataset(np.eye(40), np.arange(40) % 2), 1)
    trees: Any = xgboost.train({"nthread": 1}, xgboost.DMatrix(np.eye(4), [0, 1, 0, 1]), 2)
    raw = bytes(trees.save_raw("json" if name == "m.bst" else "ubj"))
    content = {"xgboost": raw, "lightgbm": booster.model_to_string().encode(), "sklearn": b""}
    (tmp_path / name).write_bytes(content[model_format])

    description = describe_model(resolved(tmp_path / name), Model(path=name, framework=framework))

    assert (description.model_format, description.runs_code) == (model_format, model_format == "sklearn")


def test_a_file_of_scikit_learn_needs_the_ending_of_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"")

    with pytest.raises(ModelError, match=r"MODEL_FRAMEWORK.*Name a pickle with one of the endings \.joblib"):
        describe_model(resolved(tmp_path / "m.bin"), Model(path="m.bin", framework="sklearn"))


@pytest.mark.parametrize(
    ("name", "framework"), [("m.pt", None), ("m.h5", None), ("m.keras", "sklearn"), ("m.pkl", "PyTorch")]
)
def test_deep_learning_files_are_sent_to_mlflow_or_onnx(name: str, framework: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")

    with pytest.raises(ModelError) as caught:
        describe_model(resolved(tmp_path / name), Model(path=name, framework=framework))

    assert "ONNX" in caught.value.next_step


@pytest.mark.parametrize("content", ["saved_model.pb", "README.md"])
def test_other_folders_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / content).write_bytes(b"")

    with pytest.raises(ModelError) as caught:
        described(tmp_path)

    assert caught.value.code == "MODEL_FRAMEWORK"


@pytest.mark.parametrize("framework", [None, "Onnx"])
def test_onnx_is_known_by_its_files(framework: str | None, tmp_path: Path) -> None:
    save_onnx(tmp_path / "m")
    (tmp_path / "m" / "MLmodel").unlink()

    folder = describe_model(resolved(tmp_path / "m"), Model(path="m", framework=framework))
    file = describe_model(resolved(tmp_path / "m" / "model.onnx"), Model(path="m", framework=framework))

    assert (folder.model_format, file.model_format) == ("onnx", "onnx")


# ------------------------------------------------------------------------------------------------------------- trust


@pytest.mark.parametrize(
    ("runs_code", "uri", "trust"),
    [(False, None, None), (True, "models:/heart/1", None), (True, None, "code"), (False, None, "code")],
)
def test_data_registries_and_trusted_code_pass(
    *, runs_code: bool, uri: str | None, trust: str | None, tmp_path: Path
) -> None:
    check_trust(resolved(tmp_path, uri), ModelDescription("mlflow", (), ModelSignature(), runs_code=runs_code), trust)


def test_code_that_nobody_vouches_for_is_refused_with_the_line_to_add(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"")
    description = ModelDescription("sklearn", (), ModelSignature(), runs_code=True)

    with pytest.raises(ConfigError) as caught:
        check_trust(resolved(tmp_path / "m.pkl"), description, None)

    assert caught.value.code == "MODEL_TRUST"
    assert "pickle" in caught.value.got
    assert "trust: code" in caught.value.next_step


def test_a_key_that_was_absent_from_an_example_is_an_optional_column() -> None:
    example: Any = [{"x": 1}, {"x": 2, "y": "a"}]
    signature = infer_signature(pd.DataFrame({"a": [1.0]}), example)

    outputs = read_signature(signature.to_dict()).outputs

    assert outputs is not None
    assert [(field.name, is_optional(field)) for field in outputs] == [("x", False), ("y", True)]
    table = tabulate([{"x": 1}, {"x": 2, "y": "b"}], outputs).table
    assert table.to_pydict() == {"x": [1, 2], "y": [None, "b"]}
