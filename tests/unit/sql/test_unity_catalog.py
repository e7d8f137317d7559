"""The statement for Unity Catalog: its handler runs without sparkscore, and gives the values of the model."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
import xgboost
from sklearn.linear_model import LinearRegression

from sparkscore.errors import ConfigError, SignatureMismatchError
from sparkscore.signature.model_signature import Feed
from sparkscore.sql import SqlFunction, prepare_function, unity_catalog
from sparkscore.sql.unity_catalog import create_statement
from tests.support import flavors

INPUT = ", ".join(f"{name} double" for name in flavors.FEATURES)
# No site-packages but those that are named: what is installed for development is out of sight.
EMPTY = """
import importlib.util, json, sys
sys.path.append(sys.argv[1])
assert importlib.util.find_spec("sparkscore") is None
scope = {}
exec(sys.stdin.read(), scope)
import pandas as pd
first = pd.Series([30, None, 2**53 + 1, 50]), pd.Series([20.0, 21.0, 22.0, 23.0])
frames = scope["score"](iter([first, (pd.Series([30]), pd.Series([2.0]))]))
print(json.dumps([frame.astype(object).where(frame.notna(), None).to_dict("records") for frame in frames]))
assert not {"pyspark", "sparkscore"} & set(sys.modules)
"""


class Sum:
    """A model without packages: its prediction is the sum of its columns."""

    def predict(self, rows: Any) -> Any:
        return np.asarray(rows).sum(axis=1)


def function_of(path: Path, **settings: Any) -> SqlFunction:
    given = {"input.schema": INPUT, "output.schema": "risk double", "trust": "code", **settings}
    return prepare_function("predict", path, given)


def body_of(statement: str) -> str:
    _, _, body = statement.partition("AS $$\n")
    assert body.endswith("$$;")
    assert body.count("$$") == 1
    assert "__future__" not in body
    return body[:-3]


def scored(statement: str, frame: pd.DataFrame) -> pd.DataFrame:
    scope: dict[str, Any] = {}
    exec(compile(body_of(statement), "<body>", "exec"), scope)  # noqa: S102 - what Databricks does
    (result,) = scope["score"](iter([tuple(frame[name] for name in frame)]))
    assert result["error"].isna().all()
    return pd.DataFrame(result)


def test_the_handler_runs_in_an_interpreter_that_has_only_the_packages_of_the_statement(tmp_path: Path) -> None:
    rows = pd.DataFrame({"age": [20.0, 30.0, 45.0], "bmi": [20.0, 25.0, 31.0]})
    model = LinearRegression().fit(rows, rows["age"] * 2 + rows["bmi"])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    schema = "age bigint NOT NULL COMMENT 'it''s $$ years', bmi double"
    settings = {"input.schema": schema, "model.framework": "sklearn", "sql.arguments": {"bmi": {"default": 25.0}}}

    statement = create_statement(function_of(tmp_path / "model.pkl", **settings), "main.models.heart")
    site = str(Path(sklearn.__file__).parents[1])
    command = [sys.executable, "-I", "-S", "-c", EMPTY, site]
    ended = subprocess.run(command, input=body_of(statement), capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    first, second = json.loads(ended.stdout)
    expected = model.predict(pd.DataFrame({"age": [30.0, 50.0, 30.0], "bmi": [20.0, 23.0, 2.0]}))
    assert [first[0]["risk"], first[3]["risk"], second[0]["risk"]] == list(expected)
    assert [row["error"] for row in first] == [
        None,
        "argument 'age': got NULL",
        "argument 'age': got an integer from 2^53 on beside a NULL, which pandas may have rounded",
        None,
    ]
    head = statement.partition("AS $$")[0]
    assert head.startswith("-- NOT TRIED")
    assert "CREATE OR REPLACE FUNCTION main.models.heart(\n  `age` BIGINT COMMENT 'it\\'s $$ years'" in head
    assert (
        "`bmi` DOUBLE DEFAULT 25.0D)\nRETURNS STRUCT<`risk`: DOUBLE, `error`: STRING, `model_version`: STRING>" in head
    )
    assert f"dependencies = '[\"scikit-learn=={sklearn.__version__}\"]'" in head
    assert "PARAMETER STYLE PANDAS\nHANDLER 'score'" in head


@pytest.mark.parametrize(
    ("save", "file", "settings"),
    [
        (flavors.save_xgboost_json, "model.json", {"model.framework": "xgboost", "output.schema": "risk float"}),
        (flavors.save_lightgbm_text, "model.txt", {"model.framework": "lightgbm"}),
    ],
)
def test_trees_give_the_same_values(
    tmp_path: Path, save: Callable[[Path], None], file: str, settings: dict[str, Any]
) -> None:
    save(tmp_path / file)
    frame = flavors.training_data()[0].head(20)

    found = scored(create_statement(function_of(tmp_path / file, **settings)), frame)["risk"]

    assert found.tolist() == predicted(tmp_path / file, frame).tolist()
    assert len(set(found)) > 1


def predicted(path: Path, frame: pd.DataFrame) -> Any:
    if path.suffix == ".json":
        return xgboost.Booster(model_file=path).predict(xgboost.DMatrix(frame))
    return lightgbm.Booster(model_file=path).predict(frame)


def test_onnx_gives_the_same_values(tmp_path: Path) -> None:
    flavors.save_onnx(tmp_path / "model.onnx")
    schema = INPUT.replace("double", "float")
    settings = {"input.schema": schema, "output.schema": "output_label bigint", "columns.output_label": "label"}
    frame = flavors.training_data()[0].head(20).astype("float32")

    found = scored(create_statement(function_of(tmp_path / "model.onnx", **settings)), frame)["label"]

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (expected,) = session.run(["output_label"], {session.get_inputs()[0].name: frame.to_numpy()})
    assert found.tolist() == expected.tolist()
    assert found.dtype == "Int64"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Sum()))
    return path


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model.predict_fn": ["predict", "score"]}, "other methods"),
        ({"model.params": {"a": 1}}, "other methods"),
        ({"input.schema": "a array<double>"}, "column 'a' of type list"),
        ({"output.schema": "risk date"}, "column 'risk' of type date32"),
    ],
)
def test_what_a_statement_cannot_express_is_refused(model: Path, settings: dict[str, Any], told: str) -> None:
    function = function_of(model, **{"model.framework": "sklearn", **settings})

    with pytest.raises(ConfigError, match=told) as caught:
        create_statement(function)
    assert str(caught.value).startswith("[SQL_UNSUPPORTED] function 'predict' as a statement for Unity Catalog")
    assert "sparkscore.register_function" in str(caught.value)


def test_a_script_and_a_model_of_mlflow_are_refused(make: Callable[..., SqlFunction], tmp_path: Path) -> None:
    flavors.save_sklearn(tmp_path / "heart")

    with pytest.raises(ConfigError, match="got a scoring script"):
        create_statement(make())
    with pytest.raises(ConfigError, match="got a model of format 'mlflow'"):
        create_statement(prepare_function("predict", tmp_path / "heart", {"trust": "code"}))


def test_a_double_for_a_float_of_the_model_is_refused_unless_it_may_be_rounded(tmp_path: Path) -> None:
    flavors.save_onnx(tmp_path / "model.onnx")
    settings = {"output.schema": "output_label bigint"}

    with pytest.raises(SignatureMismatchError, match="got double, expected float"):
        create_statement(function_of(tmp_path / "model.onnx", **settings))
    assert create_statement(function_of(tmp_path / "model.onnx", **settings, **{"model.round_inputs": True}))


@pytest.mark.parametrize(("given", "is_exact"), [("int", True), ("float", True), ("bigint", False)])
def test_a_number_that_a_double_may_not_hold_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, given: str, *, is_exact: bool
) -> None:
    feed = Feed("a", ("a",), pa.float64())
    monkeypatch.setattr(unity_catalog, "feeds_of", lambda _: (feed,))
    function = function_of(model, **{"model.framework": "sklearn", "input.schema": f"a {given}"})

    with nullcontext() if is_exact else pytest.raises(ConfigError, match="argument 'a' of type int64 for double"):
        assert f"`a` {given.upper()})" in create_statement(function)


def test_columns_that_a_graph_does_not_return_are_refused(tmp_path: Path) -> None:
    flavors.save_onnx(tmp_path / "model.onnx")
    function = function_of(tmp_path / "model.onnx", **{"input.schema": INPUT.replace("double", "float")})

    with pytest.raises(ConfigError, match=r"columns 'risk' in 'output\.schema'"):
        create_statement(function)


def test_texts_for_trees_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flavors.save_lightgbm_text(tmp_path / "model.txt")
    monkeypatch.setattr(unity_catalog, "feeds_of", lambda _: None)
    settings = {"model.framework": "lightgbm", "input.schema": "a string"}

    with pytest.raises(ConfigError, match="the text argument 'a'"):
        create_statement(function_of(tmp_path / "model.txt", **settings))


def test_a_package_that_is_not_here_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unity_catalog, "packages_distributions", dict)

    with pytest.raises(ConfigError, match="got no package 'sklearn' here"):
        create_statement(function_of(model, **{"model.framework": "sklearn"}))


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "NULL"),
        ("it's \\ $", "'it\\'s \\\\ $'"),
        (0.1, "0.1D"),
        (float("nan"), "DOUBLE('nan')"),
        (True, "True"),
        (2**60, "1152921504606846976"),
    ],
)
def test_defaults_are_literals_of_sql(value: object, literal: str) -> None:
    assert unity_catalog.literal_of(value) == literal


def test_a_model_that_is_too_large_is_refused(model: Path) -> None:
    model.write_bytes(np.random.default_rng(1).bytes(1 << 20))

    with pytest.raises(ConfigError, match="got a statement of 1,4"):
        create_statement(function_of(model, **{"model.framework": "sklearn"}))


@pytest.mark.parametrize("name", ["a.b.c.d", "a b", "", "a;DROP TABLE b", "größe"])
def test_another_name_is_refused(model: Path, name: str) -> None:
    function = function_of(model, **{"model.framework": "sklearn"})
    if not name:
        assert "FUNCTION predict(" in create_statement(function, name)
        return
    with pytest.raises(ConfigError, match=r"\[SQL_NAME\]"):
        create_statement(function, name)
