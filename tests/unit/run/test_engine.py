from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparkscore.errors import ConfigError
from sparkscore.models.model_description import ModelDescription
from sparkscore.run import PreparedRun
from sparkscore.run.delivery import ByStage
from sparkscore.run.engine import engine_spec
from sparkscore.scorers import ScorerSpec, ScriptSpec
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec, OnnxSpec, RowsSpec
from sparkscore.signature.model_signature import ModelSignature
from sparkscore.stage import StageFolder

Ask = Callable[..., PreparedRun]
SCRIPT = ScriptSpec(b"", "score.py")
FILES = ModelFiles("m", "1", "/m.onnx", "0")
ONNX = OnnxSpec(FILES, "m.onnx", (), ())
TREES = FrameworkSpec(ModelFiles("m", "1", "/m.ubj", "0"), "xgboost", None)
PICKLE = FrameworkSpec(ModelFiles("m", "1", "/m.pkl", "0"), "xgboost", None)


def with_settings(prepared: PreparedRun, **changed: Any) -> PreparedRun:
    return replace(prepared, deployment=prepared.deployment.model_copy(update=changed))


def test_rows_that_spark_has_scored_need_no_environment(ask: Ask, tmp_path: Path) -> None:
    found = engine_spec(ask(), "k", RowsSpec(("a",)), ByStage(StageFolder(tmp_path)), ("a",))

    assert (found.key, found.child, found.environment, found.not_null) == ("k", None, None, ("a",))


@pytest.mark.parametrize(("isolation", "has_child"), [(None, True), ("process", True), ("none", False)])
def test_a_script_runs_in_a_child_process_unless_the_deployment_says_none(
    ask: Ask, tmp_path: Path, isolation: str | None, *, has_child: bool
) -> None:
    found = engine_spec(with_settings(ask(), isolation=isolation), "k", SCRIPT, ByStage(StageFolder(tmp_path)))

    assert (found.child is not None) == has_child


@pytest.mark.parametrize("scorer", [ONNX, TREES])
@pytest.mark.parametrize(("isolation", "has_child"), [(None, False), ("process", True), ("none", False)])
def test_a_model_without_code_runs_in_the_worker_unless_the_deployment_says_process(
    ask: Ask, tmp_path: Path, scorer: ScorerSpec, isolation: str | None, *, has_child: bool
) -> None:
    found = engine_spec(with_settings(ask(), isolation=isolation), "k", scorer, ByStage(StageFolder(tmp_path)))

    assert (found.child is not None) == has_child


@pytest.mark.parametrize(("isolation", "has_child"), [(None, True), ("none", False)])
def test_a_time_limit_needs_a_child_process(
    ask: Ask, tmp_path: Path, isolation: str | None, *, has_child: bool
) -> None:
    prepared = with_settings(ask(settings__retry_settings__timeout=60), isolation=isolation)

    assert (engine_spec(prepared, "k", ONNX, ByStage(StageFolder(tmp_path))).child is not None) == has_child


# LightGBM ends the process if its file is cut off.
@pytest.mark.parametrize("scorer", [PICKLE, FrameworkSpec(ModelFiles("m", "1", "/m.txt", "0"), "lightgbm", None)])
def test_what_may_end_its_process_runs_in_a_child_process(ask: Ask, tmp_path: Path, scorer: ScorerSpec) -> None:
    found = engine_spec(with_settings(ask(), isolation=None), "k", scorer, ByStage(StageFolder(tmp_path)))

    assert found.child is not None


def test_another_interpreter_needs_a_child_process(ask: Ask, tmp_path: Path) -> None:
    found = engine_spec(ask(python__path="/opt/python"), "k", SCRIPT, ByStage(StageFolder(tmp_path)))

    assert found.child is not None
    assert (found.child.python, found.child.archive) == ("/opt/python", None)


@pytest.mark.parametrize(("timeout", "load_timeout"), [(5, 600), (120, 1200)])
def test_a_load_may_take_longer_than_a_mini_batch(ask: Ask, tmp_path: Path, timeout: int, load_timeout: int) -> None:
    prepared = ask(settings__retry_settings__timeout=timeout, isolation="process")

    child = engine_spec(prepared, "k", SCRIPT, ByStage(StageFolder(tmp_path))).child

    assert child is not None
    assert (child.timeout, child.load_timeout) == (timeout, load_timeout)


def test_the_environment_variables_of_a_script_travel_with_the_script_alone(ask: Ask, tmp_path: Path) -> None:
    prepared = ask(environment_variables={"DB_PASSWORD": "hunter2-and-more"})

    assert engine_spec(prepared, "k", SCRIPT, ByStage(StageFolder(tmp_path))).variables == ()
    found = engine_spec(prepared, "k", ONNX, ByStage(StageFolder(tmp_path)))
    assert found.variables == (("DB_PASSWORD", "hunter2-and-more"),)
    assert found.secrets == ("hunter2-and-more",)


def test_a_packed_environment_travels_in_the_stage(ask: Ask, tmp_path: Path) -> None:
    archive = tmp_path / "env.tar.gz"
    with tarfile.open(archive, "w:gz"):
        pass
    (tmp_path / "stage").mkdir()

    child = engine_spec(ask(python__archive=str(archive)), "k", SCRIPT, ByStage(StageFolder(tmp_path / "stage"))).child

    assert child is not None
    assert child.archive is not None
    assert Path(child.archive.source).read_bytes() == archive.read_bytes()
    assert (tmp_path / "stage") in Path(child.archive.source).parents


def test_a_packed_environment_that_is_not_there_is_refused(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[PYTHON_ARCHIVE\].*no such file"):
        engine_spec(ask(python__archive=str(tmp_path / "none.tar.gz")), "k", SCRIPT, ByStage(StageFolder(tmp_path)))


@pytest.mark.parametrize(
    ("scorer", "flavors", "expected"),
    [
        (FrameworkSpec(FILES, "xgboost", None), ("xgboost .ubj",), ("sparkscore.scorers.framework", "xgboost")),
        (FrameworkSpec(FILES, "sklearn", None), (), ("sparkscore.scorers.framework", "joblib", "sklearn")),
        (
            MlflowSpec(FILES, None),
            ("python_function", "sklearn"),
            ("mlflow.pyfunc", "sparkscore.scorers.mlflow", "joblib", "sklearn", "mlflow.sklearn"),
        ),
        (MlflowSpec(FILES, None), ("python_function", "pytorch"), ("mlflow.pyfunc", "sparkscore.scorers.mlflow")),
        (ONNX, ("onnx",), ()),
        (SCRIPT, ("python_function", "sklearn"), ()),
    ],
)
def test_workers_know_in_advance_which_libraries_a_model_without_script_imports(
    ask: Ask, tmp_path: Path, scorer: ScorerSpec, flavors: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    described = ModelDescription("mlflow", flavors, ModelSignature(inputs=None), runs_code=False)
    prepared = replace(ask(), description=described)

    assert engine_spec(prepared, "k", scorer, ByStage(StageFolder(tmp_path))).libraries == expected
