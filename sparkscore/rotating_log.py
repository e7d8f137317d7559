"""Keep logs bounded: a file takes so much, the one before it is kept, older lines go (driver and worker).

As a program it copies its standard input into such a file: the JVM's output comes through a pipe, because a file that
another process has open cannot be replaced under it. The program needs the standard library alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Final

#: A log and its predecessor take twice this.
MOST_BYTES: Final = 10 * 1024 * 1024
# Not ``.1``: that may be a file of the user's own rotation.
_BEFORE: Final = ".before"
_READ_BYTES: Final = 1 << 16
_DRAIN_SECONDS: Final = 5.0


def rotating_handler(file: Path, *, delay: bool = False) -> RotatingFileHandler:
    """Make a handler that moves a full log aside, to a name that ends in ``.before``.

    Args:
        file: the log.
        delay: whether it is made with its first line only.
    """
    handler = RotatingFileHandler(
        file, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8", delay=delay, errors="backslashreplace"
    )
    handler.namer = lambda name: name.removesuffix(".1") + _BEFORE
    return handler


def make_room(file: Path) -> None:
    """Move a log that is full aside before something is appended to it."""
    if file.exists() and file.stat().st_size > MOST_BYTES:
        with file.open("r+b") as log:
            _empty(log.fileno(), str(file))


class PipedLog:
    """A process that writes what comes through a pipe into a bounded log, until nobody holds the pipe any more."""

    def __init__(self, file: Path) -> None:
        # In a session of its own: Ctrl-C is for those whose last lines it writes.
        self._process = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, "-I", "-S", __file__, str(file.absolute()), str(MOST_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pipe(self) -> IO[bytes]:
        """The end to write to."""
        if self._process.stdin is None:
            raise RuntimeError("the process was started without a pipe")
        return self._process.stdin

    def close(self) -> None:
        """Close this process's end; those that it gave the pipe to have theirs."""
        self.pipe.close()

    def drain(self) -> None:
        """Wait until everything is written that came from processes that have ended."""
        self.close()
        try:
            self._process.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            return


def copy_to_log(source: int, file: str, most_bytes: int) -> None:
    """Append what comes from a descriptor to a file; a full one takes the place of ``<file>.before``."""
    log = _open(file)
    size = os.fstat(log).st_size
    while data := os.read(source, _READ_BYTES):
        try:
            if size + len(data) > most_bytes:
                size = 0
                _empty(log, file)
            size += os.write(log, data)
        # A full disk must not stop those who write: what it does not take is lost.
        except OSError:
            continue


def _empty(log: int, file: str) -> None:
    """Copy a log over the one before it and begin again, in the file that is open, whatever has its name by now."""
    try:
        with Path(f"{file}{_BEFORE}").open("wb") as before:
            start = 0
            while data := os.pread(log, _READ_BYTES, start):
                start += before.write(data)
    finally:
        os.ftruncate(log, 0)


def _open(file: str) -> int:
    return os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)


if __name__ == "__main__":
    copy_to_log(0, sys.argv[1], int(sys.argv[2]))
