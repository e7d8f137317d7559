from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from sparkscore.spark.prerequisites import delta_coordinate


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without anything that Ivy or Maven have fetched."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def check(answer: Any, name: str) -> dict[str, Any]:
    (found,) = [check for check in answer.json["checks"] if check["name"] == name]
    return dict(found)


def put_jar(home: Path, *parts: str) -> Path:
    jar = home.joinpath(*parts)
    jar.parent.mkdir(parents=True)
    jar.touch()
    return jar


def jar_name() -> tuple[str, str]:
    _, artifact, version = delta_coordinate().split(":")
    return f"{artifact}-{version}.jar", artifact


def test_a_quick_look_finds_all_that_needs_no_spark(sparkscore: Callable[..., Any], home: Path) -> None:
    name, _ = jar_name()
    put_jar(home, ".ivy2.5.2", "jars", f"io.delta_{name}")

    answer = sparkscore("doctor", "--quick", "--json")

    assert answer.exit_code == 0
    assert answer.json["ok"] is True
    assert [check["name"] for check in answer.json["checks"]] == [
        "Python",
        "pandas",
        "Java",
        "Spark",
        "Delta jar",
        "runs folder",
    ]


def test_every_check_is_a_line(sparkscore: Callable[..., Any], home: Path, tmp_path: Path) -> None:
    name, artifact = jar_name()
    jar = put_jar(home, ".m2", "repository", "io", "delta", artifact, name.split("-")[-1][:-4], name)

    answer = sparkscore("doctor", "--quick", "--output", tmp_path / "out")

    assert [line.split()[0] for line in answer.out.splitlines()] == ["ok"] * 7
    assert str(jar) in answer.out
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("home")
def test_a_missing_java_has_a_next_step(
    sparkscore: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))

    answer = sparkscore("doctor", "--json")

    assert answer.exit_code == 1
    assert "JAVA_MISSING" in check(answer, "Java")["found"]
    assert "apt-get install" in check(answer, "Java")["next_step"]
    assert "workers" not in {check["name"] for check in answer.json["checks"]}


@pytest.mark.usefixtures("home")
def test_a_delta_jar_that_is_not_here_is_no_problem_yet(sparkscore: Callable[..., Any]) -> None:
    answer = sparkscore("doctor", "--quick", "--json")

    assert check(answer, "Delta jar")["ok"]
    assert "not here yet" in check(answer, "Delta jar")["found"]
    assert "without --quick" in check(answer, "Delta jar")["found"]


@pytest.mark.parametrize(("option", "name"), [("--runs", "runs folder"), ("--output", "output")])
def test_a_place_that_cannot_be_written_is_named(sparkscore: Callable[..., Any], option: str, name: str) -> None:
    answer = sparkscore("doctor", "--quick", option, "/proc/none/deeper", "--json")

    assert answer.exit_code == 1
    assert not check(answer, name)["ok"]
    assert "/proc" in check(answer, name)["next_step"]
    assert option in check(answer, name)["next_step"]


@pytest.mark.parametrize(("found", "is_ok"), [("2.3.3", True), ("3.0.1", False)])
def test_pandas_3_is_a_problem(
    sparkscore: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, found: str, *, is_ok: bool
) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(
        "importlib.metadata.version", lambda package: found if package == "pandas" else version(package)
    )

    assert check(sparkscore("doctor", "--quick", "--json"), "pandas")["ok"] is is_ok


WITHOUT_PYSPARK: Final = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pyspark", "py4j"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from sparkscore.cli import run_command_line
for command in (["doctor", "--quick"], ["run", "deployment.yml"], ["sql", "SELECT 1"], ["resume", "a-run"]):
    print(run_command_line(command), flush=True)
"""


def test_without_pyspark_each_command_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_PYSPARK]
    ended = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, text=True)

    line = "Run: pip install 'sparkscore[local]'; on a cluster, use its Python."
    assert ended.stdout.splitlines()[-4:] == ["1", "2", "2", "2"]
    assert f"Next: {line}" in ended.stdout
    said = ended.stderr.splitlines()
    assert said == [f"error [PYSPARK_MISSING] the package pyspark is not installed. Nothing was written. {line}"] * 3
