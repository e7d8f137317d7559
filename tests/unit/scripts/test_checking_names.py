"""Scripts and files beside them that have the names of modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sparkscore.errors import ScoringScriptError
from sparkscore.scripts.checking import check_script


@pytest.mark.parametrize("name", ["pandas", "json", "numpy", "typing", "pyarrow", "os"])
def test_a_script_with_the_name_of_a_needed_module_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("def run(b): ...")

    with pytest.raises(ScoringScriptError) as caught:
        check_script(tmp_path / f"{name}.py")

    assert caught.value.code == "SCRIPT_NAME"
    assert f"'{name}'" in caught.value.got


@pytest.mark.parametrize("line", ["import typing", "from typing import Any", "import json, typing as t"])
def test_a_file_beside_the_script_that_hides_a_needed_module_is_refused_where_it_is_imported(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "typing.py").write_text("")
    (tmp_path / "score.py").write_text(f"def run(b):\n    {line}\n")

    with pytest.raises(ScoringScriptError) as caught:
        check_script(tmp_path / "score.py")

    assert (caught.value.code, "'typing.py'" in caught.value.got) == ("SCRIPT_NAME", True)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("score", "import json, typing\nimport helper"),
        ("test", "import helper"),
        ("code", ""),
        ("predict", "from . import json"),
        ("model", ""),
    ],
)
def test_other_names_are_allowed(tmp_path: Path, name: str, source: str) -> None:
    for other in ("helper", "test", "unused_json"):
        (tmp_path / f"{other}.py").write_text("")
    (tmp_path / f"{name}.py").write_text(f"{source}\ndef run(b): ...")

    check_script(tmp_path / f"{name}.py")


def test_what_a_notebook_or_debugger_loads_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("def run(b): ...")
    lines = [
        "import code, pathlib, pdb, sys",
        "from sparkscore.scripts.checking import check_script",
        "check_script(pathlib.Path(sys.argv[1]))",
    ]

    subprocess.run([sys.executable, "-c", "\n".join(lines), tmp_path / "code.py"], check=True)
