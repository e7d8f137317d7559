"""Open stores, generate random names and identify processes; tests can replace these functions.

Runs on the driver and the workers.

Other modules open stores with `open_store`, and get the other functions from `here`. A test can replace the functions
for a block of code. Threads started in that block still use the usual functions.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from sparkscore.stage.local_store import LocalStore
from sparkscore.stage.store import Store


@dataclass(frozen=True)
class Process:
    """A process that works on a run, described so that it can be recognized later.

    Attributes:
        pid: process id.
        host: name of the process's host.
        namespace: boot id and PID namespace in which the process id is valid, or None if unknown.
        began: start time of the process, or None if unknown. It distinguishes the process from a later one with the
            same id.
    """

    pid: int
    host: str
    namespace: str | None
    began: str | None


def _this_process() -> Process:
    pid = os.getpid()
    return Process(pid, socket.gethostname(), _namespace(), _began(pid))


def _namespace() -> str | None:
    """Return the boot id and PID namespace of this process as one string, or None if /proc does not show them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return None


def _began(pid: int) -> str | None:
    """Return a process's start time in clock ticks since boot, or None if the process has ended.

    Also return None if there is no /proc, as on macOS.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _token() -> str:
    return uuid.uuid4().hex


def _take(name: str, path: str, do: Callable[[], None]) -> None:  # noqa: ARG001 - for tests that make a step fail
    do()


@dataclass(frozen=True)
class Surroundings:
    """The functions of this module that tests can replace.

    Attributes:
        open_store: opens the store whose root is a given folder.
        token: returns 32 random hexadecimal digits.
        process: describes this process.
        began: returns the start time of a process on this host, or None if the process has ended or its start time is
            unknown.
        take: performs a step that changes files without a store, such as a commit by another library. It gets the
            name of the step, the path that the step changes, and a function that does the step.
    """

    open_store: Callable[[Path], Store] = LocalStore
    token: Callable[[], str] = _token
    process: Callable[[], Process] = _this_process
    began: Callable[[int], str | None] = _began
    take: Callable[[str, str, Callable[[], None]], None] = _take


_here: ContextVar[Surroundings] = ContextVar("surroundings", default=Surroundings())  # noqa: B039 - it is frozen


def here() -> Surroundings:
    """Return the functions passed to the enclosing `put_into` block, or the default functions outside such a block."""
    return _here.get()


@contextmanager
def put_into(surroundings: Surroundings) -> Iterator[None]:
    """Make `here` return replacement functions in the ``with`` block, for tests."""
    token = _here.set(surroundings)
    try:
        yield
    finally:
        _here.reset(token)


def open_store(folder: str | Path) -> Store:
    """Open the store whose root is the given folder. The folder need not exist."""
    return here().open_store(Path(folder))


def open_common(*paths: Path) -> tuple[Store, list[str]]:
    """Open one store that contains all given paths, and return it with the name of each path in it.

    This allows renaming one path to another with `Store.rename`.
    """
    root = Path(os.path.commonpath([path.absolute() for path in paths]))
    return open_store(root), [path.absolute().relative_to(root).as_posix() for path in paths]


def is_one_file_system(folder: Path, other: Path) -> bool:
    """Return whether a folder and a path are on the same file system, so that files can be moved by renaming them.

    Args:
        folder: path of the folder, which must exist.
        other: the other path. If it does not exist, its nearest existing parent is checked.
    """
    nearest = next(each for each in (other, *other.parents) if each.exists())
    return folder.stat().st_dev == nearest.stat().st_dev


def missing_of(*folders: Path) -> list[Path]:
    """Return those of the given folders that do not exist, in the same order."""
    return [folder for folder in folders if not folder.exists()]
