from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sparkscore.scorers import ScriptSpec
from sparkscore.worker import ChildSpec, EngineSpec
from sparkscore.worker.child.supervisor import ChildEngine
from sparkscore.worker.child.template import PYTHON_NEEDED


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
