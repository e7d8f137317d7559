from __future__ import annotations

import datetime as dt
import logging
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
import scipy.sparse
import skl2onnx
import xgboost
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc.model import PythonModel
from mlflow.types.schema import Array, ColSpec, Map, Object, ParamSchema, ParamSpec, Property, Schema, TensorSpec
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sparkscore.config import Model
from sparkscore.digest import digest_of_path
from sparkscore.errors import MissingDependencyError, ModelLoadError, SignatureMismatchError
from sparkscore.minibatch import MiniBatch
from sparkscore.models import ResolvedModel, describe_model
from sparkscore.returned import NamedColumns, tabulate
from sparkscore.scorers import load_scorer
from sparkscore.scorers.failed import PartlyScored, ScorerFailedError
from sparkscore.scorers.mlflow import MlflowScorer
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import MlflowSpec
from sparkscore.signature.model_signature import ColumnInput, Feed, TensorInput

RANDOM = np.random.default_rng(4)
ROWS = 400
# Column by column, as pandas reads a file: a frame around one matrix has another layout, and BLAS rounds otherwise.
NUMBERS = pd.DataFrame(
    {name: RANDOM.normal(size=ROWS) * size for name, size in zip("abcd", (1, 1e3, 1e-3, 1e8), strict=True)}
)
HOLES = NUMBERS.mask(RANDOM.random((ROWS, 4)) < 0.1)
EXTREMES = pd.DataFrame({"a": [5e-324, 0.0], "b": [1e308, -1e308], "c": [-1e308, 1.0], "d": [-0.0, 5e-324]})
LABELS = (NUMBERS["a"] + NUMBERS["b"] / 1e3 > 0).astype("int64")
PEOPLE = pd.DataFrame({"site": ["x", "y", "z", "y"] * 100, "age": NUMBERS["a"]})

Save = Callable[[Path], Any]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def spec_of(folder: Path, **spec: Any) -> MlflowSpec:
    """Tell a worker about a model as the driver does; inputs without names take the columns of the same place."""
    sha256 = digest_of_path(folder)
    inputs = describe_model(ResolvedModel(folder, "m", "1", sha256), Model(path="m")).signature.inputs
    columns = spec.pop("columns", ("a", "b", "c", "d"))
    feeds = None if inputs is None else tuple(feed_of(each, inputs, columns) for each in inputs)
    return MlflowSpec(ModelFiles("m", "1", str(folder), sha256), spec.pop("feeds", feeds), **spec)


def feed_of(each: ColumnInput | TensorInput, inputs: tuple[Any, ...], columns: tuple[str, ...]) -> Feed:
    if isinstance(each, TensorInput):
        return Feed(each.name, (each.name,) if each.name else columns, each.type, each.shape)
    return Feed(each.name, (each.name or columns[inputs.index(each)],), each.type)


def score(spec: MlflowSpec, rows: pd.DataFrame | pa.Table) -> Any:
    scorer = load_scorer(spec)
    try:
        table = pa.Table.from_pandas(rows, preserve_index=False) if isinstance(rows, pd.DataFrame) else rows
        return scorer.score(MiniBatch("0", (), table))
    finally:
        scorer.close()


def plain(folder: Path, data: Any, **arguments: Any) -> Any:
    return mlflow.pyfunc.load_model(str(folder)).predict(data, **arguments)


def bits(values: Any) -> bytes:
    return np.ascontiguousarray(values).tobytes()


# --------------------------------------------------------------------------------------------------------- flavors


def save_sklearn(model: Any, folder: Path, x: Any, **arguments: Any) -> None:
    signature = infer_signature(x, np.asarray(model.predict(x)))
    arguments = {"signature": signature, "serialization_format": "cloudpickle", "pip_requirements": [], **arguments}
    mlflow.sklearn.save_model(model, folder, **arguments)


def save_pipeline(folder: Path) -> None:
    save_sklearn(make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, LABELS), folder, NUMBERS)


def save_forest(folder: Path) -> None:
    model = RandomForestRegressor(20, n_jobs=1, random_state=1).fit(NUMBERS, NUMBERS["b"])
    save_sklearn(model, folder, NUMBERS)


def save_skops(folder: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, LABELS)
    save_sklearn(model, folder, NUMBERS, serialization_format="skops")


def save_boosting(folder: Path) -> None:
    save_sklearn(HistGradientBoostingClassifier(max_iter=5).fit(HOLES, LABELS), folder, HOLES)


def save_classifier(folder: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(HOLES, LABELS)
    signature = infer_signature(HOLES, model.predict(HOLES))
    mlflow.xgboost.save_model(model, folder, signature=signature, pip_requirements=[])


def save_booster(folder: Path) -> None:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(HOLES, LABELS), 5)
    signature = infer_signature(HOLES, booster.predict(xgboost.DMatrix(HOLES)))
    mlflow.xgboost.save_model(booster, folder, signature=signature, pip_requirements=[])


def save_lightgbm(folder: Path) -> None:
    booster = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(HOLES, LABELS), 5)
    signature = infer_signature(HOLES, np.asarray(booster.predict(HOLES)))
    mlflow.lightgbm.save_model(booster, folder, signature=signature, pip_requirements=[])


FLAVORS: dict[str, tuple[Save, pd.DataFrame]] = {
    "sklearn pipeline": (save_pipeline, NUMBERS),
    "sklearn skops": (save_skops, NUMBERS),
    "sklearn forest": (save_forest, NUMBERS),
    "sklearn boosting": (save_boosting, pd.concat([HOLES, EXTREMES])),
    "xgboost classifier": (save_classifier, HOLES),
    "xgboost booster": (save_booster, HOLES),
    "lightgbm booster": (save_lightgbm, pd.concat([HOLES, EXTREMES])),
}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_flavor_scores_as_it_does_in_a_plain_process(flavor: str, tmp_path: Path) -> None:
    save, rows = FLAVORS[flavor]
    save(tmp_path / "m")

    scored = score(spec_of(tmp_path / "m"), rows[["d", "c", "b", "a"]])

    expected = plain(tmp_path / "m", rows)
    assert bits(scored) == bits(expected)
    assert tabulate(scored).table.column_names == ["prediction"]


def test_text_and_numbers_together_score_as_in_a_plain_process(tmp_path: Path) -> None:
    columns = ColumnTransformer([("site", OneHotEncoder(), ["site"]), ("age", StandardScaler(), ["age"])])
    model = make_pipeline(columns, LogisticRegression()).fit(PEOPLE, LABELS)
    save_sklearn(model, tmp_path / "m", PEOPLE)

    scored = score(spec_of(tmp_path / "m"), PEOPLE)

    assert bits(scored) == bits(plain(tmp_path / "m", PEOPLE))


def test_a_model_without_a_signature_gets_all_columns(tmp_path: Path) -> None:
    model = LogisticRegression().fit(NUMBERS, LABELS)
    save_sklearn(model, tmp_path / "m", NUMBERS, signature=None)

    spec = spec_of(tmp_path / "m")
    scored = score(spec, NUMBERS)

    assert spec.feeds is None
    assert bits(scored) == bits(model.predict(NUMBERS))


def test_a_model_saved_to_give_probabilities_gives_them(tmp_path: Path) -> None:
    model = LogisticRegression().fit(NUMBERS, LABELS)
    signature = infer_signature(NUMBERS, model.predict_proba(NUMBERS))
    save_sklearn(model, tmp_path / "m", NUMBERS, signature=signature, pyfunc_predict_fn="predict_proba")

    scored = score(spec_of(tmp_path / "m"), NUMBERS)

    outputs = describe_model(ResolvedModel(tmp_path / "m", "m", "1", ""), Model(path="m")).signature.outputs
    assert bits(scored) == bits(model.predict_proba(NUMBERS))
    assert tabulate(scored, outputs).table.schema.field("prediction").type == pa.list_(pa.float64())


def onnx_model(folder: Path, signature: ModelSignature | None) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, LABELS)
    graph = skl2onnx.to_onnx(model, NUMBERS.to_numpy(np.float32)[:1], options={"zipmap": False})
    mlflow.onnx.save_model(graph, folder, signature=signature, pip_requirements=[])
    return graph.graph


def test_the_onnx_flavor_gives_a_column_for_each_output(tmp_path: Path) -> None:
    matrix = NUMBERS.to_numpy(np.float32)
    onnx_model(tmp_path / "m", infer_signature(matrix))

    scored = score(spec_of(tmp_path / "m"), NUMBERS.astype("float32"))

    expected = plain(tmp_path / "m", matrix)
    assert isinstance(scored, NamedColumns)
    assert set(scored.columns) == set(expected) == {"label", "probabilities"}
    assert all(bits(scored.columns[name]) == bits(expected[name]) for name in expected)
    rows = tabulate(scored).table
    assert rows.column("probabilities").to_pylist() == expected["probabilities"].tolist()


# ----------------------------------------------------------------------------------------------------- custom pyfunc


class Echo(PythonModel):
    """Gives back whatever the function that it was made with makes of its input."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's own
        return self.function(model_input)


def save_pyfunc(folder: Path, model: Any, **arguments: Any) -> Path:
    mlflow.pyfunc.save_model(folder, python_model=model, **{"pip_requirements": [], **arguments})
    return folder


TWO = pd.DataFrame({"a": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda frame: frame["a"].to_numpy(), [{"prediction": 1.0}, {"prediction": 2.0}]),
        (lambda frame: frame["a"], [{"prediction": 1.0}, {"prediction": 2.0}]),
        (lambda frame: list(frame["a"]), [{"prediction": 1.0}, {"prediction": 2.0}]),
        (lambda frame: iter(list(frame["a"])), [{"prediction": 1.0}, {"prediction": 2.0}]),
        (lambda frame: [str(value) for value in frame["a"]], [{"prediction": "1.0"}, {"prediction": "2.0"}]),
        (lambda frame: frame["a"].set_axis([7, 3]), [{"prediction": 1.0}, {"prediction": 2.0}]),
        (lambda frame: frame.set_axis([7, 3]), [{"a": 1.0}, {"a": 2.0}]),
        (lambda frame: frame.assign(b=["x", None]), [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": None}]),
        (lambda frame: pd.DataFrame({0: frame["a"]}), [{"prediction": 1.0}, {"prediction": 2.0}]),
        (lambda frame: pd.DataFrame({0: frame["a"], 1: [3, 4]}), [{"c0": 1.0, "c1": 3}, {"c0": 2.0, "c1": 4}]),
        (lambda frame: [{"k": value} for value in frame["a"]], [{"k": 1.0}, {"k": 2.0}]),
        (lambda frame: {"k": frame["a"].to_numpy()}, [{"k": 1.0}, {"k": 2.0}]),
        (lambda _: {"k": [1, 2], "l": np.eye(2)}, [{"k": 1, "l": [1.0, 0.0]}, {"k": 2, "l": [0.0, 1.0]}]),
        (lambda _: np.eye(2), [{"prediction": [1.0, 0.0]}, {"prediction": [0.0, 1.0]}]),
        (lambda _: scipy.sparse.csr_matrix(np.eye(2)), [{"prediction": [1.0, 0.0]}, {"prediction": [0.0, 1.0]}]),
        (lambda _: [(1, "x"), (2, "y")], [{"c0": 1, "c1": "x"}, {"c0": 2, "c1": "y"}]),
    ],
)
def test_whatever_a_pyfunc_returns_becomes_rows(
    function: Callable[[Any], Any], expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    save_pyfunc(tmp_path / "m", Echo(function))

    scored = score(spec_of(tmp_path / "m"), TWO)

    assert tabulate(scored).table.to_pylist() == expected


def test_two_columns_of_one_name_are_not_silently_one(tmp_path: Path) -> None:
    save_pyfunc(tmp_path / "m", Echo(lambda frame: pd.concat([frame, frame], axis=1)))

    scored = score(spec_of(tmp_path / "m"), TWO)

    assert list(scored.columns) == ["a", "a"]


def test_a_matrix_in_the_signature_stays_one_where_the_flavor_gives_a_frame(tmp_path: Path) -> None:
    signature = ModelSignature(Schema([ColSpec("double", "a")]), Schema([TensorSpec(np.dtype("float64"), (-1, 1))]))
    save_pyfunc(tmp_path / "m", Echo(lambda frame: pd.DataFrame(frame.to_numpy())), signature=signature)

    scored = score(spec_of(tmp_path / "m"), TWO)

    assert tabulate(scored).table.to_pylist() == [{"prediction": [1.0]}, {"prediction": [2.0]}]


class Score(pydantic.BaseModel):
    name: str
    value: float


class Patient(pydantic.BaseModel):
    age: int
    name: str
    weights: list[float]
    note: str | None = None


class OfPatients(PythonModel):
    def predict(self, model_input: list[Patient]) -> list[Score]:  # type: ignore[override]
        return [Score(name=f"{each.name}{each.note}", value=sum(each.weights) * each.age) for each in model_input]


PATIENTS = [
    {"age": 3, "name": "ada", "weights": [0.1, 0.2], "note": None},
    {"age": 2**40 + 1, "name": "bob", "weights": [], "note": "x"},
]


def test_pydantic_type_hints_get_the_rows_as_they_are(tmp_path: Path) -> None:
    save_pyfunc(tmp_path / "m", OfPatients())
    types = pa.schema([("note", pa.string()), ("age", pa.int64()), ("name", pa.string())])
    rows = pa.Table.from_pylist(PATIENTS, types.append(pa.field("weights", pa.list_(pa.float64()))))

    scored = score(spec_of(tmp_path / "m"), rows)

    expected = [each.model_dump() for each in plain(tmp_path / "m", PATIENTS)]
    assert tabulate(scored).table.to_pylist() == expected


class OfTexts(PythonModel):
    def predict(self, model_input: list[str]) -> list[str]:  # type: ignore[override]
        return [text.upper() for text in model_input]


def test_a_list_of_texts_takes_one_column(tmp_path: Path) -> None:
    save_pyfunc(tmp_path / "m", OfTexts())

    scored = score(spec_of(tmp_path / "m", columns=("text",)), pa.table({"n": [1, 2], "text": ["ä", "b"]}))

    assert scored == ["Ä", "B"]


class OfNumbers(PythonModel):
    def predict(self, model_input: list[float]) -> list[str]:  # type: ignore[override]
        return [repr(value) for value in model_input]


def test_null_is_nan_for_a_list_of_floats_which_takes_no_none(tmp_path: Path) -> None:
    save_pyfunc(tmp_path / "m", OfNumbers())

    scored = score(spec_of(tmp_path / "m", columns=("x",)), pa.table({"x": [1.5, None]}))

    assert scored == ["1.5", "nan"]


def test_artifacts_and_code_paths_come_along_and_go_again(tmp_path: Path) -> None:
    code = tmp_path / "own"
    code.mkdir()
    (code / "own_words.py").write_text("def shout(text):\n    return text + '!'\n")
    (code / "own_late.py").write_text("SIGN = '?'\n")
    (tmp_path / "word.txt").write_text("hello")
    (tmp_path / "model_of_code.py").write_text(MODEL_OF_CODE)
    sys.path.insert(0, str(code))
    try:
        save_pyfunc(
            tmp_path / "m",
            str(tmp_path / "model_of_code.py"),
            artifacts={"word": str(tmp_path / "word.txt")},
            code_paths=[str(code / "own_words.py"), str(code / "own_late.py")],
        )
    finally:
        sys.path.remove(str(code))
        for name in ("own_words", "own_late"):
            sys.modules.pop(name, None)
    path = list(sys.path)

    scored = score(spec_of(tmp_path / "m"), TWO)

    assert scored == ["hello!?", "hello!?"]
    assert sys.path == path
    assert not {"own_words", "own_late"} & sys.modules.keys()


MODEL_OF_CODE = """
import mlflow
import own_words

class Own(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        with open(context.artifacts["word"]) as file:
            self.word = file.read()

    def predict(self, context, model_input):
        import own_late
        return [own_words.shout(self.word) + own_late.SIGN] * len(model_input)

mlflow.models.set_model(Own())
"""


class Scaled(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's own
        return model_input["a"] * params["factor"] + params["add"]

    def halves(self, model_input: Any, *, add: float = 0.0) -> Any:
        return model_input["a"] / 2 + add


@pytest.mark.parametrize(("params", "expected"), [((), [3.0, 6.0]), ((("factor", 10), ("add", 1)), [11.0, 21.0])])
def test_parameters_reach_predict(
    params: tuple[tuple[str, object], ...], expected: list[float], tmp_path: Path
) -> None:
    signature = infer_signature(TWO, np.array([1.0]), params={"factor": 3.0, "add": 0.0})
    save_pyfunc(tmp_path / "m", Scaled(), signature=signature)

    scored = score(spec_of(tmp_path / "m", params=params), TWO)

    assert list(scored) == expected


# ---------------------------------------------------------------------------------------------------- other methods


def test_one_method_gives_its_values_and_several_a_column_each(tmp_path: Path) -> None:
    model = LogisticRegression().fit(NUMBERS, LABELS)
    save_sklearn(model, tmp_path / "m", NUMBERS)

    alone = score(spec_of(tmp_path / "m", predict_fn=("predict_proba",)), NUMBERS)
    both = score(spec_of(tmp_path / "m", predict_fn=("predict", "predict_proba")), NUMBERS)

    assert bits(alone) == bits(model.predict_proba(NUMBERS))
    assert list(both.columns) == ["predict", "predict_proba"]
    assert bits(both.columns["predict"]) == bits(model.predict(NUMBERS))
    assert bits(both.columns["predict_proba"]) == bits(model.predict_proba(NUMBERS))
    assert tabulate(both).table.num_rows == ROWS


def test_methods_of_a_python_model_take_rows_and_parameters(tmp_path: Path) -> None:
    save_pyfunc(tmp_path / "m", Scaled(), signature=infer_signature(TWO, np.array([1.0])))

    scored = score(spec_of(tmp_path / "m", predict_fn=("halves",), params=(("add", 1.0),)), TWO)

    assert list(scored) == [1.5, 2.0]


def test_a_method_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    save_pipeline(tmp_path / "m")

    with pytest.raises(ModelLoadError) as caught:
        load_scorer(spec_of(tmp_path / "m", predict_fn=("predict_probability",)))

    assert caught.value.code == "MODEL_METHOD"
    assert "'predict_proba'" in caught.value.expected


# ------------------------------------------------------------------------------------------------- types of columns


class Recording(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's own
        import test_seen  # type: ignore[import-not-found]  # noqa: PLC0415

        test_seen.SEEN.append(model_input)
        return np.zeros(len(next(iter(model_input.values()))) if isinstance(model_input, dict) else len(model_input))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    module = type(sys)("test_seen")
    module.SEEN = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "test_seen", module)
    found: list[Any] = module.SEEN
    return found


STRUCT = Object([Property("k", "long"), Property("l", Array("double"), required=False)])


def test_columns_arrive_with_the_dtypes_of_the_signature(tmp_path: Path, seen: list[Any]) -> None:
    specs: dict[str, Any] = {
        "flag": "boolean",
        "small": "integer",
        "big": "long",
        "half": "float",
        "full": "double",
        "text": "string",
        "bytes": "binary",
        "when": "datetime",
        "list": Array("double"),
        "map": Map("long"),
        "struct": STRUCT,
    }
    signature = ModelSignature(Schema([ColSpec(type_, name) for name, type_ in specs.items()]))
    save_pyfunc(tmp_path / "m", Recording(), signature=signature)
    row: dict[str, Any] = {
        "flag": True,
        "small": -3,
        "big": 2**53 + 1,
        "half": 0.5,
        "full": 0.1,
        "text": "ä",
        "bytes": b"\x00\xff",
        "when": dt.datetime(2024, 2, 29, 1, 2, 3, 4),  # noqa: DTZ001 - MLflow takes those without a zone
        "list": [0.1, 0.2],
        "map": {"x": 1},
        "struct": {"k": 1, "l": [0.5]},
    }
    types = {each.name: each.type for each in spec_of(tmp_path / "m").feeds or ()}
    table = pa.table(
        {name: pa.array([list(v.items()) if name == "map" else v], types[name]) for name, v in row.items()}
    )

    score(spec_of(tmp_path / "m"), table)

    (frame,) = seen
    dtypes = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert list(dtypes) == list(row)
    assert dtypes["small"] == "int32"
    assert dtypes["half"] == "float32"
    assert dtypes["when"] == "datetime64[ns]"
    got = frame.to_dict("records")[0]
    assert got["when"] == pd.Timestamp(row["when"])
    assert list(got["list"]) == row["list"]
    assert (got["struct"]["k"], list(got["struct"]["l"])) == (1, [0.5])
    assert {name: got[name] for name in ("flag", "small", "big", "half", "full", "text", "bytes", "map")} == {
        name: row[name] for name in ("flag", "small", "big", "half", "full", "text", "bytes", "map")
    }


def test_a_lone_object_without_a_name_gets_the_columns_as_one_dict(tmp_path: Path, seen: list[Any]) -> None:
    save_pyfunc(tmp_path / "m", Recording(), signature=ModelSignature(Schema([ColSpec(STRUCT)])))

    score(spec_of(tmp_path / "m"), pa.table({"l": [[0.5], [1.5]], "k": [1, 2]}))

    assert seen[0].iloc[:, 0].tolist() == [{"k": 1, "l": [0.5]}, {"k": 2, "l": [1.5]}]


def test_columns_that_the_signature_numbers_are_numbered(tmp_path: Path, seen: list[Any]) -> None:
    signature = infer_signature(pd.DataFrame({0: [1.0], 1: ["x"]}))
    save_pyfunc(tmp_path / "m", Recording(), signature=signature)

    score(spec_of(tmp_path / "m"), pa.table({"a": [1.0], "b": ["x"]}))

    assert list(seen[0].columns) == [0, 1]


def test_columns_without_names_keep_the_inputs_own(tmp_path: Path, seen: list[Any]) -> None:
    signature = ModelSignature(Schema([ColSpec("double"), ColSpec("string")]))
    save_pyfunc(tmp_path / "m", Recording(), signature=signature)

    score(spec_of(tmp_path / "m"), pa.table({"a": [1.0], "b": ["x"]}))

    assert seen[0].to_dict("list") == {"a": [1.0], "b": ["x"]}


def test_named_tensors_arrive_as_a_dict_of_arrays(tmp_path: Path, seen: list[Any]) -> None:
    schema = Schema([TensorSpec(np.dtype("str"), (-1,), "s"), TensorSpec(np.dtype("float32"), (-1, 2), "f")])
    save_pyfunc(tmp_path / "m", Recording(), signature=ModelSignature(schema))

    score(
        spec_of(tmp_path / "m"), pa.table({"f": pa.array([[1, 2], [3, 4]], pa.list_(pa.float32())), "s": ["x", "yy"]})
    )

    (tensors,) = seen
    assert (tensors["s"].dtype.kind, tensors["s"].tolist()) == ("U", ["x", "yy"])
    assert (tensors["f"].dtype, tensors["f"].tolist()) == (np.dtype("float32"), [[1.0, 2.0], [3.0, 4.0]])


# ------------------------------------------------------------------------------------------------------------- files


def image(path: Path, level: int) -> str:
    Image.fromarray(np.full((2, 2, 3), level, np.uint8)).save(path)
    return str(path)


class Brightness(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's own
        if isinstance(model_input, pd.DataFrame):
            return [len(content) for content in model_input.iloc[:, 0]]
        return model_input.reshape(len(model_input), -1).mean(axis=1)


def score_files(spec: MlflowSpec, files: list[str]) -> Any:
    scorer = load_scorer(spec)
    try:
        return scorer.score(MiniBatch("0", tuple(files)))
    finally:
        scorer.close()


def images_spec(folder: Path, schema: Schema) -> MlflowSpec:
    save_pyfunc(folder, Brightness(), signature=ModelSignature(schema))
    spec = spec_of(folder)
    assert spec.feeds is not None
    (feed,) = spec.feeds
    return spec_of(folder, feeds=(Feed(feed.name, (), feed.type, feed.shape),))


PIXELS = Schema([TensorSpec(np.dtype("uint8"), (-1, 2, 2, 3))])


def test_images_become_the_tensor_of_the_signature(tmp_path: Path) -> None:
    files = [image(tmp_path / f"{level}.png", level) for level in (0, 100, 200)]

    assert list(score_files(images_spec(tmp_path / "m", PIXELS), files)) == [0.0, 100.0, 200.0]


def test_a_corrupt_image_is_that_files_failure(tmp_path: Path) -> None:
    files = [image(tmp_path / "1.png", 1), str(tmp_path / "bad.png"), image(tmp_path / "3.png", 3)]
    (tmp_path / "bad.png").write_bytes(b"no image")

    scored = score_files(images_spec(tmp_path / "m", PIXELS), files)
    none = score_files(images_spec(tmp_path / "n", PIXELS), files[1:2])

    assert isinstance(scored, PartlyScored)
    assert list(scored.returned) == [1.0, 3.0]  # type: ignore[call-overload]
    assert [each.position for each in scored.failures] == [1]
    assert (none.returned, [each.position for each in none.failures]) == ([], [0])


@pytest.mark.parametrize("name", ["content", None])
def test_a_binary_column_gets_what_the_files_hold(name: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(b"\x00" * 3)
    (tmp_path / "b.dat").write_bytes(b"")

    spec = images_spec(tmp_path / "m", Schema([ColSpec("binary", name)]))

    assert score_files(spec, [str(tmp_path / "a.dat"), str(tmp_path / "b.dat")]) == [3, 0]


def test_files_for_a_model_of_rows_are_refused(tmp_path: Path) -> None:
    save_pipeline(tmp_path / "m")
    save_pyfunc(tmp_path / "n", Echo(len))

    for folder in (tmp_path / "m", tmp_path / "n"):
        with pytest.raises(SignatureMismatchError) as caught:
            score_files(spec_of(folder), ["a.png"])
        assert caught.value.code == "MODEL_INPUT"


# ---------------------------------------------------------------------------------------------------------- failures


def fails(_: Any) -> Any:
    raise ValueError("no such patient")


def exits(_: Any) -> Any:
    sys.exit(3)


@pytest.mark.parametrize(("function", "error_class"), [(fails, "ValueError"), (exits, "SystemExit")])
def test_what_predict_raises_is_a_failure(function: Callable[[Any], Any], error_class: str, tmp_path: Path) -> None:
    save_pyfunc(tmp_path / "m", Echo(function))

    with pytest.raises(ScorerFailedError) as caught:
        score(spec_of(tmp_path / "m"), TWO)

    assert (caught.value.failure.code, caught.value.failure.error_class) == ("MODEL_PREDICT", error_class)


def test_a_model_that_does_not_load_is_a_failure(tmp_path: Path) -> None:
    save_pipeline(tmp_path / "m")
    (tmp_path / "m" / "model.pkl").write_bytes(b"broken")

    with pytest.raises(ScorerFailedError) as caught:
        load_scorer(spec_of(tmp_path / "m"))

    assert caught.value.failure.code == "MODEL_LOAD"


def test_without_mlflow_on_the_worker_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pyfunc(tmp_path / "m", Echo(len))
    spec = spec_of(tmp_path / "m")
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(MissingDependencyError):
        load_scorer(spec)


def test_an_unloaded_scorer_says_so(tmp_path: Path) -> None:
    save_pyfunc(tmp_path / "m", Echo(len))

    with pytest.raises(RuntimeError):
        MlflowScorer(spec_of(tmp_path / "m")).score(MiniBatch("0", (), pa.table({"a": [1]})))


def test_mlflow_says_nothing_and_asks_no_tracking_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    save_sklearn(LogisticRegression().fit(NUMBERS, LABELS), tmp_path / "m", NUMBERS, pip_requirements=["numpy==0.1"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    before, environment = sorted(tmp_path.iterdir()), dict(os.environ)
    capfd.readouterr()

    score(spec_of(tmp_path / "m"), NUMBERS)

    assert capfd.readouterr() == ("", "")
    assert (sorted(tmp_path.iterdir()), dict(os.environ)) == (before, environment)
    assert logging.getLogger("mlflow").level < logging.CRITICAL


def test_the_spec_is_plain(tmp_path: Path) -> None:
    save_pipeline(tmp_path / "m")
    spec = spec_of(tmp_path / "m")

    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301 - as Spark sends it


def test_parameters_of_all_kinds_survive_mlflows_own_check(tmp_path: Path, seen: list[Any]) -> None:
    params = ParamSchema([ParamSpec("n", "long", 1), ParamSpec("l", "double", [1.0], (-1,))])
    signature = ModelSignature(Schema([ColSpec("double", "a")]), params=params)
    save_pyfunc(tmp_path / "m", Recording(), signature=signature)

    score(spec_of(tmp_path / "m", params=(("n", 2), ("l", [1, 2.5]))), TWO)

    assert len(seen) == 1
