"""Keep write errors on stdout and stderr from making a published run fail. Runs on the driver."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

#: Commands that publish rows. If printing fails, they keep their exit code; otherwise a scheduler would repeat the run.
_CHANGE_DATA: Final = ("run", "resume", "publish")
#: Commands whose result is rows, of which a reader may take only the first ones.
_MAY_BE_CUT: Final = ("sql",)


class CarefulStream:
    """A text stream that discards text it cannot write, instead of raising an error.

    Attributes:
        lost: why text was discarded, or an empty string if everything could be written.
    """

    def __init__(self, stream: TextIO | None, number: int) -> None:
        self.lost = "" if stream is not None else "it is closed"
        self._number = number
        self._stream = stream or _nowhere(number)

    def write(self, text: str) -> int:
        """Write the text. If that fails, discard the text and store the reason in `lost`."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream. If that fails, discard the buffered text and store the reason in `lost`."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: Exception) -> None:
        self.lost = getattr(error, "strerror", None) or str(error)
        # Send buffered text to the null device. Otherwise, Python fails when it flushes the stream on exit.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._number)
            os.close(nowhere)


def _nowhere(number: int) -> TextIO:
    """Open the null device in place of a closed stdout or stderr.

    If the stream's file descriptor is still free, the null device takes it. If it stayed free, the next file to be
    opened would get it, and libraries would print into that file.
    """
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        with suppress(OSError):
            os.fstat(number)
            return os.fdopen(opened, "w", encoding="utf-8")
        os.dup2(opened, number)
        os.close(opened)
    return os.fdopen(number, "w", encoding="utf-8")


def guard_streams() -> CarefulStream:
    """Replace `sys.stdout` and `sys.stderr` with a `CarefulStream` each, and return the one for stdout."""
    # sys.stdout is None if the descriptor is closed when Python starts.
    found = CarefulStream(sys.stdout, 1)
    sys.stdout, sys.stderr = found, CarefulStream(sys.stderr, 2)
    return found


def exit_code_of(code: int, command: str, stdout: CarefulStream) -> int:
    """Return the exit code of the process, and print a warning if the result could not be written to stdout.

    If the reader of a query's result, such as `head`, has closed the pipe, this is no failure. After other failures,
    ``run``, ``resume`` and ``publish`` keep their own exit code, so that a scheduler does not repeat a run that is
    already published. Any other command exits with a code of at least 1.

    Args:
        code: the command's own exit code.
        command: name of the command.
        stdout: the stream that replaces stdout and stores why text was discarded.
    """
    if not stdout.lost or (command in _MAY_BE_CUT and stdout.lost == os.strerror(errno.EPIPE)):
        return code
    sys.stderr.write(f"warning the answer was not written to stdout: {stdout.lost}\n")
    return code if command in _CHANGE_DATA else max(code, 1)
