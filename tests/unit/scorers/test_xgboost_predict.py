from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkscore.digest import digest_of_path
from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import load_scorer
from sparkscore.scorers.categories import category_maker
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec
from sparkscore.scorers.xgboost_predict import BoosterMethod

NAMES = list("abcdef")
OBJECTIVES: dict[str, dict[str, Any]] = {
    "reg:squarederror": {}, "reg:logistic": {}, "binary:logistic": {}, "binary:logitraw": {}, "binary:hinge": {},
    "count:poisson": {}, "survival:cox": {}, "rank:pairwise": {}, "reg:quantileerror": {"quantile_alpha": [0.1, 0.9]},
    "multi:softprob": {"num_class": 3}, "multi:softmax": {"num_class": 3},
    "reg:absoluteerror": {"multi_strategy": "multi_output_tree", "tree_method": "hist"},
}  # fmt: skip


class Counted:
    """A Booster that counts the calls of `inplace_predict`."""

    def __init__(self, booster: xgboost.Booster) -> None:
        self.fast = 0
        self._booster = booster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._booster, name)

    def inplace_predict(self, *arguments: Any, **options: Any) -> Any:
        self.fast += 1
        return self._booster.inplace_predict(*arguments, **options)


def values(rows: int, seed: int, missing: float = 0.1) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    made = random.normal(size=(rows, len(NAMES)))
    made[random.random(made.shape) < random.choice([0.0, 0.1, 0.95])] = np.nan
    made[random.random(made.shape) < 0.1] = missing
    edge = [np.finfo(np.float32).max, -np.finfo(np.float32).max, 1e-45, -0.0, 1e-300, 0.1, np.float32(0.1)]
    made.flat[: min(len(edge), made.size)] = edge[: made.size]
    return made


def train(objective: str, seed: int, **more: Any) -> xgboost.Booster:
    x = np.random.default_rng(seed).normal(size=(120, len(NAMES)))
    label = np.clip(
        np.abs(x[:, 0] * 2 + x[:, 1]).astype(int), 0, 1 if objective.startswith(("binary", "reg:log")) else 2
    )
    params = {"objective": objective, "nthread": 1, "verbosity": 0, **OBJECTIVES[objective], **more}
    target = np.stack([label, -label], axis=1) if "multi_strategy" in params else label
    data = xgboost.DMatrix(pd.DataFrame(x, columns=NAMES), target)
    if objective.startswith("rank"):
        data.set_group([60, 60])
    return xgboost.train(params, data, 7)


def score(booster: Any, frame: pd.DataFrame, method: str = "predict", **params: Any) -> npt.NDArray[Any]:
    return np.asarray(BoosterMethod(booster, getattr(booster, method), None)(frame, **params))


def matrix_of(booster: Any, rows: pa.Table, method: str = "predict", **params: Any) -> Any:
    return BoosterMethod(booster, getattr(booster, method), None).matrix_of(rows, params)


def bits(scores: npt.NDArray[Any]) -> tuple[Any, ...]:
    return scores.shape, scores.dtype, scores.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    objective=st.sampled_from(sorted(OBJECTIVES)),
    more=st.sampled_from([{}, {"base_score": 0.3}, {"num_parallel_tree": 3, "subsample": 0.5}, {"max_depth": 2}]),
    rows=st.sampled_from([1, 2, 63, 64, 500]),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(["float32", "float64", "mixed"]),
    params=st.sampled_from(
        [{}, {"iteration_range": [0, 3]}, {"missing": 0.1}, {"missing": -1, "iteration_range": (1, 4)}]
    ),
)
def test_tree_models_have_the_bits_of_their_own_predict(
    objective: str, more: dict[str, Any], rows: int, seed: int, dtype: str, params: dict[str, Any]
) -> None:
    booster = train(objective, seed, **more)
    frame = pd.DataFrame(values(rows, seed), columns=NAMES)
    if dtype != "float64":
        frame = frame.astype("float32" if dtype == "float32" else {"a": "float32", "d": "float32"})
    rest = {name: value for name, value in params.items() if name != "missing"}
    expected = booster.predict(xgboost.DMatrix(frame, missing=params.get("missing", np.nan), nthread=1), **rest)
    counted = Counted(booster)

    found = score(counted, frame, **params)

    assert counted.fast == 1
    assert bits(found) == bits(expected)
    # A missing value comes from Arrow as NULL or as NaN.
    for is_null in (True, False):
        columns = {name: pa.array(frame[name].to_numpy(), from_pandas=is_null) for name in NAMES}
        matrix = matrix_of(booster, pa.table(columns), **params)
        assert matrix.shape == frame.shape
        assert bits(score(booster, matrix, **params)) == bits(expected)


@pytest.mark.parametrize(
    ("params", "change"),
    [
        ({"output_margin": True}, None),
        ({"pred_leaf": True}, None),
        ({"missing": None}, None),
        ({}, lambda frame: frame.astype({"a": "int64"})),
        ({}, lambda frame: frame.iloc[:0]),
    ],
)
def test_anything_else_goes_through_a_matrix(
    params: dict[str, Any], change: Callable[[pd.DataFrame], pd.DataFrame] | None
) -> None:
    booster = Counted(train("reg:squarederror", 1))
    frame = pd.DataFrame(np.arange(12.0).reshape(2, 6), columns=NAMES)
    frame = frame if change is None else change(frame)
    rest = {name: value for name, value in params.items() if name != "missing"}

    found = score(booster, frame, **params)

    assert booster.fast == 0
    assert bits(found) == bits(booster.predict(xgboost.DMatrix(frame, nthread=1), **rest))
    assert matrix_of(booster, pa.Table.from_pandas(frame, preserve_index=False), **params) is None


@pytest.mark.parametrize("name", ["dart", "gblinear"])
def test_boosters_of_other_bits_or_without_the_fast_way_use_their_own(name: str) -> None:
    booster = Counted(train("reg:squarederror", 1, booster=name))
    frame = pd.DataFrame(values(500, 1), columns=NAMES)

    found = score(booster, frame)

    assert booster.fast == 0
    assert bits(found) == bits(booster.predict(xgboost.DMatrix(frame, nthread=1)))
    assert matrix_of(booster, pa.Table.from_pandas(frame, preserve_index=False)) is None


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinity_is_refused_as_by_a_matrix(value: float) -> None:
    frame = pd.DataFrame(np.ones((2, 6)), columns=NAMES)
    frame.iloc[1, 2] = value

    assert matrix_of(train("reg:squarederror", 1), pa.Table.from_pandas(frame, preserve_index=False)) is None
    with pytest.raises(xgboost.core.XGBoostError, match="inf"):
        score(train("reg:squarederror", 1), frame)


@pytest.mark.parametrize("found", [list("abcdeg"), list("bacdef"), list("abcde")])
def test_other_columns_are_refused_as_by_a_matrix(found: list[str]) -> None:
    frame = pd.DataFrame(np.ones((2, len(found))), columns=found)

    assert matrix_of(train("reg:squarederror", 1), pa.Table.from_pandas(frame, preserve_index=False)) is None
    with pytest.raises(ValueError, match="feature_names"):
        score(train("reg:squarederror", 1), frame)


class Kind(NamedTuple):
    """What one of XGBoost's scikit-learn classes trains a model with."""

    objective: str
    booster: str
    stops_early: bool
    has_category: bool


OPTIONS: dict[str, dict[str, Any]] = {
    "gbtree": {"max_depth": 3},
    "dart": {"max_depth": 3, "rate_drop": 0.3, "one_drop": 1},
    "gblinear": {},
}
KINDS = [
    Kind(objective, booster, stops_early, has_category)
    for objective in ("reg:squarederror", "binary:logistic", "multi:softprob")
    for booster in OPTIONS
    for stops_early in (False, True)
    for has_category in ((False,) if booster == "gblinear" else (False, True))
]
CITIES = list("vwxyz")


def rows_of(kind: Kind, count: int, seed: int) -> pd.DataFrame:
    """Return rows with missing values, and texts where the model has a category."""
    frame = pd.DataFrame(values(count, seed), columns=NAMES)
    if kind.has_category:
        frame["city"] = np.random.default_rng(seed).choice(np.array([*CITIES, None]), count)
    return frame


def categorised(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(city=pd.Categorical(frame["city"], CITIES)) if "city" in frame else frame


def class_of(kind: Kind, **options: Any) -> Any:
    of_kind = xgboost.XGBRegressor if kind.objective.startswith("reg") else xgboost.XGBClassifier
    return of_kind(n_jobs=1, verbosity=0, **options)


@cache
def saved(kind: Kind) -> bytes:
    """Train a model, and return its file. Those that stop early learn noise, so that their last trees are worse."""
    random = np.random.default_rng(5)
    frame = pd.DataFrame(random.normal(size=(200, len(NAMES))), columns=NAMES)
    frame["city"] = random.choice(CITIES, len(frame))
    target = frame["a"] + 2.0 * (frame["city"] == "w") + random.normal(size=len(frame))
    if kind.objective != "reg:squarederror":
        target = pd.Series(np.digitize(target, [0.5] if kind.objective.startswith("binary") else [0.0, 1.5]))
    inputs = categorised(frame) if kind.has_category else frame[NAMES]
    options = {"objective": kind.objective, "booster": kind.booster, "enable_categorical": kind.has_category}
    rounds = {"n_estimators": 60, "early_stopping_rounds": 3} if kind.stops_early else {"n_estimators": 7}
    model = class_of(kind, learning_rate=0.5, **options, **rounds, **OPTIONS[kind.booster])
    evaluated = [(inputs[100:], target[100:])] if kind.stops_early else None
    model.fit(inputs[:100], target[:100], eval_set=evaluated, verbose=False)
    with TemporaryDirectory() as folder:
        model.save_model(Path(folder) / "m.ubj")
        return (Path(folder) / "m.ubj").read_bytes()


def scores_of_class(kind: Kind, frame: pd.DataFrame, missing: float) -> npt.NDArray[Any]:
    """Return what XGBoost's class predicts with a model's file: values, or probabilities in the form of a Booster's."""
    model = class_of(kind, missing=missing)
    model.load_model(bytearray(saved(kind)))
    if kind.objective.startswith("reg"):
        return np.asarray(model.predict(frame))
    scores = np.asarray(model.predict_proba(frame))
    return scores[:, 1] if kind.objective.startswith("binary") else scores


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    count=st.sampled_from([1, 2, 63, 64, 300]),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(["float32", "float64"]),
    missing=st.sampled_from([math.nan, 0.1]),
)
def test_models_of_each_kind_have_the_bits_of_their_own_predict(
    kind: Kind, count: int, seed: int, dtype: str, missing: float
) -> None:
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(saved(kind)))
    frame = rows_of(kind, count, seed).astype(dict.fromkeys(NAMES, dtype))
    matrix = xgboost.DMatrix(categorised(frame), missing=missing, nthread=1, enable_categorical=kind.has_category)
    params: dict[str, Any] = {}
    # A linear model has no rounds to choose from.
    if kind.stops_early and kind.booster != "gblinear":
        assert booster.best_iteration + 1 < booster.num_boosted_rounds()
        params = {"iteration_range": [0, booster.best_iteration + 1]}
    counted = Counted(booster)
    method = BoosterMethod(counted, counted.predict, category_maker(booster, {}))

    found = np.asarray(method(frame, missing=missing))
    best = np.asarray(method(frame, missing=missing, **params))

    assert counted.fast == (2 if kind.booster == "gbtree" and not kind.has_category else 0)
    assert bits(found) == bits(booster.predict(matrix))
    assert bits(best) == bits(booster.predict(matrix, **params))
    # With DART's trees, the classes use `inplace_predict`, which has other bits than the Booster's `predict`.
    if kind.booster != "dart":
        assert bits(best) == bits(scores_of_class(kind, categorised(frame), missing))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.objective.startswith("reg")], ids=str)
def test_files_that_are_loaded_as_classifiers_have_the_bits_of_the_class(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "m.ubj"
    path.write_bytes(saved(kind))
    frame = rows_of(kind, 200, 1)
    files = ModelFiles("m", "1", str(path), digest_of_path(path))
    scorer = load_scorer(FrameworkSpec(files, "xgboost", None, predict_fn=("predict_proba",)))

    found: Any = scorer.score(MiniBatch("0", (), pa.Table.from_pandas(frame, preserve_index=False)))

    scores = found[:, 1] if kind.objective.startswith("binary") else found
    assert bits(scores) == bits(scores_of_class(kind, categorised(frame), math.nan))
