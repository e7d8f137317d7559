from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import ScriptSpec
from sparkscore.scripts.packing import pack_script
from sparkscore.signature import parse_ddl
from sparkscore.worker import ChildSpec, EngineSpec, LineageValues, ResultSpec
from sparkscore.worker.child import supervisor
from sparkscore.worker.child.shared_memory import SharedMemory
from sparkscore.worker.child.supervisor import ChildEngine
from sparkscore.worker.child.template import PYTHON_NEEDED, Template
from tests.support.scorers import Loads, RecordingScorer

RESULT = ResultSpec(parse_ddl("y bigint"), (), (), LineageValues("run", None, None))
# A script that writes to its connection to the worker.
BREAKS = """
import os, stat

def run(rows):
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, b"garbage" * 100)
        except OSError:
            pass
    return [1]
"""


class VerifiedScorer(RecordingScorer):
    verified = ("digest",)


def noting(found: list[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(first: Any, *rest: Any) -> Any:
        found.append(first)
        return function(first, *rest)

    return call


@pytest.mark.parametrize("version", [(3, 8, 20), (3, 10, 4)])
def test_an_interpreter_that_is_too_old_is_told_which_one_is_needed(version: tuple[int, ...], tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    pretends = f"import sys; sys.version_info = {version}; exec(sys.argv[2])"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretends}" "$@"\n')
    interpreter.chmod(0o755)
    engine = ChildEngine(EngineSpec("k", ScriptSpec(b"", "score.py")), ChildSpec(str(interpreter), load_timeout=30))

    failure = engine.load().failure
    engine.close()

    assert failure is not None
    assert failure.code == "PYTHON_VERSION"
    assert f"got Python {'.'.join(map(str, version))}, expected 3.11 or later" in failure.message
    assert "python.path" in failure.next_step


def test_the_oldest_python_is_that_of_the_package() -> None:
    text = (Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8")

    assert f'requires-python = ">={".".join(map(str, PYTHON_NEEDED))}"' in text


@pytest.mark.parametrize("program", ["/bin/true", "/bin/ls", "/bin/cat"])
def test_a_program_that_is_no_python_is_named(program: str) -> None:
    engine = ChildEngine(EngineSpec("k", ScriptSpec(b"", "score.py")), ChildSpec(program, load_timeout=30))

    failure = engine.load().failure
    engine.close()

    assert failure is not None
    assert failure.code == "PYTHON_NOT_FOUND"
    assert f"'{program}' cannot be started as a Python interpreter" in failure.message
    assert "3.11 or later in 'python.path'" in failure.next_step


def test_a_broken_child_is_killed_once_and_its_template_serves_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "score.py").write_text(BREAKS)
    scorer = ScriptSpec(pack_script(tmp_path, "score.py").code, "score.py", work_folder=str(tmp_path))
    engine = ChildEngine(EngineSpec("k", scorer), ChildSpec(timeout=30, load_timeout=30))
    assert engine.load().failure is None
    killed: list[int] = []
    stopped: list[Template] = []
    monkeypatch.setattr(os, "killpg", noting(killed, os.killpg))
    monkeypatch.setattr(Template, "stop", noting(stopped, Template.stop))

    failure = engine.score(MiniBatch("0-0", (), pa.table({"x": [1]})), RESULT, datetime.now(UTC)).failure

    assert failure is not None
    assert failure.code == "PROCESS_BROKEN"
    # Its process id is released after the first time, and may then be that of another process.
    assert len(killed) == 1
    assert stopped == []
    assert engine.load().failure is None
    assert stopped == []
    engine.close()


@pytest.mark.parametrize("has_memory", [True, False])
def test_rows_are_the_same_with_and_without_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_memory: bool
) -> None:
    (tmp_path / "score.py").write_text("def run(rows): return [int(rows['x'].sum())] * len(rows)")
    scorer = ScriptSpec(pack_script(tmp_path, "score.py").code, "score.py", work_folder=str(tmp_path))
    engine = ChildEngine(EngineSpec("k", scorer), ChildSpec(timeout=30, load_timeout=30))
    if not has_memory:
        monkeypatch.setattr(SharedMemory, "create", lambda: None)

    assert engine.load().failure is None
    tables = [
        engine.score(MiniBatch("0-0", (), pa.table({"x": [1] * count})), RESULT, datetime.now(UTC)).table
        for count in (3, 200_000, 2)
    ]
    engine.close()

    assert [set(table.column("y").to_pylist()) for table in tables if table is not None] == [{3}, {200_000}, {2}]


def test_models_that_the_worker_itself_loads_are_in_the_report(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    supervisor.templates.stop()
    monkeypatch.setattr("subprocess.Popen", refuse)
    loads.coming.append(VerifiedScorer())
    engine = ChildEngine(EngineSpec("k", ScriptSpec(b"", "score.py")), ChildSpec())

    loaded = engine.load()

    assert loaded.failure is None
    assert loaded.models == ("digest",)
