"""Each command and option about runs and models has a function and a parameter in Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import typer

import sparkscore
from sparkscore.cli.commands import app
from sparkscore.run import RunOptions

# In Python, the session runs statements, with functions of `register_function`.
OF_SQL: Final = ("sql query", "sql describe", "sql unity-catalog", "sql-server")
# What is about the command line itself, or about an installation.
OTHER_COMMANDS: Final = {"new", "doctor", "schema", "demo", "env classes", *OF_SQL}
# In Python, --remote is SparkSession.builder.remote, whose session the functions take.
OTHER_OPTIONS: Final = {"--json", "--help", "--remote"}
FUNCTIONS: Final[dict[str, tuple[Callable[..., object], ...]]] = {
    "run": (sparkscore.score, sparkscore.local_session),
    "resume": (sparkscore.resume, sparkscore.local_session),
    "publish": (sparkscore.publish, sparkscore.discard, sparkscore.local_session),
    "clean": (sparkscore.clean,),
    "runs list": (sparkscore.list_runs,),
    "runs show": (sparkscore.show_run,),
    "models show": (sparkscore.show_model,),
    "env build": (sparkscore.build_env,),
}
# Options whose parameter has another name; `--discard` is a function.
PARAMETERS: Final = {"--set": "settings", "--spark-conf": "conf", "[OUTPUT]...": "outputs", "--discard": "run_id"}


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for each, below in command.commands.items():
        yield from leaves(below, f"{name} {each}".strip())


COMMANDS: Final = dict(leaves(typer.main.get_command(app)))


def parameters_of(function: Callable[..., object]) -> set[str]:
    found = set(inspect.signature(function).parameters)
    return found | set(RunOptions.__annotations__) if "options" in found else found


def spelled(parameter: Any) -> str:
    return str(parameter.opts[0]) if parameter.param_type_name == "option" else str(parameter.metavar)


def test_each_command_about_runs_and_models_has_a_function() -> None:
    assert COMMANDS.keys() - OTHER_COMMANDS == FUNCTIONS.keys()
    public = {getattr(sparkscore, name) for name in sparkscore.__all__ if name != "__version__"}
    assert public >= {function for functions in FUNCTIONS.values() for function in functions}


@pytest.mark.parametrize("command", FUNCTIONS)
def test_each_option_has_a_parameter(command: str) -> None:
    options = {spelled(parameter) for parameter in COMMANDS[command].params} - OTHER_OPTIONS
    known = set[str]().union(*map(parameters_of, FUNCTIONS[command]))

    missing = {
        option
        for option in options
        if PARAMETERS.get(option, option.strip("-[]").replace("-", "_").replace(".yml", "").lower()) not in known
    }

    assert options
    assert missing == set()
