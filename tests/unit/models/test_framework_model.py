from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from sparkscore.errors import ModelLoadError, SignatureMismatchError
from sparkscore.models import ModelDescription, ResolvedModel
from sparkscore.models.framework_model import describe_framework
from sparkscore.scorers.specs import Framework
from sparkscore.signature.matching import match_inputs
from sparkscore.signature.model_signature import ColumnInput
from sparkscore.worker.result import read_returned

WHOLE = ColumnInput("visits", None, accepts=("number", "boolean"))
X = pd.DataFrame(
    {
        "age": np.arange(60.0),
        "visits": np.arange(60) % 7,
        "site": pd.Categorical(["a", "b", "c"] * 20),
    }
)
Y = np.arange(60) % 2
LIGHTGBM = {"verbose": -1, "min_data_in_leaf": 2, "num_threads": 1}


def number(name: str | None) -> ColumnInput:
    """A double, an integer that one holds, or a boolean, which is an exact double."""
    return ColumnInput(name, pa.float64(), accepts=("integer", "boolean"))


def described(path: Path, framework: Framework) -> ModelDescription:
    return describe_framework(ResolvedModel(path, path.stem, "1", "0" * 64), framework)


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_a_booster_names_its_features_and_what_they_are(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{ending}"
    data = xgboost.DMatrix(X.assign(flag=X["age"] > 3), Y, enable_categorical=True)
    xgboost.train({"nthread": 1}, data, 2).save_model(path)

    description = described(path, "xgboost")

    assert (description.model_format, description.runs_code) == ("xgboost", False)
    assert description.signature.inputs == (
        number("age"),
        WHOLE,
        ColumnInput("site", None, accepts=("text",)),
        ColumnInput("flag", None, accepts=("number", "boolean")),
    )
    assert description.signature.outputs is None


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"booster": "gblinear"},
        {"booster": "dart"},
        {"num_parallel_tree": 3},
        {"objective": "binary:logistic"},
        {"objective": "multi:softmax", "num_class": 3},
        {"objective": "multi:softprob", "num_class": 3},
        {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
        {"objective": "survival:cox"},
    ],
    ids=str,
)
@pytest.mark.parametrize("names", [None, ["age", "visits"]])
def test_what_a_booster_predicts_is_known_without_rows(
    params: dict[str, Any], names: list[str] | None, tmp_path: Path
) -> None:
    data = xgboost.DMatrix(X[["age", "visits"]].to_numpy(), Y, feature_names=names)
    xgboost.train({"nthread": 1, **params}, data, 2).save_model(tmp_path / "m.json")

    found = described(tmp_path / "m.json", "xgboost").signature.outputs

    assert found == read_returned(xgboost.Booster(model_file=tmp_path / "m.json").predict(data), None).table.schema


def test_lists_of_xgboost_beyond_ascii_are_cut_off_and_refused(tmp_path: Path) -> None:
    """The fault is XGBoost's own; where it stores such texts whole one day, this test fails."""
    frame = X.assign(site=X["site"].cat.rename_categories({"c": "Köln"}))
    path = tmp_path / "m.json"
    xgboost.train({"nthread": 1}, xgboost.DMatrix(frame, Y, enable_categorical=True), 2).save_model(path)

    kept: Any = dict(xgboost.Booster(model_file=path).get_categories(export_to_arrow=True).to_arrow())["site"]
    assert [value.as_buffer().to_pybytes() for value in kept] == [b"a", b"b", "Köln".encode()[:-1]]
    with pytest.raises(ModelLoadError, match=r"MODEL_CATEGORIES.*'site'.*ASCII"):
        described(path, "xgboost")


def test_categories_that_xgboost_has_as_codes_only_are_refused(tmp_path: Path) -> None:
    data = xgboost.DMatrix(
        np.column_stack([X["age"], X["visits"]]), Y, feature_types=["q", "c"], feature_names=["age", "visits"],
        enable_categorical=True,
    )  # fmt: skip
    xgboost.train({"nthread": 1}, data, 3).save_model(tmp_path / "m.json")

    with pytest.raises(ModelLoadError, match=r"MODEL_CATEGORIES.*'visits'.*3\.1"):
        described(tmp_path / "m.json", "xgboost")


def test_models_of_earlier_versions_of_xgboost_have_no_lists(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    xgboost.train({"nthread": 1}, xgboost.DMatrix(X, Y, enable_categorical=True), 2).save_model(path)
    content = json.loads(path.read_text())
    del content["learner"]["gradient_booster"]["model"]["cats"]
    path.write_text(json.dumps({**content, "version": [2, 1, 4]}))

    with pytest.raises(ModelLoadError, match=r"MODEL_CATEGORIES.*'site'"):
        described(path, "xgboost")


@pytest.mark.parametrize("type_", [pa.string(), pa.date32(), pa.decimal128(5, 2)])
def test_whole_numbers_of_xgboost_take_numbers_only(type_: pa.DataType, tmp_path: Path) -> None:
    data = xgboost.DMatrix(X[["age", "visits"]], Y)
    xgboost.train({"nthread": 1}, data, 2).save_model(tmp_path / "m.json")
    inputs = described(tmp_path / "m.json", "xgboost").signature.inputs or ()

    with pytest.raises(SignatureMismatchError, match=r"'visits': got .*, expected number or boolean"):
        match_inputs(inputs, pa.schema([("age", pa.float64()), ("visits", type_)]), {}, rounds=False)


def test_a_booster_without_names_counts_its_columns(tmp_path: Path) -> None:
    xgboost.train({"nthread": 1}, xgboost.DMatrix(np.eye(4), [0, 1, 0, 1]), 2).save_model(tmp_path / "m.ubj")

    assert described(tmp_path / "m.ubj", "xgboost").signature.inputs == (number(None),) * 4


def test_a_classifiers_file_is_a_boosters_file(tmp_path: Path) -> None:
    xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X[["age", "visits"]], Y).save_model(tmp_path / "m.json")

    inputs = described(tmp_path / "m.json", "xgboost").signature.inputs

    assert inputs == (number("age"), WHOLE)


def test_without_xgboost_here_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)

    assert described(tmp_path / "m.json", "xgboost").signature.inputs is None


def test_lightgbm_names_its_features(tmp_path: Path) -> None:
    lightgbm.train(LIGHTGBM, lightgbm.Dataset(X[["age", "visits"]], Y), 2).save_model(tmp_path / "m.txt")

    description = described(tmp_path / "m.txt", "lightgbm")

    assert (description.model_format, description.runs_code) == ("lightgbm", False)
    assert description.signature.inputs == (number("age"), number("visits"))


def test_lightgbm_takes_texts_for_a_category_of_texts(tmp_path: Path) -> None:
    lightgbm.train(LIGHTGBM, lightgbm.Dataset(X, Y), 2).save_model(tmp_path / "m.txt")

    inputs = described(tmp_path / "m.txt", "lightgbm").signature.inputs

    assert inputs == (number("age"), number("visits"), ColumnInput("site", None, accepts=("text",)))


def test_lightgbm_without_names_counts_its_columns(tmp_path: Path) -> None:
    lightgbm.train(LIGHTGBM, lightgbm.Dataset(X[["age", "visits"]].to_numpy(), Y), 2).save_model(tmp_path / "m.txt")

    assert described(tmp_path / "m.txt", "lightgbm").signature.inputs == (number(None),) * 2


@pytest.mark.parametrize("ending", ["pkl", "joblib", "pickle"])
def test_a_pickle_is_not_opened(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"model.{ending}"
    joblib.dump(LogisticRegression().fit(X[["age"]], Y), path)
    monkeypatch.setattr(joblib, "load", lambda _: pytest.fail("the pickle was loaded"))

    description = described(path, "sklearn")

    assert (description.model_format, description.runs_code) == ("sklearn", True)
    assert description.signature.inputs is None
    assert description.signature_advice


@pytest.mark.parametrize(
    ("name", "framework"),
    [("m.json", "sklearn"), ("m.json", "xgboost"), ("m.ubj", "xgboost"), ("m.txt", "lightgbm")],
)
@pytest.mark.parametrize("content", [b"", b"{}", b"tree\nnum_class=1\n", b"\xff\xfe\x00binary"])
def test_another_file_than_the_frameworks_is_refused(
    name: str, framework: Framework, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ModelLoadError) as caught:
        described(tmp_path / name, framework)

    assert caught.value.code == "MODEL_BROKEN"
    assert name in caught.value.what
