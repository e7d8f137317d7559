from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Ended = subprocess.CompletedProcess[str]
type_of_run = Callable[..., Ended]
PROGRAM = str(Path(sys.executable).with_name("sparkscore"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a command in the test's folder, in a new process group, as a terminal does."""
    processes = []
    # Found as a user finds it: in the working directory, or where an option says.
    environment = {key: value for key, value in os.environ.items() if key != "SPARKSCORE_RUNS"}

    def begin(*command: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=tmp_path,
            env=environment | {"PYSPARK_PYTHON": sys.executable},
            start_new_session=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def sparkscore(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Ended]:
    """Return a function that runs `sparkscore` as a process and waits until it ends."""

    def run(*arguments: object) -> Ended:
        process = start(PROGRAM, *arguments)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess([str(part) for part in arguments], process.returncode, out, err)

    return run


@pytest.fixture
def run_python(tmp_path: Path) -> type_of_run:
    """Return a function that runs Python code in a new process, in an empty folder."""

    def run(
        code: str, *arguments: str, env: dict[str, str] | None = None, start: tuple[str, ...] = (sys.executable,)
    ) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(code, encoding="utf-8")
        return subprocess.run(
            [*start, str(script), *arguments],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | (env or {}),
            text=True,
            timeout=120,
        )

    return run
