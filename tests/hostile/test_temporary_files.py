"""A good run leaves nothing among the temporary files of its host."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PROGRAM = Path(sys.executable).with_name("sparkscore")
SCRIPT = """
import os, pathlib, pickle, tempfile

def init():
    global factor
    factor = pickle.loads(pathlib.Path(os.environ["AZUREML_MODEL_DIR"], "factor.pkl").read_bytes())

def run(rows):
    return [factor * x for x in rows["x"]]
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of Python and Java, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("JDK_JAVA_OPTIONS", f"-Djava.io.tmpdir={folder}")
    return folder


def wait_until_empty(folder: Path) -> None:
    """Wait for the JVM, which ends after the command that started it."""
    end = time.monotonic() + 20
    while left := sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")):
        assert time.monotonic() < end, left
        time.sleep(0.1)


@pytest.mark.parametrize("python", [{}, {"python": {"path": sys.executable}}], ids=["own Python", "another Python"])
def test_nothing_stays_after_a_good_run(tmp_path: Path, temporary: Path, python: dict[str, object]) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "factor.pkl").write_bytes(pickle.dumps(10))
    pq.write_table(pa.table({"x": range(100)}), tmp_path / "in.parquet")
    deployment = {
        "model": {"path": "factor.pkl"},
        "code_configuration": {"code": "code", "scoring_script": "score.py"},
        **python,
    }
    (tmp_path / "deployment.yml").write_text(json.dumps(deployment), encoding="utf-8")

    ended = subprocess.run(
        [PROGRAM, "run", "deployment.yml", "--input", "in.parquet", "--output", "out", "--output-format", "parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert sorted(pq.read_table(tmp_path / "out")["prediction"].to_pylist()) == list(range(0, 1000, 10))
    wait_until_empty(temporary)
