"""Run the ``sparkscore`` command line; `main` is its entry point. Runs on the driver."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import typer

from sparkscore.cli.commands import app
from sparkscore.cli.interrupts import InterruptedRunError, interruptible
from sparkscore.cli.logs import log_on_stderr
from sparkscore.cli.reply import FAILED, OK, describe_failure, one_object_on_stdout, print_bug, print_error, print_json
from sparkscore.cli.streams import exit_code_of, guard_streams
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SparkscoreError, message_of, named
from sparkscore.location import check_working_directory

__all__ = ["main", "run_command_line"]

# The base class of Typer's usage errors. The module that defines it has a different name in some versions.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command in ``sys.argv`` and exit with its exit code."""
    stdout = guard_streams()
    code = run_command_line(sys.argv[1:])
    stdout.flush()
    sys.exit(exit_code_of(code, next(iter(sys.argv[1:]), ""), stdout))


def run_command_line(arguments: Sequence[str]) -> int:
    """Run a ``sparkscore`` command and print its result or error.

    Args:
        arguments: the command-line arguments, without the program name.

    Returns:
        the exit code: 0 if the command succeeded, 1 if it failed, 2 if the request was wrong, and 128 plus the signal
        number if a signal interrupted the command.
    """
    as_json = "--json" in arguments
    is_run = list(arguments[:1]) in (["run"], ["resume"])
    with one_object_on_stdout() if as_json else nullcontext(), log_on_stderr(), interruptible():
        try:
            check_working_directory()
            return int(app(args=list(arguments), prog_name="sparkscore", standalone_mode=False) or OK)
        except _UsageError as error:
            return _reply_failure(_as_request(error), is_run=is_run, as_json=as_json)
        except (SparkscoreError, InterruptedRunError) as error:
            return _reply_failure(error, is_run=is_run, as_json=as_json)
        except Exception as error:  # noqa: BLE001 - a bug: print one line, and log the traceback
            if isinstance(known := named(error), SparkscoreError):
                return _reply_failure(known, is_run=is_run, as_json=as_json)
            print_bug(error, _runs_folder())
            return _reply_json(error, FAILED, is_run=is_run, as_json=as_json)


def _as_request(error: Exception) -> ConfigError:
    """Convert a Typer usage error, such as an unknown option, to a `ConfigError`.

    It is then reported like any other error in a request.
    """
    context = getattr(error, "ctx", None)
    problem, did_you_mean, suggestion = str(getattr(error, "format_message", error.__str__)()).partition("Did you mean")
    manual = f"See '{context.command_path if context else 'sparkscore'} --help'."
    return ConfigError(
        code=ErrorCode.USAGE,
        what=problem.strip().rstrip("."),
        next_step=f"{did_you_mean}{suggestion} {manual}" if suggestion else manual,
    )


def _reply_failure(error: SparkscoreError | InterruptedRunError, *, is_run: bool, as_json: bool) -> int:
    print_error(message_of(error))
    return _reply_json(error, error.exit_code, is_run=is_run, as_json=as_json)


def _reply_json(error: BaseException, exit_code: int, *, is_run: bool, as_json: bool) -> int:
    if as_json:
        state = "ABORT" if isinstance(error, InterruptedRunError) else "FAIL"
        print_json(describe_failure(error, **({"run_id": None, "state": state} if is_run else {})))
    return exit_code


def _runs_folder() -> Path:
    from sparkscore.record.listing import runs_folder

    return runs_folder()
