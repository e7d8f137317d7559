"""Find the deepest cause of a failed Spark job, and the host where it occurred, in Spark's error message.

Runs on the driver.

Spark's message may contain values from rows. To keep these values out of sparkscore's errors, only class names, host
names, and texts about files, programs, packages and connections are taken from the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# Patterns of the last line of a Python traceback, and of the 'Caused by:' lines of a Java stack trace.
_CLASS: Final = r"(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Interrupt|Exit))"
_OF_PYTHON: Final = re.compile(rf"^{_CLASS}(?:: (.*))?$", re.MULTILINE)
_OF_JAVA: Final = re.compile(rf"^\s*Caused by: {_CLASS}(?:: (.*))?$", re.MULTILINE)
_TRACEBACK: Final = "Traceback (most recent call last):"
_HOST: Final = re.compile(r"\(TID \d+\) \(([^\s()]+) executor ([^\s()]+)\)")

# Messages that contain a path, but no values of rows.
_PATHS: Final = (
    re.compile(r"\[Errno \d+\] (?P<reason>[A-Z][A-Za-z ,/-]+): '(?P<path>[^'\n]+)'"),
    re.compile(r"File (?P<path>(?:file:)?/\S.*?) (?P<reason>does not exist)"),
    re.compile(
        r"(?P<path>(?:file:)?/[^\n]+?) \((?P<reason>No such file or directory|Permission denied|[A-Z][a-z ]+)\)"
    ),
    re.compile(r"(?P<path>(?:file:)?/\S+)(?P<reason>)$"),
)
_OF_FILES: Final = frozenset(
    {
        *("FileNotFoundError", "PermissionError", "NotADirectoryError", "IsADirectoryError", "OSError"),
        *("FileNotFoundException", "NoSuchFileException", "AccessDeniedException", "AccessControlException"),
    }
)
_SAFE: Final = (
    re.compile(r"No module named '[\w.]+'"),
    re.compile(r'Cannot run program "[^"\n]+"(?: \(in directory "[^"\n]+"\))?: error=\d+, [A-Za-z ]+'),
    re.compile(r"\[Errno \d+\] [A-Z][A-Za-z ,/-]+$"),
    re.compile(r"(?:No such host|Name or service|Connection refused|Connection reset|No route to host)[A-Za-z ]*"),
)


@dataclass(frozen=True)
class Cause:
    """The deepest cause of a failed Spark job.

    Attributes:
        name: class name of the exception, without its package.
        detail: the part of the exception's message that contains no data from the rows, or an empty string.
        path: path of the file or folder that the exception is about, or an empty string.
    """

    name: str
    detail: str = ""
    path: str = ""

    def __str__(self) -> str:
        """Return the class name, followed by `detail` if there is one."""
        return f"{self.name}: {self.detail}" if self.detail else self.name

    @property
    def is_hidden_file(self) -> bool:
        """Whether the job failed because a file or folder could not be found or opened, for example by a worker."""
        return bool(self.path) and self.name in _OF_FILES

    @property
    def is_refused(self) -> bool:
        """Whether the job failed because the operating system denied access."""
        return "ermission denied" in self.detail or self.name in {"AccessDeniedException", "AccessControlException"}


def cause_in(text: str) -> Cause | None:
    """Return the deepest cause in the message of Spark's exception, or None if there is none.

    The deepest cause is the exception at the end of the last Python traceback. Without a Python traceback, it is
    the exception in the last ``Caused by:`` line of the Java stack trace.
    """
    _, is_python, traceback = text.rpartition(_TRACEBACK)
    found = [*(_OF_PYTHON if is_python else _OF_JAVA).finditer(traceback)]
    if is_python:
        # Lines after the traceback are Java's.
        found = found[:1]
    if not found:
        return None
    match = found[-1]
    return _cause_of(match[1], match[2] or "")


def host_in(text: str) -> str:
    """Return the host of the last failed task that Spark's message names, or an empty string if it names none."""
    found = [*_HOST.finditer(text)]
    return found[-1][1] if found else ""


def _cause_of(name: str, message: str) -> Cause:
    if name in _OF_FILES:
        for pattern in _PATHS:
            if found := pattern.search(message):
                return Cause(name, found[0], found["path"])
    safe = next((found[0] for pattern in _SAFE if (found := pattern.search(message))), "")
    return Cause(name, safe)
