from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sparkscore


def run_module(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sparkscore", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_python_m_sparkscore_is_the_command_line(tmp_path: Path) -> None:
    ended = run_module("--version", folder=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert sparkscore.__version__ in ended.stdout


def test_python_m_sparkscore_exits_with_the_code_of_the_command(tmp_path: Path) -> None:
    ended = run_module("run", "missing.yml", folder=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.startswith("error [")
