"""Keep logs bounded: a file takes so much, the one before it is kept, older lines go (driver and worker).

As a program it copies its standard input into such a file: the JVM's output comes through a pipe, because a file that
another process has open cannot be replaced under it. The program needs the standard library alone. It masks the secrets
that a second pipe tells it: what a script prints goes this way too, and a command line is open to everybody.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
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
        told, self._told = os.pipe()
        os.set_blocking(self._told, False)
        try:
            # In a session of its own: Ctrl-C is for those whose last lines it writes.
            self._process = subprocess.Popen(  # noqa: S603 - this module
                [sys.executable, "-I", "-S", __file__, str(file.absolute()), str(MOST_BYTES), str(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[told],
                start_new_session=True,
            )
        except OSError:
            os.close(self._told)
            raise
        finally:
            os.close(told)

    def mask(self, secrets: Iterable[str]) -> None:
        """Let these values be masked in what comes from now on."""
        lines = "".join(json.dumps(secret) + "\n" for secret in secrets)
        # The process is gone, or takes nothing: then nothing is written either.
        with suppress(OSError):
            os.write(self._told, lines.encode())

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


def copy_to_log(source: int, told: int, file: str, most_bytes: int) -> None:
    """Append what comes from a descriptor to a file, masked; a full one takes the place of ``<file>.before``.

    Args:
        source: the descriptor.
        told: another one, from which the secrets come, each as a line of JSON.
        file: the file.
        most_bytes: how much it takes.
    """
    log = _open(file)
    size = os.fstat(log).st_size
    mask = _Mask()
    while data := _read(source, told, mask):
        size = _append(log, file, mask.masked(data), size, most_bytes)
    _append(log, file, mask.rest(), size, most_bytes)


def _read(source: int, told: int, mask: _Mask) -> bytes:
    """Read what comes next; nothing at its end. What is told before is known then."""
    watched = [source, told]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if told in ready:
            lines = os.read(told, _READ_BYTES)
            mask.learn(lines)
            if not lines:
                watched.remove(told)
        elif source in ready:
            return os.read(source, _READ_BYTES)


def _append(log: int, file: str, data: bytes, size: int, most_bytes: int) -> int:
    try:
        if size + len(data) > most_bytes:
            size = 0
            _empty(log, file)
        return size + os.write(log, data)
    # A full disk must not stop those who write: what it does not take is lost.
    except OSError:
        return size


class _Mask:
    """Replaces secrets in a stream; what may be the beginning of one waits for what follows."""

    # As in `sparkscore.redaction`: a shorter one is masked as a word only.
    _LONG = 8

    def __init__(self) -> None:
        self._lines = b""
        self._secrets: set[bytes] = set()
        self._pattern: re.Pattern[bytes] | None = None
        self._held = b""

    def learn(self, lines: bytes) -> None:
        *whole, self._lines = (self._lines + lines).split(b"\n")
        for line in whole:
            # What has no bytes cannot come.
            with suppress(UnicodeEncodeError):
                self._secrets.add(json.loads(line).encode(errors="surrogateescape"))
        longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
        patterns = [self._pattern_of(secret) for secret in longest_first]
        self._pattern = re.compile(b"|".join(patterns)) if patterns else None

    def _pattern_of(self, secret: bytes) -> bytes:
        escaped = re.escape(secret)
        return escaped if len(secret) >= self._LONG else rb"(?<!\w)" + escaped + rb"(?!\w)"

    def masked(self, data: bytes) -> bytes:
        if self._pattern is None:
            return data
        data, self._held = self._held + data, b""
        waits = max((self._begins(data, secret) for secret in self._secrets), default=0)
        whole = len(data) - waits
        found = [match for match in self._pattern.finditer(data) if match.start() < whole]
        # A secret that is there already and ends with the beginning of another.
        whole = max([whole, *(match.end() for match in found)])
        self._held = data[whole:]
        return self._pattern.sub(b"***", data[:whole])

    def _begins(self, data: bytes, secret: bytes) -> int:
        """Count the last bytes that a secret may begin with, all of a short one too, whose word may go on."""
        most = len(secret) - (len(secret) >= self._LONG)
        return next((size for size in range(min(most, len(data)), 0, -1) if data.endswith(secret[:size])), 0)

    def rest(self) -> bytes:
        return self._held if self._pattern is None else self._pattern.sub(b"***", self._held)


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
    copy_to_log(0, int(sys.argv[3]), sys.argv[1], int(sys.argv[2]))
