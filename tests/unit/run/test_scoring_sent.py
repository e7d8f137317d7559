"""Large code and large rows are not sent together with the functions of a Spark job."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.plan import Plan, Snapshot
from sparkscore.run import probing, scoring
from sparkscore.run.delivery import ByStage
from sparkscore.run.opened import Request
from sparkscore.run.prepare import prepare
from sparkscore.scorers.script import ScriptScorer
from sparkscore.stage import StageFolder
from sparkscore.worker import EngineSpec

# A Spark Connect server with its default memory takes this.
LIMIT = 8_000_000
WITH_DATA = """
    from pathlib import Path
    size = len(Path(__file__).with_name("big.bin").read_bytes())

    def run(files):
        return [size] * len(files)
"""


def test_large_code_and_a_large_first_mini_batch_are_files(
    make_deployment: Callable[..., Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    deployment = make_deployment(WITH_DATA)
    (deployment.parent / "code" / "big.bin").write_bytes(os.urandom(20_000_000))
    (tmp_path / "stage").mkdir()
    stage = StageFolder(tmp_path / "stage")
    request = Request(None, prepare(deployment), Plan(Snapshot("files", "in", 1, 1, 2)), None, None)  # type: ignore[arg-type]
    request.prepared.folder.create()
    rows = pa.table({"x": [os.urandom(10_000_000) for _ in range(3)]})
    assert request.prepared.script is not None

    script = scoring.script_spec(
        request.prepared, request.prepared.script, ByStage(stage), request.dtypes, scoring.ScriptFolders()
    )
    engine = EngineSpec("k", script)
    probe = probing.probe_spec(request, engine, MiniBatch("0", ("/in/a",), rows), None, ByStage(stage))

    assert len(pickle.dumps(engine)) < LIMIT
    assert len(pickle.dumps(probe)) < LIMIT
    assert probe.read_mini_batch() == MiniBatch("0", ("/in/a",), rows)
    scorer = ScriptScorer(script)
    scorer.load()
    assert scorer.score(MiniBatch("0", ("/in/a", "/in/b"))) == [20_000_000] * 2
    scorer.close()


def test_a_mini_batch_of_a_million_files_is_a_file(make_deployment: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    stage = StageFolder(tmp_path / "stage")
    request = Request(
        None, prepare(make_deployment("def run(b): ...")), Plan(Snapshot("files", "in", 1, 1, 2)), None, None  # type: ignore[arg-type]
    )  # fmt: skip
    engine: Any = EngineSpec("k", None)  # type: ignore[arg-type]
    files = tuple(f"/in/{number}" for number in range(1_000_000))

    probe = probing.probe_spec(request, engine, MiniBatch("0", files), None, ByStage(stage))

    assert len(pickle.dumps(probe)) < LIMIT
    assert probe.read_mini_batch() == MiniBatch("0", files)
