from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkscore.cli import run_command_line
from sparkscore.config import load_deployment
from sparkscore.scripts.checking import check_script

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = ROOT / "README.md"
# The working directory of the reader in the outputs that the pages show.
DOCUMENTED_FOLDER = "/home/ada/heart"
_BLOCK = re.compile(r"^(?:<!-- (?P<mark>.+) -->\n)?```(?P<language>.*)\n(?P<text>(?s:.*?))^```$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    kind: str = ""
    value: str = ""


@dataclass
class PageRun:
    """What the blocks of a page have in common: their folder is the working directory."""

    names: dict[str, Any]
    output: str = ""
    ran: list[str] = field(default_factory=list)

    def run(self, block: Block) -> None:
        self.ran.append(block.kind or block.language)
        if block.kind == "not run":
            assert len(block.value) > len("because")
        elif block.kind == "file":
            write_file(block)
        elif block.kind == "output":
            assert_shown(block.text, self.output)
        elif block.language == "python":
            self.output = self.run_python(block.text)
        elif block.language == "bash":
            self.output = run_commands(block.text, int(block.value or 0))
        else:
            pytest.fail(f"a block of '{block.language}' is neither run nor excused:\n{block.text}")

    def run_python(self, code: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, "<docs>", "exec"), self.names)  # noqa: S102 - that is what a reader would do
        return printed.getvalue()


def blocks_of(page: Path) -> Iterator[Block]:
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        kind, _, value = (found["mark"] or "").partition(": ")
        yield Block(found["language"], found["text"], kind, value)


def write_file(block: Block) -> None:
    path = Path(block.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")
    if block.language == "python":
        check_script(path)
    elif block.language == "yaml":
        load_deployment(path)
    elif block.language == "json":
        json.loads(block.text)


def run_commands(text: str, expected_code: int) -> str:
    """Run `sparkscore` commands here, with the session of the tests, and give what the last one prints."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    for line in text.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "sparkscore"
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_command_line(arguments)
    assert code == expected_code, err.getvalue()
    return err.getvalue() if code else out.getvalue()


def assert_shown(documented: str, printed: str) -> None:
    shown, found = list(comparable(documented)), list(comparable(printed))
    starts = [number for number, line in enumerate(found) if line == shown[0]] if shown else []
    assert shown in ([found[start : start + len(shown)] for start in starts] or [found])


def comparable(text: str) -> Iterator[str]:
    """Leave out what differs from run to run and place to place: ids, times, the working directory, widths."""
    for line in without_folder(text).splitlines():
        changed = re.sub(r"run-\d{8}-\d{6}-[0-9a-f]{6}", "RUN", line)
        changed = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "TIME", changed)
        changed = re.sub(r"(?<=^  seconds).*", "", changed)
        # The probe and the run may meet in one worker process or not.
        changed = re.sub(r"\d+ loads? in \d+ worker process(es)?", "LOADS", changed)
        changed = " ".join(changed.replace("|", " | ").split())
        if set(changed) - set("-+─ "):
            yield changed


def without_folder(text: str) -> str:
    """Name the working directory HERE, also where the command has cut the front of a long path."""
    here = str(Path.cwd())
    text = text.replace(here, "HERE").replace(DOCUMENTED_FOLDER, "HERE")
    return re.sub(r"…(\S+)(?=/)", lambda cut: "HERE" if here.endswith(cut[1]) else cut[0], text)


@pytest.fixture
def page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> Iterator[PageRun]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARKSCORE_RUNS")
    monkeypatch.syspath_prepend(str(tmp_path))
    # MLflow keeps the store that a page names, for the process and in its environment.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    yield PageRun({"spark": spark, "__name__": "docs"})
    for name in [name for name, module in sys.modules.items() if is_below(module, tmp_path)]:
        del sys.modules[name]
    if (mlflow := sys.modules.get("mlflow")) is not None:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def is_below(module: object, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(folder)


@pytest.mark.parametrize("page", [page for page in PAGES if list(blocks_of(page))], ids=lambda page: page.stem)
def test_every_block_is_run_or_excused(page: Path, page_run: PageRun, monkeypatch: pytest.MonkeyPatch) -> None:
    if "log_model(" in page.read_text(encoding="utf-8"):
        # MLflow would load the model in a process of its own, to find out that it needs scikit-learn.
        monkeypatch.setattr("mlflow.models.infer_pip_requirements", lambda *_, fallback, **__: fallback)
    for block in blocks_of(page):
        page_run.run(block)

    fences = re.findall(r"^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(page_run.ran) == len(fences) / 2


def test_the_example_of_the_readme_works_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARKSCORE_RUNS")
    blocks = list(blocks_of(README))
    for block in blocks:
        if block.kind == "file":
            write_file(block)
    command = next(block.text for block in blocks if block.language == "bash" and not block.kind)
    documented = next(block.text for block in blocks if block.kind == "output")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-euc", command], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert_shown(documented, done.stdout)
    assert " WARN " not in done.stderr


@pytest.mark.parametrize(
    ("documented", "printed"),
    [
        ("COMPLETE  run-20260101-000000-abcdef", "COMPLETE run-20270101-000000-fedcba"),
        ("  seconds       1.0 (plan 1.0)", "  seconds 99"),
        ("|a  |1  |", "+---+\n|a|1|"),
        (f"log   {DOCUMENTED_FOLDER}/runs/run.log", f"log {Path.cwd()}/runs/run.log"),
        (f"{DOCUMENTED_FOLDER}/a.csv", f"…{Path.cwd().name}/a.csv"),
    ],
)
def test_the_comparison_passes_over_ids_times_widths_and_the_working_directory(documented: str, printed: str) -> None:
    assert_shown(documented, printed)


@pytest.mark.parametrize(
    ("documented", "printed"),
    [
        ("4 rows", "5 rows"),
        ("|a|0.5|", "|a|0.6|"),
        ("a\nb", "a\nc\nb"),
        ("", "a"),
        (f"{DOCUMENTED_FOLDER}/a.csv", "/elsewhere/a.csv"),
        (f"{DOCUMENTED_FOLDER}/a.csv", "…elsewhere/a.csv"),
        (f"{DOCUMENTED_FOLDER}/a.csv", f"{Path.cwd()}/b/a.csv"),
    ],
)
def test_the_comparison_sees_everything_else(documented: str, printed: str) -> None:
    with pytest.raises(AssertionError):
        assert_shown(documented, printed)
