"""Find the files that this process, its ancestors and its session have open for writing. Runs on the driver.

On systems other than Linux, only this process's standard output and standard error are found.
Source: https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html.
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
    """Return the device and inode numbers of regular files that are being written, such as logs.

    A file counts as being written if it is open for appending, which is how loggers open files, or for writing only,
    which is how ``tee`` and the shell's ``>`` open them. A file that is open for both reading and writing does not
    count unless it is open for appending, because it may be a database. This process's standard output and standard
    error always count if they are regular files.

    The search covers this process, its ancestors and the processes in its session, as far as this user may inspect
    them.
    """
    own = {_identity(descriptor) for descriptor in (1, 2)}
    found = {_identity(link) for process in _related_processes() for link in _opened_for_writing(process)}
    return frozenset(each for each in own | found if each is not None)


def _identity(file: int | Path) -> tuple[int, int] | None:
    """Return the device and inode numbers of a file, or None if the file does not exist or is not a regular file.

    Args:
        file: file descriptor or path.
    """
    with suppress(OSError):
        found = os.fstat(file) if isinstance(file, int) else file.stat()
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino
    return None


def _related_processes() -> Iterator[Path]:
    """Yield the ``/proc`` folders of this process, its ancestors and the processes in its session."""
    session, above = os.getsid(0), _ancestors()
    for process in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if int(process.name) in above or os.getsid(int(process.name)) == session:
                yield process


def _ancestors() -> set[int]:
    """Return the ids of this process and of its known ancestors, except process 1."""
    found, process = {os.getpid()}, os.getppid()
    while process > 1 and process not in found:
        found.add(process)
        try:
            # In the stat file, the command name is in parentheses, followed by the state and the parent's process id.
            # Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
            process = int(
                (_PROCESSES / str(process) / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            )
        except (OSError, ValueError, IndexError):
            break
    return found


def _opened_for_writing(process: Path) -> Iterator[Path]:
    """Yield the ``/proc`` links to files that a process has open for writing only or for appending."""
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError, ValueError):
                flags = (process / "fdinfo" / link.name).read_text().partition("flags:")[2].split()[0]
                if int(flags, 8) & os.O_ACCMODE == os.O_WRONLY or int(flags, 8) & os.O_APPEND:
                    yield link
