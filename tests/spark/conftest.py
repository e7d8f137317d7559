from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

type_of_run = Callable[..., "subprocess.CompletedProcess[str]"]


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
