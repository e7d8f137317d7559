"""Text models and models of several outputs, as files and as MLflow models, compared with plain Python."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sparkscore.digest import digest_of_path
from sparkscore.errors import SignatureMismatchError
from sparkscore.minibatch import MiniBatch
from sparkscore.returned import tabulate
from sparkscore.scorers import load_scorer
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec

WORDS = ["good", "bad", "dull", "great"] * 10
TEXTS = pd.Series([f"{word} film number {number % 5}" for number, word in enumerate(WORDS)], name="text")
LABELS = np.array([1, 0, 0, 1] * 10)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def classifier() -> Any:
    return LogisticRegression()


TEXT_MODELS: dict[str, Any] = {
    "count": make_pipeline(CountVectorizer(), classifier()),
    "tfidf": make_pipeline(TfidfVectorizer(), classifier()),
    "hashing": make_pipeline(HashingVectorizer(n_features=64), TfidfTransformer(), classifier()),
    "nested": make_pipeline(make_pipeline(TfidfVectorizer()), classifier()),
    "union": make_pipeline(FeatureUnion([("a", CountVectorizer()), ("b", TfidfVectorizer())]), classifier()),
    "search": GridSearchCV(make_pipeline(TfidfVectorizer(), classifier()), {"logisticregression__C": [1, 10]}, cv=2),
    "calibrated": CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), classifier()), cv=2),
    "voting": VotingClassifier([("a", make_pipeline(CountVectorizer(), classifier()))], voting="soft"),
}  # fmt: skip


def score(scorer_spec: Any, rows: pd.DataFrame) -> Any:
    scorer = load_scorer(scorer_spec)
    try:
        return scorer.score(MiniBatch("0", (), pa.Table.from_pandas(rows, preserve_index=False)))
    finally:
        scorer.close()


def saved(model: Any, folder: Path, *methods: str) -> FrameworkSpec:
    path = folder / "m.joblib"
    joblib.dump(model, path)
    return FrameworkSpec(ModelFiles("m", "1", str(path), digest_of_path(path)), "sklearn", None, methods)


def logged(model: Any, folder: Path, *methods: str, **options: Any) -> MlflowSpec:
    import mlflow  # noqa: PLC0415 - it takes seconds

    mlflow.sklearn.save_model(model, folder / "logged", pip_requirements=["mlflow"], **options)
    path = folder / "logged"
    return MlflowSpec(ModelFiles("m", "1", str(path), digest_of_path(path)), None, methods)


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_a_text_model_gets_the_column(name: str, tmp_path: Path) -> None:
    model = TEXT_MODELS[name].fit(TEXTS, LABELS)
    spec = saved(model, tmp_path, "predict", "predict_proba")

    scored = score(spec, TEXTS.to_frame())

    assert list(scored.columns["predict"]) == list(model.predict(TEXTS))
    assert np.array_equal(scored.columns["predict_proba"], model.predict_proba(TEXTS))


@pytest.mark.parametrize("options", [{}, {"pyfunc_predict_fn": "predict_proba"}])
def test_a_text_model_of_mlflow_gets_the_column(options: dict[str, Any], tmp_path: Path) -> None:
    model = TEXT_MODELS["tfidf"].fit(TEXTS, LABELS)

    scored = score(logged(model, tmp_path, **options), TEXTS.to_frame())

    assert np.array_equal(scored, getattr(model, options.get("pyfunc_predict_fn", "predict"))(TEXTS))


@pytest.mark.parametrize("save", [saved, logged])
def test_several_columns_for_a_text_model_are_refused_with_how_to_wrap_it(save: Any, tmp_path: Path) -> None:
    model = TEXT_MODELS["tfidf"].fit(TEXTS, LABELS)

    with pytest.raises(SignatureMismatchError) as caught:
        score(save(model, tmp_path), pd.DataFrame({"text": TEXTS, "id": range(40)}))

    assert caught.value.code == "MODEL_INPUT"
    assert 'make_column_transformer((TfidfVectorizer(), "text"))' in caught.value.next_step


def test_a_model_of_dicts_gets_no_table(tmp_path: Path) -> None:
    model = make_pipeline(DictVectorizer(), classifier()).fit([{"a": 1.0}, {"a": 2.0}] * 5, [0, 1] * 5)

    with pytest.raises(SignatureMismatchError, match="scoring script"):
        score(saved(model, tmp_path), pd.DataFrame({"a": [1.0, 2.0]}))


@pytest.mark.parametrize(
    "first",
    [
        make_column_transformer((TfidfVectorizer(), "text")),
        make_pipeline(FunctionTransformer(pd.DataFrame.squeeze, kw_args={"axis": 1}), TfidfVectorizer()),
    ],
)
def test_a_model_that_takes_its_column_itself_gets_the_table(first: Any, tmp_path: Path) -> None:
    model = make_pipeline(first, classifier()).fit(TEXTS.to_frame(), LABELS)

    assert list(score(saved(model, tmp_path), TEXTS.to_frame())) == list(model.predict(TEXTS.to_frame()))


@pytest.mark.parametrize("rows", [1, 2, 3, 40])
@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize("save", [saved, logged])
def test_the_outputs_of_a_model_of_several_are_columns(save: Any, outputs: int, rows: int, tmp_path: Path) -> None:
    # Columns, as in a DataFrame that was read from a file. In another layout, some processors round sums differently.
    numbers = pd.DataFrame(dict(zip("ab", np.random.default_rng(1).normal(size=(2, 40)), strict=True)))
    labels = np.stack([(numbers["a"] > limit).to_numpy() for limit in (0, 0.5, -0.5)[:outputs]], axis=1).astype(int)
    model = MultiOutputClassifier(LogisticRegression()).fit(numbers, labels)

    scored = score(save(model, tmp_path, "predict_proba"), numbers.head(rows))
    table = tabulate(scored).table

    assert table.column_names == [f"c{number}" for number in range(outputs)]
    for column, expected in zip(table.columns, model.predict_proba(numbers.head(rows)), strict=True):
        assert column.to_pylist() == expected.tolist()


def test_several_outputs_beside_another_method_are_one_column(tmp_path: Path) -> None:
    numbers = pd.DataFrame({"a": range(20)})
    labels = np.stack([np.arange(20) > 10, np.arange(20) > 5], axis=1).astype(int)
    model = RandomForestClassifier(3, random_state=1).fit(numbers, labels)

    table = tabulate(score(saved(model, tmp_path, "predict", "predict_proba"), numbers.head(2))).table

    assert table.column_names == ["predict", "predict_proba"]
    first, second = model.predict_proba(numbers.head(2))
    assert table.column("predict_proba").to_pylist() == [
        {"c0": list(a), "c1": list(b)} for a, b in zip(first, second, strict=True)
    ]


class Embedder:
    """No estimator: a matrix for each row."""

    def predict(self, frame: pd.DataFrame) -> list[Any]:
        return [np.full((2, 2), value) for value in frame["a"]]


def test_a_list_of_matrices_of_what_is_no_estimator_is_rows(tmp_path: Path) -> None:
    scored = score(saved(Embedder(), tmp_path), pd.DataFrame({"a": [1.0, 2.0]}))

    assert len(scored) == 2
