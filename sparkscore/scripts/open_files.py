"""Tell which files are open for writing by this process and those that it was started with (driver; Linux).

Source: `proc(5)`, https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html. Elsewhere only standard output and
error of this process are known.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROCESSES: Final = Path("/proc")


def files_being_written() -> frozenset[tuple[int, int]]:
    """Give device and inode of each file to which something appends: the log of this command, if it has one.

    A shell's ``>`` and ``tee`` open a log for writing only, others for appending. A database is open for reading, too.
    """
    own = {_identity(descriptor) for descriptor in (1, 2)}
    found = {_identity(link) for process in _neighbours() for link in _opened_for_writing(process)}
    return frozenset(each for each in own | found if each is not None)


def _identity(file: int | Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.fstat(file) if isinstance(file, int) else file.stat()
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino
    return None


def _neighbours() -> Iterator[Path]:
    """Give the processes of this one's session, and those above it."""
    session, above = os.getsid(0), _above()
    for process in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if int(process.name) in above or os.getsid(int(process.name)) == session:
                yield process


def _above() -> set[int]:
    found, process = {os.getpid()}, os.getppid()
    while process > 1 and process not in found:
        found.add(process)
        try:
            # After the name in parentheses: state, then the parent.
            process = int(
                (_PROCESSES / str(process) / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            )
        except (OSError, ValueError, IndexError):
            break
    return found


def _opened_for_writing(process: Path) -> Iterator[Path]:
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError, ValueError):
                flags = (process / "fdinfo" / link.name).read_text().partition("flags:")[2].split()[0]
                if int(flags, 8) & os.O_ACCMODE == os.O_WRONLY or int(flags, 8) & os.O_APPEND:
                    yield link
