from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sparkscore.run import PreparedRun
from sparkscore.run.prepare import prepare
from sparkscore.worker import loaded
from sparkscore.worker.loaded import KeptEngines
from tests.support.simulation.spark import SparkStandIn

MakeDeployment = Callable[..., Path]
SCORES_LENGTHS = """
from pathlib import Path

def run(files):
    for file in files:
        with Path(file).with_name("calls.log").open("a") as calls:
            print(Path(file).name, file=calls)
        if "fails" in Path(file).read_text():
            raise ValueError("a file that fails")
    return [len(Path(file).read_text()) for file in files]
"""


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> SparkStandIn:
    """Stand in for a session: tasks run in this process, one after the other."""
    stand_in = SparkStandIn(random.Random(1))  # noqa: S311 - the same order of tasks each time
    monkeypatch.setattr("sparkscore.spark.jobs.partition_id", lambda: stand_in.partition)
    monkeypatch.setattr(loaded, "_engines", KeptEngines())
    return stand_in


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Make a folder with three files to score."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, text in {"a.txt": "1", "b.txt": "22", "c.txt": "333"}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def ask(tmp_path: Path, files: Path, make_deployment: MakeDeployment) -> Callable[..., PreparedRun]:
    """Prepare a run that scores the lengths of the three files, in mini-batches of one, into a folder of Parquet."""

    def prepared(run_id: str = "night", **settings: object) -> PreparedRun:
        deployment = tmp_path / "deployment" / "deployment.yml"
        if not deployment.exists():
            make_deployment(
                SCORES_LENGTHS,
                input={"format": "files", "location": str(files / "*.txt")},
                output={"format": "parquet", "location": str(tmp_path / "out"), "schema": "size bigint", "carry": []},
                settings={"mini_batch_size": 1, "retry_settings": {"max_retries": 0}},
                isolation="none",
            )
        return prepare(deployment, run_id=run_id, settings={k.replace("__", "."): v for k, v in settings.items()})

    return prepared
