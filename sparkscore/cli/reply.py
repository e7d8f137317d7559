"""Answer: results to stdout, everything else to stderr, one JSON object where it was asked for (driver)."""

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
    """Write lines of a result; what would act on the terminal is escaped, but for a label of our own."""
    _write(sys.stdout, label, lines)


def to_stderr(*lines: str, label: str = "") -> None:
    """Write what is not a result. A progress bar stands in for `sys.stderr` meanwhile, and stays below the text."""
    _write(sys.stderr, label, lines)


def _write(stream: TextIO, label: str, lines: Sequence[str]) -> None:
    stream.write(label + "".join(f"{printable(line)}\n" for line in lines))
    stream.flush()


def print_json(answer: Mapping[str, Any]) -> None:
    """Write the one JSON object of a command to stdout."""
    to_stdout(*json.dumps(answer, indent=2, default=str).split("\n"))


def print_error(message: str, *, log_file: Path | None = None) -> None:
    """Write one message about a failure to stderr, with the log that holds the rest."""
    to_stderr(redact(message), label=f"{coloured('error', _RED, sys.stderr)} ")
    if log_file is not None and log_file.exists():
        to_stderr(f"log   {shown_path(log_file)}")


def print_bug(error: BaseException, runs: Path) -> None:
    """Say in one line that sparkscore itself failed, and keep the traceback."""
    message = (
        f"[{ErrorCode.INTERNAL}] sparkscore itself failed with {type(error).__name__}. Please report it with the log."
    )
    print_error(message, log_file=_write_traceback(error, runs))


def warning_label() -> str:
    """Give the word that marks a warning on stderr."""
    return coloured("warning", _YELLOW, sys.stderr)


def coloured(word: str, colour: str, stream: TextIO) -> str:
    """Colour a word where the stream is a terminal."""
    return f"{colour}{word}{_PLAIN}" if stream.isatty() else word


def describe_failure(error: BaseException, **more: object) -> dict[str, Any]:
    """Describe a failure for `--json`.

    Args:
        error: what failed.
        **more: what stands before the error.
    """
    return {**more, "error": {"code": code_of(error), "message": redact(message_of(error))}}


def _write_traceback(error: BaseException, runs: Path) -> Path:
    """Keep the traceback of a bug of ours in a file, in the folder of the runs if that can be written."""
    text = f"{datetime.now(UTC).isoformat(timespec='seconds')}\n{''.join(traceback.format_exception(error))}\n"
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


def shown_path(place: Path | str) -> str:
    """Write a path as a person would type it here: relative if it is below the working directory; a URI as it is."""
    folder = f"{Path.cwd()}/"
    return printable(str(place).removeprefix(folder)) or "."


def is_submitted() -> bool:
    """Tell whether `spark-submit` started this process, with the JVM that it uses."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def one_object_on_stdout() -> Iterator[None]:
    """Keep the JSON object alone on stdout where stderr goes to the same place.

    Source: `spark-submit` starts Python with `redirectErrorStream(true)`, so its stderr comes out on stdout.
    """
    if not is_submitted():
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield


@contextmanager
def stdout_for_results() -> Iterator[None]:
    """Send to stderr what any library prints while the body runs: stdout has results only."""
    with redirect_stdout(sys.stderr):
        yield
