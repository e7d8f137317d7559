from __future__ import annotations

import sys
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from sparkscore.errors import ModelLoadError
from sparkscore.models import ModelDescription, ResolvedModel
from sparkscore.models.framework_model import describe_framework
from sparkscore.scorers.specs import Framework
from sparkscore.signature.model_signature import ColumnInput

DOUBLE = pa.float64()
X = pd.DataFrame(
    {
        "age": np.arange(60.0),
        "visits": np.arange(60) % 7,
        "site": pd.Categorical(["a", "b", "c"] * 20),
    }
)
Y = np.arange(60) % 2
LIGHTGBM = {"verbose": -1, "min_data_in_leaf": 2, "num_threads": 1}


def described(path: Path, framework: Framework) -> ModelDescription:
    return describe_framework(ResolvedModel(path, path.stem, "1", "0" * 64), framework)


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_a_booster_names_its_features_and_what_they_are(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{ending}"
    data = xgboost.DMatrix(X.assign(flag=X["age"] > 3), Y, enable_categorical=True)
    xgboost.train({"nthread": 1}, data, 2).save_model(path)

    description = described(path, "xgboost")

    assert (description.kind, description.runs_code) == ("xgboost", False)
    assert description.signature.inputs == (
        ColumnInput("age", DOUBLE),
        ColumnInput("visits", DOUBLE),
        ColumnInput("site", None),
        ColumnInput("flag", None),
    )
    assert description.signature.outputs is None


def test_a_booster_without_names_counts_its_columns(tmp_path: Path) -> None:
    xgboost.train({"nthread": 1}, xgboost.DMatrix(np.eye(4), [0, 1, 0, 1]), 2).save_model(tmp_path / "m.ubj")

    assert described(tmp_path / "m.ubj", "xgboost").signature.inputs == (ColumnInput(None, DOUBLE),) * 4


def test_a_classifiers_file_is_a_boosters_file(tmp_path: Path) -> None:
    xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X[["age", "visits"]], Y).save_model(tmp_path / "m.json")

    inputs = described(tmp_path / "m.json", "xgboost").signature.inputs

    assert inputs == (ColumnInput("age", DOUBLE), ColumnInput("visits", DOUBLE))


def test_without_xgboost_here_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)

    assert described(tmp_path / "m.json", "xgboost").signature.inputs is None


def test_lightgbm_names_its_features(tmp_path: Path) -> None:
    lightgbm.train(LIGHTGBM, lightgbm.Dataset(X[["age", "visits"]], Y), 2).save_model(tmp_path / "m.txt")

    description = described(tmp_path / "m.txt", "lightgbm")

    assert (description.kind, description.runs_code) == ("lightgbm", False)
    assert description.signature.inputs == (ColumnInput("age", DOUBLE), ColumnInput("visits", DOUBLE))


def test_lightgbm_takes_any_type_for_a_category_of_pandas(tmp_path: Path) -> None:
    lightgbm.train(LIGHTGBM, lightgbm.Dataset(X, Y), 2).save_model(tmp_path / "m.txt")

    inputs = described(tmp_path / "m.txt", "lightgbm").signature.inputs

    assert inputs == (ColumnInput("age", DOUBLE), ColumnInput("visits", DOUBLE), ColumnInput("site", None))


def test_lightgbm_without_names_counts_its_columns(tmp_path: Path) -> None:
    lightgbm.train(LIGHTGBM, lightgbm.Dataset(X[["age", "visits"]].to_numpy(), Y), 2).save_model(tmp_path / "m.txt")

    assert described(tmp_path / "m.txt", "lightgbm").signature.inputs == (ColumnInput(None, DOUBLE),) * 2


@pytest.mark.parametrize("ending", ["pkl", "joblib", "pickle"])
def test_a_pickle_is_not_opened(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"model.{ending}"
    joblib.dump(LogisticRegression().fit(X[["age"]], Y), path)
    monkeypatch.setattr(joblib, "load", lambda _: pytest.fail("the pickle was loaded"))

    description = described(path, "sklearn")

    assert (description.kind, description.runs_code) == ("sklearn", True)
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
