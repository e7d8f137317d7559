"""A model that learned what pandas.read_csv gives for a missing text, and a NULL that reaches it."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from sparkscore.digest import digest_of_path
from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.framework import FrameworkScorer
from sparkscore.scorers.mlflow import MlflowScorer
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec
from sparkscore.worker.engine import EngineSpec, LocalEngine

pytestmark = pytest.mark.filterwarnings("ignore")
TRAINED = pd.read_csv(io.StringIO("site,x,y\na,1,1\n,2,10\nb,3,3\n,4,10\na,5,1\n"))
ROWS = pa.table({"site": ["a", None], "x": [1.0, 2.0]})
NAN = Dtypes(nan=True)
KNOWS_NONE = pd.Series([None, "a", "b", None, "a"], dtype=object)
# With None, an encoder that ignores what it does not know gives zeros, and an imputer leaves it.
MODELS: dict[str, tuple[Any, str]] = {
    "one-hot": (OneHotEncoder(handle_unknown="ignore"), "OneHotEncoder"),
    "ordinal": (
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=9),
        "OrdinalEncoder",
    ),
    "imputed": (
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
        "SimpleImputer",
    ),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def fitted(encoder: Any, trained: pd.DataFrame = TRAINED) -> Any:
    columns = make_column_transformer((encoder, ["site"]), remainder="passthrough")
    return make_pipeline(columns, LinearRegression()).fit(trained[["site", "x"]], trained["y"])


def saved(model: Any, folder: Path, dtypes: Dtypes) -> FrameworkSpec:
    path = folder / "m.joblib"
    joblib.dump(model, path)
    return FrameworkSpec(ModelFiles("m", "1", str(path), digest_of_path(path)), "sklearn", None, dtypes=dtypes)


def scored(spec: FrameworkSpec | MlflowSpec) -> tuple[list[float], tuple[str, ...]]:
    scorer = FrameworkScorer(spec) if isinstance(spec, FrameworkSpec) else MlflowScorer(spec)
    scorer.load()
    try:
        returned: Any = scorer.score(MiniBatch("0", (), ROWS))
        return list(np.ravel(returned)), scorer.warnings
    finally:
        scorer.close()


@pytest.mark.parametrize("name", MODELS)
def test_nan_gives_what_read_csv_gives_and_none_is_warned_of(name: str, tmp_path: Path) -> None:
    encoder, told = MODELS[name]
    model = fitted(encoder)
    own = model.predict(pd.read_csv(io.StringIO("site,x\na,1\n,2\n"), dtype={"x": "float64"}))

    with_nan, silent = scored(saved(model, tmp_path, NAN))
    with_none, warned = scored(saved(model, tmp_path, Dtypes()))

    assert with_nan == list(own)
    assert silent == ()
    assert with_none[1] != own[1]
    assert len(warned) == 1
    assert f"{told} learned NaN" in warned[0]
    assert "'input.nulls: nan'" in warned[0]


def test_a_model_of_mlflow_is_looked_at_as_well(tmp_path: Path) -> None:
    model = fitted(MODELS["one-hot"][0])
    mlflow.sklearn.save_model(
        model, tmp_path / "m", pip_requirements=["mlflow"], serialization_format="cloudpickle",
        signature=mlflow.models.infer_signature(TRAINED[["site"]].fillna("").assign(x=1.0), model.predict(TRAINED)),
    )  # fmt: skip
    files = ModelFiles("m", "1", str(tmp_path / "m"), digest_of_path(tmp_path / "m"))

    with_nan, silent = scored(MlflowSpec(files, None, dtypes=NAN))
    with_none, warned = scored(MlflowSpec(files, None))

    assert (len(silent), len(warned)) == (0, 1)
    assert with_nan[0] == with_none[0]
    assert with_nan[1] != with_none[1]


@pytest.mark.parametrize(
    "model",
    [
        fitted(
            OneHotEncoder(handle_unknown="ignore"),
            TRAINED.assign(site=pd.Series([None, "a", "b", None, "a"], dtype=object)),
        ),
        fitted(OneHotEncoder(handle_unknown="ignore"), TRAINED.fillna({"site": "none"})),
        make_pipeline(SimpleImputer(), StandardScaler(), LinearRegression()).fit(TRAINED[["x"]], TRAINED["y"]),
        make_column_transformer((OneHotEncoder(), ["n"])).fit(pd.DataFrame({"n": [1.0, np.nan]})),
    ],
)
def test_a_model_that_knows_none_or_no_missing_text_is_not_warned_of(model: Any, tmp_path: Path) -> None:
    if not hasattr(model, "predict"):
        model = make_pipeline(model, LinearRegression()).fit(pd.DataFrame({"n": [1.0, np.nan]}), [1, 2])
    scorer = FrameworkScorer(saved(model, tmp_path, Dtypes()))
    scorer.load()

    assert scorer.warnings == ()


def test_what_a_scorer_warns_of_is_in_the_report_of_its_process(tmp_path: Path) -> None:
    engine = LocalEngine(EngineSpec("a", saved(fitted(MODELS["one-hot"][0]), tmp_path, Dtypes())))

    loaded = engine.load()
    engine.close()

    assert len(loaded.warnings) == 1
    assert "OneHotEncoder" in loaded.warnings[0]
