"""Print results to stdout (with `--json`, as one JSON object) and everything else to stderr. Runs on the driver."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import code_of, message_of
from sparkscore.printable import printable
from sparkscore.redaction import redact
from sparkscore.rotating_log import make_room

OK: Final = 0
FAILED: Final = 1
_RED, _YELLOW, _PLAIN = "\033[1;31m", "\033[33m", "\033[0m"


def to_stdout(*lines: str, label: str = "") -> None:
    """Print lines of a result to stdout, with control characters escaped.

    Args:
        *lines: the lines.
        label: prefix of the first line. It is not escaped, so it may contain colour codes.
    """
    _write(sys.stdout, label, lines)


def to_stderr(*lines: str, label: str = "") -> None:
    """Print messages to stderr, with control characters escaped.

    Args:
        *lines: the lines of the message.
        label: prefix of the first line. It is not escaped, so it may contain colour codes.
    """
    _write(sys.stderr, label, lines)


def _write(stream: TextIO, label: str, lines: Sequence[str]) -> None:
    stream.write(label + "".join(f"{printable(line)}\n" for line in lines))
    stream.flush()


def print_text(text: str) -> None:
    """Print text to stdout unchanged, including any colour codes and other control characters."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json(answer: Mapping[str, Any]) -> None:
    """Print a dictionary to stdout as an indented JSON object."""
    to_stdout(*json.dumps(answer, indent=2, default=str).split("\n"))


def print_error(message: str, *, log_file: Path | None = None) -> None:
    """Print an error message to stderr, with secrets masked, followed by the path of the log file if it exists."""
    to_stderr(redact(message), label=f"{coloured('error', _RED, sys.stderr)} ")
    if log_file is not None and log_file.exists():
        to_stderr(f"log   {shown_path(log_file)}")


def print_bug(error: BaseException, runs: Path) -> None:
    """Log the traceback of an unexpected error in sparkscore, and print a message and the path of the log to stderr.

    Args:
        error: the exception.
        runs: the runs folder, in which the log is written. If this is not possible, a temporary file is used instead.
    """
    message = (
        f"[{ErrorCode.INTERNAL}] sparkscore itself failed with {type(error).__name__}. Please report it with the log."
    )
    print_error(message, log_file=write_traceback(error, runs))


def warning_label() -> str:
    """Return the label for warnings on stderr, in colour if stderr is a terminal."""
    return coloured("warning", _YELLOW, sys.stderr)


def coloured(word: str, colour: str, stream: TextIO) -> str:
    """Return the word in colour if the stream is a terminal, or unchanged if not."""
    return f"{colour}{word}{_PLAIN}" if stream.isatty() else word


def describe_failure(error: BaseException, **more: object) -> dict[str, Any]:
    """Return the dictionary that `--json` prints for an error.

    Args:
        error: the error.
        **more: further entries, placed before ``error``.
    """
    return {**more, "error": {"code": code_of(error), "message": redact(message_of(error))}}


def write_traceback(error: BaseException, runs: Path) -> Path:
    """Add the traceback of an error to ``sparkscore.log`` in the runs folder, and return the path of the log.

    If this is not possible, a temporary file is used instead.
    """
    text = f"{datetime.now(UTC).isoformat(timespec='seconds')}\n{redact(''.join(traceback.format_exception(error)))}\n"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        make_room(runs / "sparkscore.log")
        with (runs / "sparkscore.log").open("a", encoding="utf-8", errors="replace") as log:
            log.write(text)
            return Path(log.name)
    except OSError:
        with tempfile.NamedTemporaryFile(
            "w", prefix="sparkscore-", suffix=".log", delete=False, encoding="utf-8", errors="replace"
        ) as log:
            log.write(text)
            return Path(log.name)


def shown_path(path: Path | str) -> str:
    """Format a path or URI for the terminal, with control characters escaped.

    Paths below the working directory become relative.
    """
    folder = f"{Path.cwd()}/"
    return printable(str(path).removeprefix(folder)) or "."


def is_submitted() -> bool:
    """Return whether this process was started by `spark-submit`, in which case the JVM is already running."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def one_object_on_stdout() -> Iterator[None]:
    """Discard stderr during the ``with`` block if this process was started by `spark-submit`.

    `spark-submit` merges stderr into stdout (it starts Python with `redirectErrorStream(true)`). With `--json`, stdout
    must contain only the JSON object.
    """
    if not is_submitted():
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield


@contextmanager
def stdout_for_results() -> Iterator[None]:
    """Redirect stdout to stderr during the ``with`` block, so that stdout contains no output from libraries."""
    with redirect_stdout(sys.stderr):
        yield
