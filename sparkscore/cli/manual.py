"""Format ``--help`` like a man page: plain text with grouped options, followed by examples and exit codes.

Runs on the driver.

Typer's own help may draw boxes. Plain text is easier to search and to pipe.
"""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand, TyperGroup

EXIT_CODES = """
Exit codes:
  0    the run is complete; also if it was complete before
  1    the run failed; the message says what happened to the data
  2    the request is wrong; nothing was written
  130  interrupted by Ctrl-C, 143 by SIGTERM; the message says what happened to the data
"""

ENVIRONMENT = """
Environment:
  SPARKSCORE_RUNS  folder of the run records (default: ./sparkscore-runs)
  JAVA_HOME        the Java that Spark starts (default: java on the PATH)
  SPARKSCORE_CLASS_ARCHIVE  off: do not use the archive that 'sparkscore env classes' has made
  SPARK_REMOTE     a Spark Connect server, as in --remote
  SPARK_CONNECT_AUTHENTICATE_TOKEN  the token of that server
"""


class ManualCommand(TyperCommand):
    """A command whose help is formatted like a man page."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line: ``[OPTIONS]``, and a placeholder such as ``RUN_ID`` for each argument."""
        return _usage_pieces(self, ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the command's arguments and options in groups, such as ``Arguments``, ``Run`` and ``Spark``."""
        _write_parameters(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the interface of click
        """Write the epilog (for example, exit codes) without wrapping its lines."""
        formatter.write(_unwrapped(self.epilog))


class ManualGroup(TyperGroup):
    """A group of commands whose help is formatted like a man page."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the group's commands, then its options."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(200)) for name, command in commands if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        _write_parameters(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the interface of click
        """Write the epilog (for example, the first commands to try) without wrapping its lines."""
        formatter.write(_unwrapped(self.epilog))


def _usage_pieces(command: Any, ctx: Any) -> list[str]:
    arguments = [parameter for parameter in command.get_params(ctx) if parameter.param_type_name == "argument"]
    return ["[OPTIONS]", *(str(argument.metavar or argument.name) for argument in arguments)]


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        is_argument = parameter.param_type_name == "argument"
        group = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or "Options"
        groups.setdefault(group, []).append((_spelling(parameter), getattr(parameter, "help", None) or ""))
    for name, rows in groups.items():
        with formatter.section(name):
            formatter.write_dl(rows, col_max=32)


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name)
    names = ", ".join(parameter.opts)
    return names if parameter.is_flag else f"{names} {parameter.metavar or 'TEXT'}"


def _unwrapped(text: str | None) -> str:
    return f"\n{inspect.cleandoc(text)}\n" if text else ""
