from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sparkscore.scorers import ScriptSpec, load_scorer
from sparkscore.scripts.mlflow_store import variables_of_store, where_scripts_logged
from sparkscore.scripts.packing import pack_script


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


SCRIPT = """
import mlflow


def init():
    mlflow.log_metric("rows", 3)
    mlflow.log_text("a", "note.txt")


def run(files):
    return files
"""


def test_what_a_script_logs_is_kept_and_its_run_is_ended(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "work").mkdir()
    (code / "score.py").write_text(SCRIPT)
    packed = pack_script(code, "score.py")
    spec = ScriptSpec(packed.code, "score.py", log_folder=str(tmp_path / "logs"), work_folder=str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)

    scorer = load_scorer(spec)
    # A run that is complete has no stage any more when its last process ends.
    shutil.rmtree(tmp_path / "work")
    scorer.close()

    (told,) = where_scripts_logged(tmp_path / "logs")
    assert f"'{tmp_path / 'logs' / 'mlflow'}'" in told
    assert [file.read_text() for file in (tmp_path / "logs").rglob("note.txt")] == ["a"]
    (store,) = (tmp_path / "logs" / "mlflow").glob("*.db")
    with closing(sqlite3.connect(store)) as found:
        assert found.execute("select r.status, m.key from runs r join metrics m using (run_uuid)").fetchall() == [
            ("FINISHED", "rows")
        ]
    assert mlflow.active_run() is None
    assert {path.name for path in tmp_path.iterdir()} == {"code", "logs"}


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "DATABRICKS_RUNTIME_VERSION"])
def test_a_store_that_is_there_stays(name: str, code: Path, tmp_path: Path) -> None:
    assert variables_of_store(code, str(tmp_path / "logs"), {name: "x"}) == {}


def test_a_script_that_does_not_log_leaves_no_folder(code: Path, tmp_path: Path) -> None:
    (code / "lib" / "tracking.py").write_text("")

    assert variables_of_store(code, str(tmp_path / "logs"), {}) == {}
    assert not (tmp_path / "logs").exists()
