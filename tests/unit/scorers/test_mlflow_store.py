from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.scorers.mlflow_store import variables_of_store, where_scripts_logged


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "code" / "lib").mkdir(parents=True)
    (tmp_path / "code" / "score.py").write_text("import lib.tracking")
    (tmp_path / "code" / "lib" / "tracking.py").write_text("import mlflow")
    return tmp_path / "code"


def test_a_script_that_may_log_gets_a_store_among_its_logs(code: Path, tmp_path: Path) -> None:
    found = variables_of_store(code, str(tmp_path / "a b"), {})

    assert found["MLFLOW_TRACKING_URI"].startswith(f"sqlite:///{tmp_path}/a%20b/mlflow/")
    assert found["_MLFLOW_SERVER_ARTIFACT_ROOT"] == f"{tmp_path}/a b/mlflow/artifacts"
    assert where_scripts_logged(tmp_path / "a b") == []


def test_what_a_script_logs_is_kept_and_found(code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = mlflow.get_tracking_uri()
    for name, value in variables_of_store(code, str(tmp_path / "logs"), {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(code)
    try:
        mlflow.set_tracking_uri(None)
        with mlflow.start_run():
            mlflow.log_metric("rows", 3)
            mlflow.log_text("a", "note.txt")
    finally:
        mlflow.set_tracking_uri(uri)

    (told,) = where_scripts_logged(tmp_path / "logs")
    assert f"'{tmp_path / 'logs' / 'mlflow'}'" in told
    assert list((tmp_path / "logs").rglob("note.txt"))
    assert not list(code.rglob("mlruns"))


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "DATABRICKS_RUNTIME_VERSION"])
def test_a_store_that_is_there_stays(name: str, code: Path, tmp_path: Path) -> None:
    assert variables_of_store(code, str(tmp_path / "logs"), {name: "x"}) == {}


def test_a_script_that_does_not_log_leaves_no_folder(code: Path, tmp_path: Path) -> None:
    (code / "lib" / "tracking.py").write_text("")

    assert variables_of_store(code, str(tmp_path / "logs"), {}) == {}
    assert not (tmp_path / "logs").exists()
