from __future__ import annotations

import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sparkscore.digest import digest_of_path
from sparkscore.errors import MissingDependencyError, ModelLoadError, SignatureMismatchError
from sparkscore.minibatch import MiniBatch
from sparkscore.models import ResolvedModel
from sparkscore.models.framework_model import describe_framework
from sparkscore.returned import tabulate
from sparkscore.scorers import load_scorer
from sparkscore.scorers.estimators import takes_matrix
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.scorers.framework import FrameworkScorer
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import Framework, FrameworkSpec
from sparkscore.signature.model_signature import ColumnInput, Feed

RANDOM = np.random.default_rng(5)
ROWS = 300
# Column by column, as pandas reads a file: a frame around one matrix has another layout, and BLAS rounds otherwise.
NUMBERS = pd.DataFrame(
    {name: RANDOM.normal(size=ROWS) * size for name, size in zip("abc", (1, 1e3, 1e-3), strict=True)}
)
HOLES = NUMBERS.mask(RANDOM.random((ROWS, 3)) < 0.1)
EXTREMES = pd.DataFrame({"a": [5e-324, np.nan], "b": [1e308, -1e308], "c": [-1e308, -0.0]})
LABELS = (NUMBERS["a"] > 0).astype("int64")
QUIET = {"verbose": -1, "num_threads": 1}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def spec_of(path: Path, framework: Framework, **spec: Any) -> FrameworkSpec:
    """Tell a worker about a model as the driver does; inputs without names take the columns of the same place."""
    sha256 = digest_of_path(path)
    inputs = describe_framework(ResolvedModel(path, "m", "1", sha256), framework).signature.inputs
    feeds = None
    if inputs is not None:
        columns = [each for each in inputs if isinstance(each, ColumnInput)]
        feeds = tuple(Feed(each.name, (each.name or "abc"[at],), each.type) for at, each in enumerate(columns))
    return FrameworkSpec(ModelFiles("m", "1", str(path), sha256), framework, feeds, **spec)


def score(spec: FrameworkSpec, rows: pd.DataFrame) -> Any:
    scorer = load_scorer(spec)
    try:
        return scorer.score(MiniBatch("0", (), pa.Table.from_pandas(rows, preserve_index=False)))
    finally:
        scorer.close()


def bits(values: Any) -> bytes:
    return np.ascontiguousarray(values).tobytes()


@pytest.mark.parametrize("ending", ["joblib", "pkl", "pickle"])
@pytest.mark.parametrize(
    ("model", "rows"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()), NUMBERS),
        (RandomForestClassifier(10, random_state=1, n_jobs=2), NUMBERS),
        (HistGradientBoostingClassifier(max_iter=5), pd.concat([HOLES, EXTREMES])),
    ],
)
def test_scikit_learn_scores_as_in_a_plain_process(model: Any, rows: pd.DataFrame, ending: str, tmp_path: Path) -> None:
    model.fit(rows.head(ROWS), LABELS)
    path = tmp_path / f"m.{ending}"
    if ending == "joblib":
        joblib.dump(model, path)
    else:
        path.write_bytes(pickle.dumps(model))

    alone = score(spec_of(path, "sklearn"), rows)
    both = score(spec_of(path, "sklearn", predict_fn=("predict", "predict_proba")), rows)

    assert bits(alone) == bits(model.predict(rows))
    assert bits(both.columns["predict"]) == bits(model.predict(rows))
    assert bits(both.columns["predict_proba"]) == bits(model.predict_proba(rows))


class Recorded(list[Any]):
    """The arguments with which a method was called."""


def recording(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> Recorded:
    method, found = getattr(owner, name), Recorded()

    def record(self: Any, data: Any, **options: Any) -> Any:
        found.append(data)
        return method(self, data, **options)

    monkeypatch.setattr(owner, name, record)
    return found


FITTED_WITH_ARRAYS: dict[str, tuple[Any, pd.DataFrame]] = {
    "pipeline": (make_pipeline(StandardScaler(), Ridge()), NUMBERS),
    "scales in place": (make_pipeline(StandardScaler(copy=False), Ridge()), NUMBERS),
    "network": (MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0), NUMBERS),
    "neighbors": (KNeighborsRegressor(3), NUMBERS),
    "forest": (RandomForestClassifier(10, random_state=1, n_jobs=2), NUMBERS),
    "search": (GridSearchCV(KNeighborsRegressor(), {"n_neighbors": [2, 3]}), NUMBERS),
    "missing values": (HistGradientBoostingClassifier(max_iter=5), HOLES),
}


@pytest.mark.filterwarnings("ignore:X has feature names", "ignore:Stochastic Optimizer")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", FITTED_WITH_ARRAYS)
def test_a_model_that_was_fitted_with_an_array_gets_the_same_numbers_as_one(
    case: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = FITTED_WITH_ARRAYS[case]
    rows = rows.astype(dict.fromkeys("abc", dtype))
    model = clone(model).fit(rows.to_numpy(), LABELS)
    joblib.dump(model, tmp_path / "m.joblib")
    expected = model.predict(rows.copy())
    got = recording(monkeypatch, type(model), "predict")

    scored = score(spec_of(tmp_path / "m.joblib", "sklearn"), rows)

    assert bits(scored) == bits(expected)
    assert [type(data) for data in got] == [np.ndarray]
    assert got[0].flags.writeable


class OfAUser(BaseEstimator, TransformerMixin):  # type: ignore[misc]
    """A step that takes a column by its name."""

    def fit(self, _: Any, __: Any = None) -> OfAUser:
        self.n_features_in_ = 3
        return self

    def transform(self, rows: Any) -> Any:
        return rows[["a"]].to_numpy()


GET_FRAMES: dict[str, tuple[Any, Any]] = {
    "fitted with a DataFrame": (make_pipeline(StandardScaler(), Ridge()), NUMBERS),
    "a user's own step": (make_pipeline(OfAUser(), Ridge()), NUMBERS),
    "a user's function": (make_pipeline(FunctionTransformer(lambda rows: np.asarray(rows)[:, :1]), Ridge()), NUMBERS),
    "columns by their place": (make_pipeline(ColumnTransformer([("a", StandardScaler(), [0])]), Ridge()), NUMBERS),
}


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("case", GET_FRAMES)
def test_other_models_get_a_frame(case: str) -> None:
    model, rows = GET_FRAMES[case]
    model = clone(model).fit(rows if case != "columns by their place" else rows.to_numpy(), LABELS)

    assert not takes_matrix(model)


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("columns", [{"a": "int64"}, {"a": "float32"}, {"a": "bool"}])
def test_columns_of_several_types_come_as_a_frame(
    columns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Ridge().fit(NUMBERS.to_numpy(), LABELS)
    joblib.dump(model, tmp_path / "m.joblib")
    rows = NUMBERS.astype(columns)
    expected = model.predict(rows)
    got = recording(monkeypatch, Ridge, "predict")

    assert bits(score(spec_of(tmp_path / "m.joblib", "sklearn"), rows)) == bits(expected)
    assert [type(data) for data in got] == [pd.DataFrame]


def test_a_model_that_knows_its_columns_takes_them_from_among_others(tmp_path: Path) -> None:
    model = LogisticRegression().fit(NUMBERS, LABELS)
    joblib.dump(model, tmp_path / "m.joblib")

    scored = score(spec_of(tmp_path / "m.joblib", "sklearn"), NUMBERS.assign(key="k")[["c", "key", "b", "a"]])

    assert bits(scored) == bits(model.predict(NUMBERS))


def test_a_column_that_it_lacks_is_named(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit(NUMBERS, LABELS), tmp_path / "m.joblib")

    with pytest.raises(SignatureMismatchError) as caught:
        score(spec_of(tmp_path / "m.joblib", "sklearn"), NUMBERS[["a", "c"]].assign(B=1.0))

    assert caught.value.code == "MODEL_INPUT"
    assert "'B', 'a', 'c'" in caught.value.got
    assert "'b'" in caught.value.expected


def test_a_model_that_does_not_know_its_columns_gets_them_all(tmp_path: Path) -> None:
    seen = Recorder()
    joblib.dump(seen, tmp_path / "m.pkl")

    scored = score(spec_of(tmp_path / "m.pkl", "sklearn"), NUMBERS)

    assert scored == ["a,b,c"] * ROWS


class Recorder:
    def predict(self, frame: pd.DataFrame) -> list[str]:
        return [",".join(frame.columns)] * len(frame)


@pytest.mark.parametrize("ending", ["json", "ubj"])
@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic", "multi:softprob"])
def test_a_booster_gives_what_predict_of_a_matrix_gives(ending: str, objective: str, tmp_path: Path) -> None:
    options = {"objective": objective, "nthread": 1} | ({"num_class": 3} if "multi" in objective else {})
    booster = xgboost.train(options, xgboost.DMatrix(HOLES, LABELS), 4)
    booster.save_model(tmp_path / f"m.{ending}")
    rows = pd.concat([HOLES, EXTREMES.clip(-1e38, 1e38)])

    scored = score(spec_of(tmp_path / f"m.{ending}", "xgboost"), rows[["c", "b", "a"]])

    assert bits(scored) == bits(booster.predict(xgboost.DMatrix(rows)))
    assert tabulate(scored).table.num_rows == len(rows)


def test_a_booster_without_names_takes_columns_by_position(tmp_path: Path) -> None:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(NUMBERS.to_numpy(), LABELS), 3)
    booster.save_model(tmp_path / "m.ubj")

    scored = score(spec_of(tmp_path / "m.ubj", "xgboost"), NUMBERS)

    assert bits(scored) == bits(booster.predict(xgboost.DMatrix(NUMBERS.to_numpy())))


def test_a_classifiers_file_gives_probabilities_and_its_own_methods_when_asked(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=4, n_jobs=1).fit(HOLES, LABELS)
    model.save_model(tmp_path / "m.json")

    alone = score(spec_of(tmp_path / "m.json", "xgboost"), HOLES)
    both = score(spec_of(tmp_path / "m.json", "xgboost", predict_fn=("predict", "predict_proba")), HOLES)

    assert bits(alone) == bits(model.predict_proba(HOLES)[:, 1])
    assert bits(both.columns["predict"]) == bits(model.predict(HOLES))
    assert bits(both.columns["predict_proba"]) == bits(model.predict_proba(HOLES))


def test_arguments_reach_the_method(tmp_path: Path) -> None:
    booster = xgboost.train({"nthread": 1, "objective": "binary:logistic"}, xgboost.DMatrix(HOLES, LABELS), 4)
    booster.save_model(tmp_path / "m.json")

    scored = score(spec_of(tmp_path / "m.json", "xgboost", params=(("output_margin", True),)), HOLES)

    assert bits(scored) == bits(booster.predict(xgboost.DMatrix(HOLES), output_margin=True))


@pytest.mark.parametrize("objective", ["regression", "binary", "multiclass"])
def test_lightgbm_scores_as_in_a_plain_process(objective: str, tmp_path: Path) -> None:
    options = QUIET | {"objective": objective} | ({"num_class": 2} if objective == "multiclass" else {})
    booster = lightgbm.train(options, lightgbm.Dataset(HOLES, LABELS), 4)
    booster.save_model(tmp_path / "m.txt")
    rows = pd.concat([HOLES, EXTREMES])

    scored = score(spec_of(tmp_path / "m.txt", "lightgbm"), rows[["b", "a", "c"]])

    assert bits(scored) == bits(booster.predict(rows))


def test_lightgbms_pickled_classifier_has_its_methods(tmp_path: Path) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(HOLES, LABELS)
    joblib.dump(model, tmp_path / "m.joblib")

    scored = score(spec_of(tmp_path / "m.joblib", "lightgbm", predict_fn=("predict_proba",)), HOLES)

    assert bits(scored) == bits(model.predict_proba(HOLES))


def test_a_model_uses_one_thread(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(3, n_jobs=-1)).fit(NUMBERS, LABELS)
    joblib.dump(model, tmp_path / "m.joblib")

    scorer = load_scorer(spec_of(tmp_path / "m.joblib", "sklearn"))

    assert isinstance(scorer, FrameworkScorer)
    loaded: Any = scorer._methods["predict"]
    assert loaded.__self__.steps[1][1].n_jobs == 1


def test_a_method_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit(NUMBERS, LABELS), tmp_path / "m.joblib")

    with pytest.raises(ModelLoadError) as caught:
        load_scorer(spec_of(tmp_path / "m.joblib", "sklearn", predict_fn=("transform",)))

    assert caught.value.code == "MODEL_METHOD"
    assert "'predict_proba'" in caught.value.expected


@pytest.mark.parametrize(
    ("framework", "package"), [("sklearn", "scikit-learn"), ("xgboost", "xgboost"), ("lightgbm", "lightgbm")]
)
def test_a_missing_library_is_named(
    framework: Framework, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(1))
    spec = spec_of(tmp_path / "m.pkl", framework)
    monkeypatch.setitem(sys.modules, framework, None)

    with pytest.raises(MissingDependencyError) as caught:
        load_scorer(spec)

    assert f"pip install {package}" in caught.value.next_step


def test_a_pickle_loads_without_joblib_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(Recorder()))
    monkeypatch.setitem(sys.modules, "joblib", None)

    assert score(spec_of(tmp_path / "m.pkl", "sklearn"), NUMBERS.head(1)) == ["a,b,c"]


def test_a_broken_file_is_a_failure_to_load(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"broken")

    with pytest.raises(ScorerFailedError) as caught:
        load_scorer(spec_of(tmp_path / "m.pkl", "sklearn"))

    assert caught.value.failure.code == "MODEL_LOAD"


def test_what_the_model_raises_is_a_failure_to_predict(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit(NUMBERS, LABELS), tmp_path / "m.joblib")

    with pytest.raises(ScorerFailedError) as caught:
        score(spec_of(tmp_path / "m.joblib", "sklearn"), HOLES)

    assert (caught.value.failure.code, caught.value.failure.error_class) == ("MODEL_PREDICT", "ValueError")


def test_files_are_refused(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit(NUMBERS, LABELS), tmp_path / "m.joblib")
    scorer = load_scorer(spec_of(tmp_path / "m.joblib", "sklearn"))

    with pytest.raises(SignatureMismatchError):
        scorer.score(MiniBatch("0", ("a.png",)))


def test_an_unloaded_scorer_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"")

    with pytest.raises(RuntimeError):
        FrameworkScorer(spec_of(tmp_path / "m.pkl", "sklearn")).score(MiniBatch("0", (), pa.table({"a": [1]})))


@pytest.mark.parametrize(
    ("framework", "name", "param"),
    [
        ("lightgbm", "m.txt", "num_iterations"),
        ("lightgbm", "m.joblib", "num_iterations"),
        ("xgboost", "m.ubj", "iteration_rang"),
        ("xgboost", "m.joblib", "iteration_rang"),
        ("sklearn", "m.joblib", "check"),
    ],
)
def test_params_that_the_model_does_not_have_are_refused(
    framework: Framework, name: str, param: str, tmp_path: Path
) -> None:
    """LightGBM passes over them, and gives the values of all trees for a wrong 'num_iterations: 1'."""
    save_small(framework, tmp_path / name)

    with pytest.raises(SignatureMismatchError, match=rf"MODEL_PARAMS.*predict\(\).*got '{param}'"):
        load_scorer(spec_of(tmp_path / name, framework, params=((param, 1),)))


@pytest.mark.parametrize(
    ("framework", "name", "params"),
    [
        ("lightgbm", "m.txt", {"num_iteration": 1, "pred_early_stop": True}),
        ("lightgbm", "m.joblib", {"raw_score": True, "num_iteration": 1, "num_threads": 1}),
        ("xgboost", "m.ubj", {"missing": -1.0, "output_margin": True}),
        ("xgboost", "m.joblib", {"output_margin": True}),
    ],
)
def test_params_that_the_model_has_are_taken(
    framework: Framework, name: str, params: dict[str, Any], tmp_path: Path
) -> None:
    save_small(framework, tmp_path / name)

    values = score(spec_of(tmp_path / name, framework, params=tuple(params.items())), NUMBERS)

    assert len(values) == ROWS
    assert not np.array_equal(values, score(spec_of(tmp_path / name, framework), NUMBERS))


def save_small(framework: Framework, path: Path) -> None:
    if framework == "sklearn":
        joblib.dump(LogisticRegression().fit(NUMBERS, LABELS), path)
        return
    if framework == "lightgbm":
        booster: Any = lightgbm.LGBMRegressor(n_estimators=9, verbose=-1, n_jobs=1).fit(NUMBERS, LABELS).booster_
    else:
        booster = xgboost.XGBClassifier(n_estimators=9, n_jobs=1).fit(NUMBERS, LABELS).get_booster()
    if path.suffix == ".joblib":
        joblib.dump(booster, path)
    else:
        booster.save_model(path)


def test_what_holds_a_model_is_none(tmp_path: Path) -> None:
    joblib.dump({"model": LogisticRegression()}, tmp_path / "m.joblib")

    with pytest.raises(ModelLoadError, match=r"MODEL_METHOD.*class dict.*Save the model itself"):
        load_scorer(spec_of(tmp_path / "m.joblib", "sklearn"))


def test_an_xgboost_file_gets_rows_of_floats_as_a_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(HOLES, LABELS), 5)
    booster.save_model(tmp_path / "m.json")
    spec = spec_of(tmp_path / "m.json", "xgboost", params=(("missing", 0.5),))
    monkeypatch.setattr("sparkscore.scorers.framework.hand_over", None)

    found = score(spec, HOLES)

    assert bits(found) == bits(booster.predict(xgboost.DMatrix(HOLES, missing=0.5, nthread=1)))


@pytest.mark.parametrize("is_named", [True, False])
def test_single_precision_is_not_converted_for_an_xgboost_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_named: bool
) -> None:
    data = HOLES.astype("float32")
    train = xgboost.DMatrix(data if is_named else data.to_numpy(), LABELS)
    booster = xgboost.train({"nthread": 1}, train, 5)
    booster.save_model(tmp_path / "m.ubj")
    monkeypatch.setattr("sparkscore.scorers.framework.feed_columns", None)

    found = score(spec_of(tmp_path / "m.ubj", "xgboost"), data[["c", "a", "b"]] if is_named else data)

    assert bits(found) == bits(booster.predict(xgboost.DMatrix(data if is_named else data.to_numpy())))


def test_infinity_in_single_precision_is_refused_as_before(tmp_path: Path) -> None:
    save_small("xgboost", tmp_path / "m.ubj")
    rows = NUMBERS.astype("float32")
    rows.iloc[1, 2] = np.inf

    with pytest.raises(ScorerFailedError, match="inf"):
        score(spec_of(tmp_path / "m.ubj", "xgboost"), rows)
