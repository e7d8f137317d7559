"""What libraries warn of while a model is loaded is told, and changes nothing else."""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from sparkscore.digest import digest_of_path
from sparkscore.minibatch import MiniBatch
from sparkscore.record.from_reports import warnings_of
from sparkscore.redaction import remember_values
from sparkscore.scorers import load_scorer
from sparkscore.scorers.load_warnings import LOADING, noting_warnings
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import Framework, FrameworkSpec
from sparkscore.stage.report import MiniBatchReport
from sparkscore.worker.engine import EngineSpec, Loaded, LocalEngine

X = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60.0) % 7})
Y = np.arange(60) % 2


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def spec_of(path: Path, framework: Framework, **more: Any) -> FrameworkSpec:
    return FrameworkSpec(ModelFiles("m", "1", str(path), digest_of_path(path)), framework, None, **more)


def loaded(spec: FrameworkSpec) -> Loaded:
    engine = LocalEngine(EngineSpec("k", spec))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            return engine.load()
    finally:
        engine.close()


def test_a_model_of_another_version_of_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr("sklearn.base.__version__", "0.9.1")
        joblib.dump(LogisticRegression().fit(X, Y), tmp_path / "m.joblib")

    found = loaded(spec_of(tmp_path / "m.joblib", "sklearn"))

    (told,) = found.warnings
    assert told.startswith(f"{LOADING}InconsistentVersionWarning: Trying to unpickle estimator LogisticRegression")
    assert "0.9.1" in told


class Failing(LogisticRegression):  # type: ignore[misc] # scikit-learn has no types
    """Its module has lost what the model needs."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        raise ValueError("no such attribute")


def test_a_load_that_fails_tells_what_was_warned_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Failing, "__module__", "sklearn.linear_model")
    monkeypatch.setattr("sklearn.linear_model.Failing", Failing, raising=False)
    with monkeypatch.context() as before:
        before.setattr("sklearn.base.__version__", "0.9.1")
        joblib.dump(Failing().fit(X, Y), tmp_path / "m.joblib")

    found = loaded(spec_of(tmp_path / "m.joblib", "sklearn"))

    assert found.failure is not None
    assert found.failure.code == "MODEL_LOAD"
    assert [told for told in found.warnings if "InconsistentVersionWarning" in told]


def test_a_model_without_a_warning(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit(X, Y), tmp_path / "m.joblib")

    assert loaded(spec_of(tmp_path / "m.joblib", "sklearn")) == Loaded(models=(digest_of_path(tmp_path / "m.joblib"),))


def early_stopped(path: Path) -> Any:
    """Save a model whose file holds more trees than its best iteration, and which took -1 for missing."""
    model = xgboost.XGBClassifier(n_estimators=30, early_stopping_rounds=3, missing=-1.0, n_jobs=1)
    model.fit(X[:40], Y[:40], eval_set=[(X[40:], 1 - Y[40:])], verbose=False)
    model.save_model(path)
    return model


def test_a_file_of_xgboost_that_says_less_than_its_estimator(tmp_path: Path) -> None:
    model = early_stopped(tmp_path / "m.json")
    best = model.best_iteration

    found = loaded(spec_of(tmp_path / "m.json", "xgboost"))

    missing, stopped = sorted(found.warnings, key=lambda told: "best_iteration" in told)
    assert "does not hold its 'missing'" in missing
    assert f"'best_iteration: {best}'" in stopped
    assert f"iteration_range: [0, {best + 1}]" in stopped
    (told,) = loaded(spec_of(tmp_path / "m.json", "xgboost", predict_fn=("predict_proba",))).warnings
    assert "best_iteration" not in told
    assert "model.params" not in told


def test_what_the_warnings_advise_gives_what_the_estimator_gives(tmp_path: Path) -> None:
    model = early_stopped(tmp_path / "m.json")
    rows = X.assign(a=X["a"].where(X.index % 3 > 0, -1.0))
    params = (("iteration_range", [0, model.best_iteration + 1]), ("missing", -1))
    scorer = load_scorer(spec_of(tmp_path / "m.json", "xgboost", params=params))

    values: Any = scorer.score(MiniBatch("0", (), pa.Table.from_pandas(rows, preserve_index=False)))

    assert values.tobytes() == model.predict_proba(rows)[:, 1].tobytes()


def test_a_booster_that_was_trained_alone_warns_of_nothing(tmp_path: Path) -> None:
    xgboost.train({"nthread": 1}, xgboost.DMatrix(X, Y), 3).save_model(tmp_path / "m.json")
    assert "scikit_learn" not in json.loads((tmp_path / "m.json").read_text())["learner"]["attributes"]

    assert loaded(spec_of(tmp_path / "m.json", "xgboost")).warnings == ()


def test_warnings_are_few_short_on_one_line_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", lambda *_, **__: None)
    remember_values(["a-value-that-is-secret"])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with noting_warnings() as told:
            for number in range(9):
                warnings.warn(f"{number}\n  {'x' * 390} a-value-that-is-secret", stacklevel=1)
                warnings.warn("for programmers", DeprecationWarning, stacklevel=1)

    assert len(told) == 6
    assert told[-1] == f"{LOADING}4 more warnings, which are in the worker's log"
    assert all(len(each) < 500 and "\n" not in each and "secret" not in each for each in told)


def test_filters_and_functions_that_the_body_sets_stay() -> None:
    def theirs(*_: Any, **__: Any) -> None: ...

    before = warnings.showwarning
    with warnings.catch_warnings():
        with noting_warnings():
            warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(RuntimeWarning):
            warnings.warn("x", RuntimeWarning, stacklevel=1)
        with noting_warnings():
            warnings.showwarning = theirs
        assert warnings.showwarning is theirs
        warnings.showwarning = before
    assert warnings.showwarning is before


def test_a_run_tells_of_each_warning_once_and_of_ten_at_most() -> None:
    report = MiniBatchReport(0, "0-0", None, 1, 1, 0, 1, 1, 0.1, datetime(2026, 1, 1, tzinfo=UTC), "w", 1)
    reports = [replace(report, warnings=(f"{LOADING}{number % 20}", "another")) for number in range(40)]

    told = warnings_of(reports, None)

    assert told[0] == "another"
    assert len(told) == 11
