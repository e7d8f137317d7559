from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

COMMANDS = ["run", "resume", "clean", "runs", "models", "env", "new", "doctor", "schema", "demo"]
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


def test_help_and_usage_errors_load_neither_spark_nor_data_libraries() -> None:
    heavy = ("pyspark", "pandas", "pyarrow", "numpy", "rich", "sklearn")
    code = (
        "import sys; from sparkscore.cli import run_command_line; "
        "assert run_command_line(['run', '--help']) == 0; assert run_command_line(['run']) == 2; "
        f"loaded = set({heavy}) & set(sys.modules); assert not loaded, loaded"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr


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


@pytest.mark.parametrize("command", ["", *COMMANDS, "runs list", "runs show", "models show", "env build"])
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
