from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.minibatch import MiniBatchLimit
from sparkscore.scorers import ScriptSpec
from sparkscore.signature import parse_ddl
from sparkscore.stage.stage_folder import TaskFolder
from sparkscore.worker import EngineSpec, LineageValues, ResultSpec, WorkerSpec, engine, loaded
from sparkscore.worker.loaded import KeptEngines
from tests.support.scorers import Loads


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads()
    monkeypatch.setattr(engine, "load_scorer", loads)
    monkeypatch.setattr(loaded, "_engines", KeptEngines())
    return loads


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    result = ResultSpec(parse_ddl("prediction bigint"), (), (), LineageValues("run-1", None, None))
    scorer = ScriptSpec(b"", "score.py")
    return WorkerSpec(
        EngineSpec("run-1/a", scorer),
        MiniBatchLimit(items=10),
        is_planned=False,
        result=result,
        stage=TaskFolder(str(tmp_path)),
    )
