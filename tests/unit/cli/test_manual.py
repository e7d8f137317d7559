from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sparkscore.record.run_record import new_record
from sparkscore.record.runs_folder import RunFolder

COMMANDS = ["run", "resume", "clean", "runs", "sql", "models", "env", "new", "doctor", "schema", "demo"]
OPTIONS_OF_RUN = [
    "--model REFERENCE",
    "--input LOCATION",
    "--input-format FORMAT",
    "--output LOCATION",
    "--output-format FORMAT",
    "--mode MODE",
    "--partition-by COLUMN",
    "--run-id ID",
    "--runs DIR",
    "--set KEY=VALUE",
    "--master URL",
    "--spark-conf KEY=VALUE",
    "--json",
]


HEAVY = ("pyspark", "pandas", "pyarrow", "numpy", "sklearn", "mlflow", "onnxruntime")


@pytest.mark.parametrize(
    ("commands", "others"),
    [
        ([(0, "run", "--help"), (2, "run"), (0, "--version")], ("rich", "sparkscore.run")),
        ([(0, "sql", "--help"), (2, "sql", "query")], ("rich", "sparkscore.run", "sparkscore.sql")),
        ([(0, "runs", "list")], ("sparkscore.run", "sparkscore.record.run_record")),
        ([(0, "runs", "list", "--json"), (2, "runs", "show", "none")], ("sparkscore.run",)),
        ([(0, "new", "first")], ("rich", "sparkscore.run")),
        ([(0, "env", "classes", "--help"), (0, "env", "build", "--help")], ("rich", "sparkscore.run")),
    ],
    ids=["help", "sql", "list of runs", "runs", "new", "env"],
)
def test_commands_that_score_nothing_load_neither_spark_nor_data_libraries(
    commands: list[tuple[Any, ...]], others: tuple[str, ...], tmp_path: Path
) -> None:
    code = (
        f"import sys; from sparkscore.cli import run_command_line\nfor code, *command in {commands}:\n"
        f"    assert run_command_line(command) == code\n"
        f"loaded = {{*{HEAVY}, *{others}}} & set(sys.modules); assert not loaded, loaded"
    )
    RunFolder(tmp_path / "sparkscore-runs", "monday").create()
    RunFolder(tmp_path / "sparkscore-runs", "monday").write_record(new_record("monday", None, {}))
    environment = {name: value for name, value in os.environ.items() if name != "SPARKSCORE_RUNS"}

    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )

    assert ended.returncode == 0, ended.stderr


def test_commands_that_start_no_spark_load_none(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    code = (
        "import sys; from sparkscore.cli import run_command_line\n"
        "assert run_command_line(['clean']) == 0\n"
        "loaded = {'pyspark', 'pandas', 'deltalake', 'rich'} & set(sys.modules); assert not loaded, loaded\n"
        "assert run_command_line(['schema']) == 0\n"
        "assert run_command_line(['models', 'show', 'model.bin']) == 1\n"
        "assert run_command_line(['env', 'build', 'none.yml']) == 2\n"
        "assert 'pyspark' not in sys.modules"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr


def test_a_run_loads_no_library_before_spark_that_its_model_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    model = Path(__file__).parents[2] / "data" / "tensorflow" / "dense.onnx"
    unneeded = {"rich", "mlflow", "sklearn", "scipy", "joblib", "lightgbm", "xgboost", "skl2onnx", "deltalake", "PIL"}
    code = (
        "import sys; from sparkscore.cli import run_command_line\n"
        f"assert run_command_line(['run', '--model', {str(model)!r}, '--input', 'in', '--output', 'out']) == 2\n"
        f"loaded = {unneeded} & set(sys.modules); assert not loaded, loaded"
    )
    # Spark is not started, because there is no Java; all else was done by then.
    environment = os.environ | {"JAVA_HOME": str(tmp_path), "SPARKSCORE_RUNS": str(tmp_path / "runs")}

    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )

    assert ended.returncode == 0, ended.stderr
    assert "JAVA_MISSING" in ended.stderr


def test_the_manual_lists_the_commands_and_where_to_start(sparkscore: Callable[..., Any]) -> None:
    answer = sparkscore("--help")

    assert answer.exit_code == 0
    assert answer.err == ""
    for command in COMMANDS:
        assert f"\n  {command} " in answer.out
    assert "sparkscore new first" in answer.out


def test_without_a_command_the_manual_is_shown(sparkscore: Callable[..., Any]) -> None:
    assert sparkscore().out == sparkscore("--help").out
    assert sparkscore().exit_code == 0


def test_the_manual_of_run_has_every_option_and_what_a_script_needs_to_know(sparkscore: Callable[..., Any]) -> None:
    answer = sparkscore("run", "--help")

    assert answer.out.startswith("Usage: sparkscore run [OPTIONS] [DEPLOYMENT.yml]\n")
    for option in OPTIONS_OF_RUN:
        assert f"\n  {option} " in answer.out
    for heading in ("Arguments:", "Input:", "Output:", "Run:", "Spark:", "Answer:", "Examples:", "Exit codes:"):
        assert f"\n{heading}\n" in answer.out
    for word in ("SPARKSCORE_RUNS", "130", "143", "append, overwrite"):
        assert word in answer.out


@pytest.mark.parametrize(
    "command",
    [
        "",
        *COMMANDS,
        "runs list",
        "runs show",
        "models show",
        "env build",
        "env classes",
        "sql query",
        "sql describe",
        "sql unity-catalog",
    ],
)
def test_every_manual_fits_a_terminal(sparkscore: Callable[..., Any], command: str) -> None:
    answer = sparkscore(*command.split(), "--help")

    assert answer.exit_code == 0
    assert max(len(line) for line in answer.out.splitlines()) <= 100
    assert "<str>" not in answer.out


def test_the_version_is_the_packages(sparkscore: Callable[..., Any]) -> None:
    answer = sparkscore("--version")

    assert (answer.exit_code, answer.out) == (0, f"{version('sparkscore')}\n")


def test_a_mistyped_command_has_a_suggestion(sparkscore: Callable[..., Any]) -> None:
    answer = sparkscore("rnu")

    assert answer.exit_code == 2
    assert "No such command 'rnu'. Nothing was written. Did you mean 'run'? See 'sparkscore --help'." in answer.err
