"""What MLflow's own predict takes where a signature says that a value may be missing, the model gets here, too."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types.schema import Array, ColSpec, Map, Object, Property, Schema

from sparkscore.config import Model
from sparkscore.digest import digest_of_path
from sparkscore.errors import SignatureMismatchError
from sparkscore.minibatch import MiniBatch
from sparkscore.models import ResolvedModel, describe_model
from sparkscore.scorers import load_scorer
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import MlflowSpec
from sparkscore.signature.matching import columns_without_null, match_inputs

pytestmark = pytest.mark.filterwarnings("ignore")
FIELDS = [
    Property("n", "long", required=False), Property("b", "boolean", required=False), Property("s", "string"),
    Property("l", Array("long"), required=False),
]  # fmt: skip
OBJECT = Object(FIELDS)


class Recorder(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's own
        import seen_inputs  # type: ignore[import-not-found]  # noqa: PLC0415

        seen_inputs.SEEN.append(model_input)
        return [0.5] * len(model_input)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    module: Any = type(sys)("seen_inputs")
    module.SEEN = []
    monkeypatch.setitem(sys.modules, "seen_inputs", module)
    found: list[Any] = module.SEEN
    return found


def save(folder: Path, *specs: ColSpec) -> Path:
    signature = ModelSignature(Schema(list(specs)))
    mlflow.pyfunc.save_model(folder, python_model=Recorder(), signature=signature, pip_requirements=[])
    return folder


def spec_of(folder: Path, rows: pa.Table, **dtypes: Any) -> MlflowSpec:
    """Tell a worker about a model as the driver does."""
    sha256 = digest_of_path(folder)
    inputs = describe_model(ResolvedModel(folder, "m", "1", sha256), Model(path="m")).signature.inputs
    feeds = match_inputs(inputs or (), rows.schema, {}, rounds=False)
    return MlflowSpec(ModelFiles("m", "1", str(folder), sha256), feeds, dtypes=Dtypes(**dtypes))


def score(folder: Path, rows: pa.Table, **dtypes: Any) -> Any:
    scorer = load_scorer(spec_of(folder, rows, **dtypes))
    try:
        return scorer.score(MiniBatch("0", (), rows))
    finally:
        scorer.close()


def shown(value: Any) -> Any:
    """Write a value with the kind of everything in it; an array counts as a list."""
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [shown(item) for item in value.tolist()]
    return [shown(item) for item in value] if isinstance(value, list) else (type(value).__name__, str(value))


def assert_as_mlflow(folder: Path, seen: list[Any], rows: pa.Table, own: pd.DataFrame, **dtypes: Any) -> None:
    score(folder, rows, **dtypes)
    mlflow.pyfunc.load_model(str(folder)).predict(own)
    ours, theirs = seen[-2:]
    assert ours.dtypes.tolist() == theirs.dtypes.tolist()
    for name in theirs:
        assert [shown(value) for value in ours[name]] == [shown(value) for value in theirs[name]]


def test_an_optional_boolean_may_be_null(tmp_path: Path, seen: list[Any]) -> None:
    folder = save(tmp_path / "m", ColSpec("boolean", "f", required=False), ColSpec("double", "x"))
    rows = pa.table({"f": [True, None, False], "x": [1.0, None, 3.0]})

    assert columns_without_null(spec_of(folder, rows).feeds or ()) == {}
    assert_as_mlflow(folder, seen, rows, rows.to_pandas(), with_null=frozenset({"f"}))
    assert seen[-1]["f"].tolist() == [True, None, False]
    assert_as_mlflow(folder, seen, rows.slice(2), rows.slice(2).to_pandas())
    score(folder, rows.slice(2), with_null=frozenset({"f"}))
    assert seen[-1].dtypes.tolist() == [object, "float64"]
    assert seen[-1]["f"].tolist() == [False]


def test_a_required_boolean_and_any_integer_is_not_null(tmp_path: Path, seen: list[Any]) -> None:
    folder = save(tmp_path / "m", ColSpec("boolean", "f"), ColSpec("long", "n", required=False))
    columns: dict[str, list[Any]] = {"f": [True, True], "n": [1, 2]}

    for name in columns:
        rows = pa.table({**columns, name: [columns[name][0], None]})
        assert set(columns_without_null(spec_of(folder, rows).feeds or ())) == {"f", "n"}
        with pytest.raises(SignatureMismatchError, match=f"'{name}': got 1 NULLs"):
            score(folder, rows)
    with pytest.raises(mlflow.MlflowException, match="Incompatible input types for column n"):
        mlflow.pyfunc.load_model(str(folder)).predict(pa.table({**columns, "n": [1, None]}).to_pandas())
    assert seen == []


def test_optional_fields_of_an_object_may_be_null_beside_integers(tmp_path: Path, seen: list[Any]) -> None:
    folder = save(tmp_path / "m", ColSpec(OBJECT, "o"), ColSpec(Array(OBJECT), "many"), ColSpec(Map("long"), "m"))
    objects: list[dict[str, Any]] = [
        {"n": 2**53 + 1, "b": True, "s": "a", "l": [1, 2]},
        {"n": None, "b": None, "s": "b", "l": None},
        {"n": 3, "b": False, "s": "c", "l": [3]},
    ]
    fields = pa.struct([("n", pa.int64()), ("b", pa.bool_()), ("s", pa.string()), ("l", pa.list_(pa.int64()))])
    maps = [[("k", 1)], [("k", 2)], []]
    rows = pa.table(
        {
            "o": pa.array(objects, fields),
            "many": pa.array([objects[:2], objects[2:], []], pa.list_(fields)),
            "m": pa.array(maps, pa.map_(pa.string(), pa.int64())),
        }
    )
    own = pd.DataFrame({"o": objects, "many": [objects[:2], objects[2:], []], "m": [dict(each) for each in maps]})

    assert_as_mlflow(folder, seen, rows, own)
    assert seen[-2]["o"][0]["n"] == 2**53 + 1


def test_optional_fields_that_are_not_there_stay_away(tmp_path: Path, seen: list[Any]) -> None:
    folder = save(tmp_path / "m", ColSpec(OBJECT, "o"), ColSpec(Array(OBJECT), "many"))
    rows = pa.table({"o": [{"s": "a", "b": True}, {"s": "b", "b": False}], "many": [[{"s": "c"}], []]})

    assert_as_mlflow(folder, seen, rows, pd.DataFrame({name: rows.column(name).to_pylist() for name in ("o", "many")}))
    assert seen[-2]["o"].tolist() == [{"b": True, "s": "a"}, {"b": False, "s": "b"}]


@pytest.mark.parametrize("given", [{"n": 1}, {"other": 1}])
def test_a_field_that_is_required_must_be_there(tmp_path: Path, seen: list[Any], given: dict[str, int]) -> None:
    folder = save(tmp_path / "m", ColSpec(OBJECT, "o"))

    with pytest.raises(SignatureMismatchError, match="column 'o'"):
        score(folder, pa.table({"o": [given]}))
    assert seen == []


def test_an_optional_object_may_be_null_and_a_required_one_not(tmp_path: Path, seen: list[Any]) -> None:
    rows = pa.table({"o": pa.array([{"s": "a", "n": 1}, None], pa.struct([("s", pa.string()), ("n", pa.int64())]))})
    own = pd.DataFrame({"o": [{"s": "a", "n": 1}, None]})

    assert_as_mlflow(save(tmp_path / "optional", ColSpec(OBJECT, "o", required=False)), seen, rows, own)
    with pytest.raises(ScorerFailedError):
        score(save(tmp_path / "required", ColSpec(OBJECT, "o")), rows)


@pytest.mark.parametrize(
    ("column", "inside"),
    [
        ([["a", None], ["b"]], Array("string")),
        ([[True, None], [False]], Array("boolean")),
        ([{"s": "a", "l": ["x", None]}], Object([Property("s", "string"), Property("l", Array("string"))])),
        ([[["a"], [None]]], Array(Array("string"))),
    ],
)
def test_what_mlflow_makes_another_value_of_is_refused(
    tmp_path: Path, seen: list[Any], column: list[Any], inside: Any
) -> None:
    """MLflow 3.17 makes 'None' and False of a missing element."""
    folder = save(tmp_path / "m", ColSpec(inside, "the column"))

    with pytest.raises(SignatureMismatchError, match="'the column'") as caught:
        score(folder, pa.table({"the column": column}))

    assert caught.value.code == "MODEL_INPUT_VALUE"
    assert seen == []
    assert score(folder, pa.table({"the column": column}).slice(1)) is not None


def test_what_mlflow_makes_another_value_of_is_refused_in_an_object_without_a_name(
    tmp_path: Path, seen: list[Any]
) -> None:
    folder = tmp_path / "m"
    inside = Object([Property("n", "long"), Property("l", Array("string"))])
    signature = ModelSignature(Schema([ColSpec(inside)]))
    mlflow.pyfunc.save_model(folder, python_model=Recorder(), signature=signature, pip_requirements=[])
    rows = pa.table({"n": [1, 2], "l": [["a", None], ["b"]]})

    with pytest.raises(SignatureMismatchError, match=r"\[MODEL_INPUT_VALUE\].*'l'"):
        score(folder, rows)

    assert seen == []
    score(folder, rows.slice(1))
    (value,) = seen[-1].iloc[:, 0]
    assert (value["n"], list(value["l"])) == (2, ["b"])


class Person(pydantic.BaseModel):
    name: str
    age: int | None = None
    member: bool | None = None


class Hinted(PythonModel):
    def predict(self, model_input: list[Person]) -> list[str]:  # type: ignore[override]  # MLflow looks at the hint
        return [f"{each.name} {each.age!r} {each.member!r}" for each in model_input]


def test_optional_fields_of_a_type_hint_may_be_null_or_away(tmp_path: Path, seen: list[Any]) -> None:
    del seen
    mlflow.pyfunc.save_model(tmp_path / "m", python_model=Hinted(), pip_requirements=[])
    rows = pa.table({"name": ["a", "b"], "age": [2**53 + 1, None], "member": [None, True]})

    assert list(score(tmp_path / "m", rows)) == [f"a {2**53 + 1} None", "b None True"]
    assert list(score(tmp_path / "m", rows.select(["name"]))) == ["a None None", "b None None"]


@pytest.mark.parametrize(
    "values",
    [
        [[[1.0, 2.0], []], [[3.0]], []],
        [[[1.0, 2.0], [3.0, 4.0]], [[5.0]], [[], []]],
        [[[1.0, 2.0], [3.0]], [[4.0, 5.0], [6.0, 7.0]]],
    ],
)
def test_lists_of_lists_may_be_of_any_lengths(values: list[Any], tmp_path: Path, seen: list[Any]) -> None:
    inner = Array(Array("double"))
    folder = save(tmp_path / "m", ColSpec(inner, "a"), ColSpec(Object([Property("deep", inner)]), "o"))
    kind = pa.list_(pa.list_(pa.float64()))
    rows = pa.table(
        {"a": pa.array(values, kind), "o": pa.array([{"deep": v} for v in values], pa.struct([("deep", kind)]))}
    )

    assert_as_mlflow(folder, seen, rows, pd.DataFrame({"a": values, "o": [{"deep": each} for each in values]}))


def test_lists_of_texts_in_lists_may_be_of_any_lengths(tmp_path: Path, seen: list[Any]) -> None:
    folder = save(tmp_path / "m", ColSpec(Array(Array("string")), "a"))
    values = [[["x", "y"], ["z"]], [[]]]
    rows = pa.table({"a": pa.array(values, pa.list_(pa.list_(pa.string())))})

    assert_as_mlflow(folder, seen, rows, pd.DataFrame({"a": values}))
