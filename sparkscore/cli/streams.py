"""Go on where stdout or stderr is full or closed: a run that is published has not failed (driver)."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

#: Commands whose exit code says what became of the data; a scheduler that tries them again would do it twice.
_CHANGE_DATA: Final = ("run", "resume", "publish")


class CarefulStream:
    """A stream that swallows what cannot be written, and remembers why.

    Attributes:
        lost: why something was not written; empty where all was.
    """

    def __init__(self, stream: TextIO | None, number: int) -> None:
        self.lost = "" if stream is not None else "it is closed"
        self._number = number
        self._stream = stream or _nowhere(number)

    def write(self, text: str) -> int:
        """Write, or remember that it did not work."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or remember that it did not work."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: Exception) -> None:
        self.lost = getattr(error, "strerror", None) or str(error)
        # What is still buffered goes nowhere: Python would fail over it once more when it ends.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._number)
            os.close(nowhere)


def _nowhere(number: int) -> TextIO:
    """Occupy the number of a stream that is closed, before a file of ours gets it."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        with suppress(OSError):
            os.fstat(number)
            return os.fdopen(opened, "w", encoding="utf-8")
        os.dup2(opened, number)
        os.close(opened)
    return os.fdopen(number, "w", encoding="utf-8")


def guard_streams() -> CarefulStream:
    """Put careful streams in the place of stdout and stderr; gives that of stdout."""
    # Source: Python sets the stream of a closed number to None.
    found = CarefulStream(sys.stdout, 1)
    sys.stdout, sys.stderr = found, CarefulStream(sys.stderr, 2)
    return found


def exit_code_of(code: int, command: str, stdout: CarefulStream) -> int:
    """Give the exit code of a command whose answer may have been lost, and say so."""
    if not stdout.lost:
        return code
    sys.stderr.write(f"warning the answer was not written to stdout: {stdout.lost}\n")
    return code if command in _CHANGE_DATA else max(code, 1)
