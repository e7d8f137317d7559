"""Write logs of limited size: a full log is kept as ``<file>.before``, in place of the previous one.

Runs on the driver and the workers.

This module is also a program that copies its standard input to such a log. The JVM pipes its output to this program,
because a log that the JVM itself kept open could not be replaced when full. The program also masks secrets, because
the log contains what scripts print. It reads the secrets from a second pipe instead of its command line, which every
user of the machine can see.
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

#: Size in bytes at which a log is full. A log and its ``<file>.before`` together use at most about twice this size.
MOST_BYTES: Final = 10 * 1024 * 1024
# Not ``.1``, which other programs that rotate logs may use.
_BEFORE: Final = ".before"
_READ_BYTES: Final = 1 << 16
_DRAIN_SECONDS: Final = 5.0


def rotating_handler(file: Path, *, delay: bool = False) -> RotatingFileHandler:
    """Return a log handler that renames a full log to ``<file>.before`` and starts a new one.

    Args:
        file: path of the log.
        delay: whether to create the file only when the first line is written.
    """
    handler = RotatingFileHandler(
        file, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8", delay=delay, errors="backslashreplace"
    )
    handler.namer = lambda name: name.removesuffix(".1") + _BEFORE
    return handler


def make_room(file: Path) -> None:
    """If a log is full, copy it to ``<file>.before`` and empty it."""
    if file.exists() and file.stat().st_size > MOST_BYTES:
        with file.open("r+b") as log:
            _empty(log.fileno(), str(file))


class PipedLog:
    """A process that copies data from a pipe to a log of limited size, until all writers have closed the pipe."""

    def __init__(self, file: Path) -> None:
        """Start the process that copies data from the pipe to the log.

        Args:
            file: path of the log.

        Raises:
            OSError: the process cannot be started.
        """
        secrets, self._secrets = os.pipe()
        os.set_blocking(self._secrets, False)
        try:
            # A session of its own, so that Ctrl-C does not end it before it has written other processes' last lines.
            self._process = subprocess.Popen(  # noqa: S603 - this module
                [sys.executable, "-I", "-S", __file__, str(file.absolute()), str(MOST_BYTES), str(secrets)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[secrets],
                start_new_session=True,
            )
        except OSError:
            os.close(self._secrets)
            raise
        finally:
            os.close(secrets)

    def mask(self, secrets: Iterable[str]) -> None:
        """Send secrets to the process that writes the log, which masks them in all data that it reads from now on.

        No error is raised if the process has ended or is blocked.
        """
        lines = "".join(json.dumps(secret) + "\n" for secret in secrets)
        # A process that has ended or is blocked does not write to the log, so an error is harmless.
        with suppress(OSError):
            os.write(self._secrets, lines.encode())

    @property
    def pipe(self) -> IO[bytes]:
        """The end of the pipe that other processes write to."""
        if self._process.stdin is None:
            raise RuntimeError("the process was started without a pipe")
        return self._process.stdin

    def close(self) -> None:
        """Close the pipe in this process. Processes that inherited the pipe can still write to it."""
        self.pipe.close()
        if self._process.returncode is None:
            # Nobody waits for the process, which may outlive this one. Popen would warn of that when Python ends.
            self._process.returncode = 0

    def drain(self) -> None:
        """Close the pipe, and wait up to five seconds for the process to finish writing the log."""
        self.pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_DRAIN_SECONDS)


def copy_to_log(output: int, secrets: int, file: str, most_bytes: int) -> None:
    """Read data from a file descriptor until its end, and append it to a log with secrets masked.

    Data that cannot be written, for example because the disk is full, is lost.

    Args:
        output: file descriptor to read the data from.
        secrets: file descriptor to read the secrets from, each as a JSON string on its own line.
        file: path of the log. A full log is copied to ``<file>.before`` and emptied.
        most_bytes: size in bytes at which the log is full.
    """
    log = _open(file)
    size = os.fstat(log).st_size
    mask = _Mask()
    while data := _read(output, secrets, mask):
        size = _append(log, file, mask.masked(data), size, most_bytes)
    _append(log, file, mask.rest(), size, most_bytes)


def _read(output: int, secrets: int, mask: _Mask) -> bytes:
    """Wait for data from the file descriptor `output`, and return the data, or empty bytes at its end.

    Before the data is returned, secrets that have arrived on the file descriptor `secrets` are added to `mask`.
    """
    watched = [output, secrets]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if secrets in ready:
            lines = os.read(secrets, _READ_BYTES)
            mask.learn(lines)
            if not lines:
                watched.remove(secrets)
        elif output in ready:
            return os.read(output, _READ_BYTES)


def _append(log: int, file: str, data: bytes, size: int, most_bytes: int) -> int:
    try:
        if size + len(data) > most_bytes:
            size = 0
            _empty(log, file)
        return size + os.write(log, data)
    # A full disk must not block the processes that write to the pipe. Lines that do not fit are lost.
    except OSError:
        return size


class _Mask:
    """Masks secrets in a stream of bytes.

    The stream arrives in pieces, and a secret may begin in one piece and end in the next. Therefore, `masked` holds
    back the last bytes of a piece if a secret may begin there. At the end of the stream, `rest` returns the bytes that
    are still held back.
    """

    # As in `sparkscore.redaction`, shorter secrets are masked only as whole words.
    _LONG = 8

    def __init__(self) -> None:
        self._lines = b""
        self._secrets: set[bytes] = set()
        self._pattern: re.Pattern[bytes] | None = None
        self._held = b""

    def learn(self, lines: bytes) -> None:
        *whole, self._lines = (self._lines + lines).split(b"\n")
        for line in whole:
            # A string that cannot be encoded cannot be in the stream.
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
        # A complete secret may end with the beginning of another.
        whole = max([whole, *(match.end() for match in found)])
        self._held = data[whole:]
        return self._pattern.sub(b"***", data[:whole])

    def _begins(self, data: bytes, secret: bytes) -> int:
        """Return how many bytes at the end of the data may be the beginning of a secret.

        These bytes may also be a complete short secret. Short secrets are masked only as whole words, and the word may
        continue in the next piece.
        """
        most = len(secret) - (len(secret) >= self._LONG)
        return next((size for size in range(min(most, len(data)), 0, -1) if data.endswith(secret[:size])), 0)

    def rest(self) -> bytes:
        return self._held if self._pattern is None else self._pattern.sub(b"***", self._held)


def _empty(log: int, file: str) -> None:
    """Copy a log to ``<file>.before``. Then empty the log, even if the copy failed.

    The log is read and emptied through its open file descriptor, in case another file is now at its path.
    """
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
