from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparkscore.digest import digest_of_path
from sparkscore.errors import SignatureMismatchError
from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import load_scorer
from sparkscore.scorers.feature_names import find_named, take_named
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec

RANDOM = np.random.default_rng(1)
X = pd.DataFrame({"b c": RANDOM.normal(size=80), "a": RANDOM.normal(size=80)})
Y = X["a"] * 3 - X["b c"]
GIVEN = pa.table({"a": [1.0], "other": ["x"], "b c": [2.0]})
QUIET: dict[str, Any] = {"verbose": -1, "num_threads": 1}


def columns_by_name(rows: pa.Table, model: Any, order_doubt: str) -> pa.Table:
    return take_named(rows, find_named(rows, model, order_doubt))


def of_lightgbm(x: Any) -> Any:
    return lightgbm.train(QUIET, lightgbm.Dataset(x, Y), 2)


def of_xgboost(x: Any) -> Any:
    return xgboost.train({}, xgboost.DMatrix(x, Y), 2)


def in_a_pipeline(x: Any) -> Any:
    return make_pipeline("passthrough", StandardScaler(), LinearRegression()).fit(x, Y)


def before_a_regressor(x: Any) -> Any:
    return make_pipeline("passthrough", lightgbm.LGBMRegressor(n_estimators=2, verbose=-1)).fit(x, Y)


def regressor(x: Any) -> Any:
    return xgboost.XGBRegressor(n_estimators=2).fit(x, Y)


MODELS = [of_lightgbm, of_xgboost, in_a_pipeline, before_a_regressor, regressor]


@pytest.mark.parametrize("make", MODELS)
def test_a_model_gets_the_columns_that_it_was_trained_with_in_its_order(make: Any) -> None:
    rows = columns_by_name(GIVEN, make(X), "the order is not known")

    assert rows.to_pandas().to_numpy().tolist() == [[2.0, 1.0]]


@pytest.mark.parametrize("make", MODELS)
def test_a_model_without_names_takes_positions_only_where_there_is_an_order(make: Any) -> None:
    model = make(X.to_numpy())

    assert columns_by_name(GIVEN, model, "").column_names == GIVEN.column_names
    assert columns_by_name(GIVEN.select(["a"]), model, "the order is not known").column_names == ["a"]
    with pytest.raises(SignatureMismatchError, match=r"the order is not known.*input\.columns: \[a, other, b c\]"):
        columns_by_name(GIVEN, model, "the order is not known")


@pytest.mark.parametrize("make", MODELS)
def test_a_column_that_is_missing_is_named(make: Any) -> None:
    with pytest.raises(SignatureMismatchError, match=r"also 'b.c'"):
        columns_by_name(GIVEN.select(["a"]), make(X), "")


def test_two_columns_that_lightgbm_writes_alike_are_not_told_apart() -> None:
    rows = GIVEN.append_column("b_c", pa.array([9.0]))

    with pytest.raises(SignatureMismatchError, match=r"also 'b_c', each once"):
        columns_by_name(rows, of_lightgbm(X), "")
    assert columns_by_name(rows, of_xgboost(X), "").to_pydict() == {"b c": [2.0], "a": [1.0]}


def test_default_names_count_where_the_input_has_them() -> None:
    rows = pa.table({"f1": [1.0], "f0": [2.0]})
    model = of_xgboost(X.set_axis(["f0", "f1"], axis=1))

    assert columns_by_name(rows, model, "").column_names == ["f0", "f1"]
    assert columns_by_name(GIVEN, model, "").column_names == GIVEN.column_names


@pytest.mark.parametrize(
    ("flavor", "make"), [("lightgbm", of_lightgbm), ("xgboost", of_xgboost), ("sklearn", in_a_pipeline)]
)
@pytest.mark.parametrize("is_of_mlflow", [False, True])
def test_a_file_that_knows_its_columns_scores_them_in_any_order(
    flavor: Any, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_of_mlflow: bool
) -> None:
    import mlflow  # noqa: PLC0415 - it takes seconds

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    model, path = make(X), tmp_path / "model.pkl"
    if is_of_mlflow:
        path = tmp_path / "logged"
        getattr(mlflow, flavor).save_model(model, path, pip_requirements=["mlflow"])
    else:
        path.write_bytes(pickle.dumps(model))
    files = ModelFiles("m", "1", str(path), digest_of_path(path))
    scorer = load_scorer(MlflowSpec(files, None, ()) if is_of_mlflow else FrameworkSpec(files, flavor, None, ()))
    given, right = X.head(5), xgboost.DMatrix(X.head(5)) if flavor == "xgboost" else X.head(5)

    scored: Any = scorer.score(MiniBatch("0", (), pa.Table.from_pandas(given[["a", "b c"]], preserve_index=False)))
    scorer.close()

    assert np.ravel(scored).tolist() == pytest.approx(np.ravel(model.predict(right)).tolist())
