"""Tree models with categories: each value is scored as the library's own predict scores the training's categories."""

from __future__ import annotations

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
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sparkscore.digest import digest_of_path
from sparkscore.errors import ModelLoadError, SignatureMismatchError
from sparkscore.minibatch import MiniBatch
from sparkscore.models import ResolvedModel
from sparkscore.models.framework_model import describe_framework
from sparkscore.scorers import load_scorer
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import Framework, FrameworkSpec, MlflowSpec
from sparkscore.signature.matching import match_inputs

RANDOM = np.random.default_rng(7)
ROWS = 400
PLAIN = pd.DataFrame(
    {
        "n": RANDOM.normal(size=ROWS),
        "city": RANDOM.choice(["b", "a", "Köln x", "Zz", ""], ROWS),
        "code": RANDOM.choice([30, 10, 20], ROWS),
        "yes": RANDOM.choice([True, False], ROWS),
        "size": RANDOM.choice(["small", "big"], ROWS),
        "flag": RANDOM.integers(0, 2, ROWS),
        "day": RANDOM.choice(["2024-01-01", "2024-02-01"], ROWS),
    }
)
HOLES = PLAIN.assign(city=PLAIN["city"].where(RANDOM.random(ROWS) > 0.2), yes=PLAIN["yes"].where(PLAIN["n"] > -1))
ASCII = PLAIN.assign(city=PLAIN["city"].replace({"Köln x": "Koeln x"}))
Y = PLAIN["n"] + PLAIN["city"].astype("category").cat.codes * 2 + PLAIN["code"] / 10 + PLAIN["yes"] * 3
LABELS = (Y.mean() < Y).astype("int64")
QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3}
XGBOOST = {"max_depth": 5, "nthread": 1}
# All rows at once, one by one, and with a rest.
SIZES = (0, 1, 7)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def categorised(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return frame.assign(**{column: frame[column].astype("category") for column in columns})


def spec_of(path: Path, framework: Framework, rows: pa.Table, **more: Any) -> FrameworkSpec:
    """Tell a worker about a model file and rows, by the driver's own way."""
    sha256 = digest_of_path(path)
    inputs = describe_framework(ResolvedModel(path, "m", "1", sha256), framework).signature.inputs
    feeds = None if inputs is None else match_inputs(inputs, rows.schema, {}, rounds=False)
    with_null = frozenset(name for name in rows.column_names if rows.column(name).null_count)
    files = ModelFiles("m", "1", str(path), sha256)
    return FrameworkSpec(files, framework, feeds, dtypes=Dtypes(with_null=with_null), **more)


def table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def score(spec: Any, rows: pa.Table, sizes: int = 0) -> tuple[Any, dict[str, int]]:
    """Score rows in mini-batches of a size; give the values and what was unseen."""
    scorer: Any = load_scorer(spec)
    try:
        parts: list[Any] = []
        unseen: dict[str, int] = {}
        for start in range(0, rows.num_rows, sizes or rows.num_rows):
            parts.append(scorer.score(MiniBatch("0", (), rows.slice(start, sizes or rows.num_rows))))
            for column, count in scorer.unseen.items():
                unseen[column] = unseen.get(column, 0) + count
        return np.concatenate(parts), unseen
    finally:
        scorer.close()


def lightgbm_file(tmp_path: Path, frame: pd.DataFrame, **options: Any) -> tuple[Path, Any]:
    model = lightgbm.train(QUIET, lightgbm.Dataset(frame, Y, **options), 15)
    model.save_model(tmp_path / "m.txt")
    return tmp_path / "m.txt", lightgbm.Booster(model_file=tmp_path / "m.txt")


def xgboost_file(tmp_path: Path, frame: pd.DataFrame, ending: str = "json") -> tuple[Path, Any]:
    data = xgboost.DMatrix(frame, Y, enable_categorical=True)
    xgboost.train(XGBOOST, data, 15).save_model(tmp_path / f"m.{ending}")
    return tmp_path / f"m.{ending}", xgboost.Booster(model_file=tmp_path / f"m.{ending}")


# ----------------------------------------------------------------------------------------------------------- LightGBM


@pytest.mark.parametrize(
    "columns", [("city",), ("code",), ("yes",), ("city", "code", "yes", "size"), ("size", "city", "flag"), ("day",)]
)
def test_lightgbm_scores_each_value_by_its_own_lists(columns: tuple[str, ...], tmp_path: Path) -> None:
    kept = ["n", "flag", *dict.fromkeys(column for column in columns if column != "flag")]
    frame = categorised(PLAIN[kept], *columns)
    path, model = lightgbm_file(tmp_path, frame)
    rows = table(PLAIN[kept].astype({} if "flag" in columns else {"flag": "int32"}).iloc[:40])

    scored = {size: score(spec_of(path, "lightgbm", rows), rows, size) for size in SIZES}

    expected = model.predict(frame.iloc[:40]).tobytes()
    assert {size: (values.tobytes(), unseen) for size, (values, unseen) in scored.items()} == {
        size: (expected, {}) for size in SIZES
    }


def test_lightgbm_with_missing_categories(tmp_path: Path) -> None:
    columns = ["n", "city", "yes"]
    frame = categorised(HOLES[columns], "city", "yes")
    path, model = lightgbm_file(tmp_path, frame)
    rows = table(HOLES[columns])

    values, unseen = score(spec_of(path, "lightgbm", rows), rows, 13)

    assert values.tobytes() == model.predict(frame).tobytes()
    assert unseen == {}


def test_lightgbm_with_a_column_that_is_all_null(tmp_path: Path) -> None:
    frame = categorised(PLAIN[["n", "city"]], "city")
    path, model = lightgbm_file(tmp_path, frame)
    rows = pa.table({"n": PLAIN["n"][:5], "city": pa.nulls(5, pa.string())})
    missing = frame.iloc[:5].assign(city=pd.Categorical([None] * 5, categories=frame["city"].cat.categories))

    assert score(spec_of(path, "lightgbm", rows), rows)[0].tobytes() == model.predict(missing).tobytes()


def test_lightgbm_takes_what_it_has_not_seen_for_missing_and_it_is_counted(tmp_path: Path) -> None:
    frame = categorised(PLAIN[["n", "city"]], "city")
    path, model = lightgbm_file(tmp_path, frame)
    odd = PLAIN[["n", "city"]].iloc[:30].copy()
    odd.iloc[[3, 4, 20], 1] = "nowhere"
    rows = table(odd)

    values, unseen = score(spec_of(path, "lightgbm", rows, predict_fn=()), rows, 10)

    as_missing = odd.assign(city=pd.Categorical(odd["city"], categories=frame["city"].cat.categories))
    assert values.tobytes() == model.predict(as_missing).tobytes()
    assert unseen == {"city": 3}


def test_an_ordered_category_is_a_number_for_lightgbm_and_a_text_in_the_input(tmp_path: Path) -> None:
    frame = categorised(PLAIN[["n", "city", "size", "flag"]], "city")
    frame["size"] = pd.Categorical(PLAIN["size"], categories=["small", "big"], ordered=True)
    path, model = lightgbm_file(tmp_path, frame)
    rows = table(PLAIN[["n", "city", "size", "flag"]].astype({"flag": "int32"}))

    assert score(spec_of(path, "lightgbm", rows), rows, 50)[0].tobytes() == model.predict(frame).tobytes()


def test_lists_that_may_be_those_of_several_columns_are_refused(tmp_path: Path) -> None:
    frame = PLAIN[["n", "code", "flag"]].assign(
        code=pd.Categorical(PLAIN["code"], categories=[30, 20, 10], ordered=True)
    )
    path, _ = lightgbm_file(tmp_path, frame)
    rows = table(PLAIN[["n", "code", "flag"]].astype({"flag": "int32", "code": "int32"}))

    with pytest.raises(ModelLoadError, match=r"MODEL_CATEGORIES.*scoring script"):
        score(spec_of(path, "lightgbm", rows), rows)


def test_a_category_of_one_value_is_found_by_its_kind(tmp_path: Path) -> None:
    frame = categorised(PLAIN[["n", "city"]].assign(land="DE", flag=PLAIN["flag"]), "city", "land")
    path, model = lightgbm_file(tmp_path, frame)
    rows = table(PLAIN[["n", "city"]].assign(land="DE", flag=PLAIN["flag"].astype("int32")))

    assert score(spec_of(path, "lightgbm", rows), rows, 9)[0].tobytes() == model.predict(frame).tobytes()


def test_integer_categories_without_pandas_are_the_numbers_themselves(tmp_path: Path) -> None:
    frame = PLAIN[["n", "code"]].astype({"code": "int32"})
    path, model = lightgbm_file(tmp_path, frame, categorical_feature=["code"])
    rows = table(frame)

    assert score(spec_of(path, "lightgbm", rows), rows, 50)[0].tobytes() == model.predict(frame).tobytes()
    texts = table(frame.astype({"code": str}))
    with pytest.raises(SignatureMismatchError, match="'code': got string, expected double"):
        spec_of(path, "lightgbm", texts)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("city", [1, 2], "text"),
        ("city", [True, False], "text"),
        ("code", ["10", "20"], "number"),
        ("code", [True, False], "number"),
        ("yes", [0, 1], "boolean"),
        ("yes", ["True", "False"], "boolean"),
    ],
)
def test_values_of_another_kind_than_the_categories_are_refused_before_scoring(
    column: str, values: list[Any], expected: str, tmp_path: Path
) -> None:
    path, _ = lightgbm_file(tmp_path, categorised(PLAIN[["n", column]], column))

    with pytest.raises(SignatureMismatchError, match=f"column '{column}': got .*, expected {expected}"):
        spec_of(path, "lightgbm", pa.table({"n": [0.5, 1.0], column: values}))


def test_booleans_are_exact_doubles(tmp_path: Path) -> None:
    frame = PLAIN[["n", "yes", "flag"]]
    path, model = lightgbm_file(tmp_path, frame)
    (tmp_path / "x").mkdir()
    other, booster = xgboost_file(tmp_path / "x", frame)
    rows = pa.table({"n": frame["n"], "yes": frame["yes"], "flag": pa.array(frame["flag"], pa.int32())})

    assert score(spec_of(path, "lightgbm", rows), rows, 50)[0].tobytes() == model.predict(frame).tobytes()
    expected = booster.predict(xgboost.DMatrix(frame, nthread=1))
    assert score(spec_of(other, "xgboost", rows), rows, 50)[0].tobytes() == expected.tobytes()

    holes = frame.assign(yes=frame["yes"].astype(float).mask(frame["n"] > 0.5))
    with_null = rows.set_column(
        1, "yes", pa.array([None if n > 0.5 else y for n, y in zip(frame["n"], frame["yes"], strict=True)])
    )
    assert score(spec_of(path, "lightgbm", rows), with_null)[0].tobytes() == model.predict(holes).tobytes()
    expected = booster.predict(xgboost.DMatrix(holes, nthread=1))
    assert score(spec_of(other, "xgboost", rows), with_null)[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize("make", [lightgbm.LGBMRegressor, xgboost.XGBRegressor])
def test_pickled_models_take_booleans_beside_null(make: Any, tmp_path: Path) -> None:
    model = make(n_estimators=5, n_jobs=1).fit(PLAIN[["n", "yes"]], Y)
    joblib.dump(model, tmp_path / "m.joblib")
    rows = pa.table({"n": [0.5, 1.0, 2.0], "yes": [True, None, False]})

    values, _ = score(spec_of(tmp_path / "m.joblib", "sklearn", rows), rows, 1)

    assert values.tobytes() == model.predict(pd.DataFrame({"n": [0.5, 1, 2], "yes": [1.0, np.nan, 0]})).tobytes()


# ------------------------------------------------------------------------------------------------------------ XGBoost


@pytest.mark.parametrize("ending", ["json", "ubj"])
@pytest.mark.parametrize("columns", [("city",), ("code",), ("city", "code", "size"), ("size", "flag")])
def test_xgboost_scores_each_value_by_its_own_lists(columns: tuple[str, ...], ending: str, tmp_path: Path) -> None:
    kept = ["n", "flag", *[column for column in columns if column != "flag"]]
    frame = categorised(ASCII[kept], *columns)
    path, model = xgboost_file(tmp_path, frame, ending)
    rows = table(ASCII[kept].iloc[:40])

    scored = {size: score(spec_of(path, "xgboost", rows), rows, size) for size in SIZES}

    expected = model.predict(xgboost.DMatrix(frame.iloc[:40], enable_categorical=True, nthread=1)).tobytes()
    assert {size: (values.tobytes(), unseen) for size, (values, unseen) in scored.items()} == {
        size: (expected, {}) for size in SIZES
    }


def test_xgboost_with_missing_categories(tmp_path: Path) -> None:
    holes = HOLES[["n", "city"]].assign(city=HOLES["city"].replace({"Köln x": "K"}))
    frame = categorised(holes, "city")
    path, model = xgboost_file(tmp_path, frame)
    rows = table(holes)

    expected = model.predict(xgboost.DMatrix(frame, enable_categorical=True, nthread=1))
    assert score(spec_of(path, "xgboost", rows), rows, 9)[0].tobytes() == expected.tobytes()


def test_xgboost_raises_for_what_it_has_not_seen(tmp_path: Path) -> None:
    frame = categorised(ASCII[["n", "city"]], "city")
    path, model = xgboost_file(tmp_path, frame)
    rows = pa.table({"n": [0.5, 1.0], "city": ["a", "secret-place"]})

    with pytest.raises(SignatureMismatchError, match=r"'city': got 1 values .* 5 categories") as caught:
        score(spec_of(path, "xgboost", rows), rows)
    assert "secret-place" not in str(caught.value)
    with pytest.raises(xgboost.core.XGBoostError):
        model.predict(xgboost.DMatrix(rows.to_pandas().astype({"city": "category"}), enable_categorical=True))


@pytest.mark.parametrize("type_", [pa.int8(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_()])
def test_whole_numbers_of_xgboost_take_any_number(type_: pa.DataType, tmp_path: Path) -> None:
    frame = PLAIN[["n", "flag"]]
    path, model = xgboost_file(tmp_path, frame)
    rows = pa.table({"n": frame["n"], "flag": pa.array(frame["flag"]).cast(type_)})

    expected = model.predict(xgboost.DMatrix(frame, nthread=1))
    assert score(spec_of(path, "xgboost", rows), rows)[0].tobytes() == expected.tobytes()


# ------------------------------------------------------------------------------------------- pickles, pipelines, MLflow


def lightgbm_classifier() -> Any:
    return lightgbm.LGBMClassifier(n_estimators=8, num_leaves=7, verbose=-1, n_jobs=1)


def xgboost_classifier() -> Any:
    return xgboost.XGBClassifier(n_estimators=8, max_depth=4, n_jobs=1, enable_categorical=True)


def passing() -> Any:
    chosen = make_column_transformer(
        (StandardScaler(), ["n"]), remainder="passthrough", verbose_feature_names_out=False
    )
    return chosen.set_output(transform="pandas")


NESTED: dict[str, Any] = {
    "alone": lambda model: model,
    "step": make_pipeline,
    "behind a transformer": lambda model: make_pipeline(passing(), model),
    "behind its own categories": lambda model: make_pipeline(FunctionTransformer(as_categories), model),
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=2),
    "voting": lambda model: VotingClassifier([("a", model), ("b", model)], voting="soft"),
}


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Make categories of what a mini-batch has, as many pipelines do."""
    return frame.assign(city=frame["city"].astype("category"), code=frame["code"].astype("category"))


@pytest.mark.parametrize("nesting", NESTED)
@pytest.mark.parametrize("make", [lightgbm_classifier, xgboost_classifier])
def test_pickled_estimators_use_their_own_lists(make: Any, nesting: str, tmp_path: Path) -> None:
    frame = categorised(ASCII[["n", "city", "code"]], "city", "code")
    model = NESTED[nesting](make()).fit(frame, LABELS)
    joblib.dump(model, tmp_path / "m.joblib")
    rows = table(ASCII[["n", "city", "code"]].iloc[:30])

    for method in ("predict", "predict_proba"):
        values, unseen = score(spec_of(tmp_path / "m.joblib", "sklearn", rows, predict_fn=(method,)), rows, 3)

        expected = getattr(model, method)(frame.iloc[:30])
        assert np.asarray(values).tobytes() == np.asarray(expected).tobytes(), method
        assert unseen == {}


def test_what_several_methods_and_models_have_not_seen_counts_once(tmp_path: Path) -> None:
    frame = categorised(PLAIN[["n", "city"]], "city")
    joblib.dump(NESTED["voting"](lightgbm_classifier()).fit(frame, LABELS), tmp_path / "m.joblib")
    rows = pa.table({"n": [0.5, 1.0], "city": ["a", "nowhere"]})
    scorer: Any = load_scorer(spec_of(tmp_path / "m.joblib", "sklearn", rows, predict_fn=("predict", "predict_proba")))

    scorer.score(MiniBatch("0", (), rows))

    assert scorer.unseen == {"city": 1}


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_pickled_boosters_use_their_own_lists(library: str, tmp_path: Path) -> None:
    frame = categorised(ASCII[["n", "city"]], "city")
    rows = table(ASCII[["n", "city"]])
    if library == "lightgbm":
        model: Any = lightgbm_file(tmp_path, frame)[1]
        expected = model.predict(frame)
    else:
        model = xgboost_file(tmp_path, frame)[1]
        expected = model.predict(xgboost.DMatrix(frame, enable_categorical=True))
    joblib.dump(model, tmp_path / "m.joblib")

    assert score(spec_of(tmp_path / "m.joblib", library, rows), rows, 5)[0].tobytes() == expected.tobytes()  # type: ignore[arg-type] # a name of a framework


def test_a_file_that_an_estimator_of_xgboost_wrote(tmp_path: Path) -> None:
    frame = categorised(ASCII[["n", "city"]], "city")
    model = xgboost_classifier().fit(frame, LABELS)
    model.save_model(tmp_path / "m.json")
    rows = table(ASCII[["n", "city"]])

    values, _ = score(spec_of(tmp_path / "m.json", "xgboost", rows, predict_fn=("predict_proba",)), rows, 50)
    assert values.tobytes() == model.predict_proba(frame).tobytes()


@pytest.mark.parametrize(("make", "is_nested"), [(lightgbm_classifier, True), (xgboost_classifier, False)])
def test_mlflow_models_use_their_own_lists(make: Any, is_nested: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a case
    import mlflow  # noqa: PLC0415 - it takes time to import

    frame = categorised(ASCII[["n", "city"]], "city")
    model = NESTED["step"](make()) if is_nested else make()
    model.fit(frame, LABELS)
    flavor: Any = mlflow.sklearn if is_nested else mlflow.lightgbm if make is lightgbm_classifier else mlflow.xgboost
    options = {"serialization_format": "cloudpickle"} if is_nested else {}
    # Without requirements, MLflow loads the model in a process of its own to find out.
    flavor.save_model(model, tmp_path / "m", pip_requirements=["mlflow"], **options)
    rows = table(ASCII[["n", "city"]])
    spec = MlflowSpec(ModelFiles("m", "1", str(tmp_path / "m"), digest_of_path(tmp_path / "m")), None)

    assert np.asarray(score(spec, rows, 7)[0]).tobytes() == np.asarray(model.predict(frame)).tobytes()


# --------------------------------------------------------------------------------------------------- whole numbers


@pytest.mark.parametrize("framework", ["lightgbm", "xgboost"])
def test_numbers_take_integers_that_a_double_holds_and_refuse_others(framework: Framework, tmp_path: Path) -> None:
    frame = PLAIN[["n", "flag"]].assign(n=PLAIN["n"] * 1000)
    path, model = (lightgbm_file if framework == "lightgbm" else xgboost_file)(tmp_path, frame)
    whole = pa.table({"n": pa.array([1, -700, None, 2**53]), "flag": pa.array([0, 1, 1, 0])})

    values, _ = score(spec_of(path, framework, whole), whole, 1)

    asked = pd.DataFrame({"n": [1.0, -700.0, np.nan, 2.0**53], "flag": [0, 1, 1, 0]})
    expected = model.predict(asked if framework == "lightgbm" else xgboost.DMatrix(asked, nthread=1))
    assert values.tobytes() == expected.tobytes()
    inexact = whole.set_column(0, "n", pa.array([1, 2, 3, 2**53 + 1]))
    with pytest.raises(SignatureMismatchError, match=r"MODEL_INPUT_VALUE.*'n'.*not double.*round_inputs: true"):
        score(spec_of(path, framework, inexact), inexact)
    decimals = whole.set_column(0, "n", pa.array([1, 2, 3, 4], pa.decimal128(5, 2)))
    with pytest.raises(SignatureMismatchError, match=r"'n': got decimal\(5,2\), expected double.*round_inputs"):
        spec_of(path, framework, decimals)


@pytest.mark.parametrize(
    ("column", "values", "got"),
    [("code", ["10", "20"], "text"), ("code", pa.array([10, 20], pa.decimal128(4, 0)), "decimal"),
     ("city", [b"a", b"b"], "bytes"), ("city", [1, 2], "number")],
)  # fmt: skip
def test_a_pickled_model_names_the_column_whose_values_are_not_of_its_list(
    column: str, values: Any, got: str, tmp_path: Path
) -> None:
    frame = categorised(PLAIN[["city", "n", "code"]], "city", "code")
    joblib.dump(lightgbm.train(QUIET, lightgbm.Dataset(frame, Y), 5), tmp_path / "m.joblib")
    rows = pa.table({"city": ["a", "b"], "n": [0.5, 1.0], "code": [10, 20]})
    rows = rows.set_column(rows.column_names.index(column), column, pa.array(values))

    with pytest.raises(SignatureMismatchError, match=f"'{column}': got type '{got}'.*Cast the column"):
        score(spec_of(tmp_path / "m.joblib", "lightgbm", rows), rows)
