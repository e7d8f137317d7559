"""Where a run gets its stores, its random names and the identity of its process (driver and worker).

Only this module opens stores and makes random names for files of a run. A test can replace these functions for a block
of code; threads that the block starts use the usual ones.
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
    """The process that works on a run.

    Attributes:
        pid: number of the process.
        host: name of its host.
        namespace: the boot and the pid namespace in which the number is valid; None if that is not known.
        began: when the process began. Tells it from a later process with the same number.
    """

    pid: int
    host: str
    namespace: str | None
    began: str | None


def _this_process() -> Process:
    pid = os.getpid()
    return Process(pid, socket.gethostname(), _namespace(), _began(pid))


def _namespace() -> str | None:
    """Return the boot and the pid namespace of this process, or None if /proc does not show them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return None


def _began(pid: int) -> str | None:
    """Return when a process began, or None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _token() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Surroundings:
    """The functions that a test can replace.

    Attributes:
        open_store: opens the store of a folder.
        token: returns 32 random hexadecimal digits.
        process: describes this process.
        began: returns when another process of this host began, or None if it has ended.
    """

    open_store: Callable[[Path], Store] = LocalStore
    token: Callable[[], str] = _token
    process: Callable[[], Process] = _this_process
    began: Callable[[int], str | None] = _began


_here: ContextVar[Surroundings] = ContextVar("surroundings", default=Surroundings())  # noqa: B039 - it is frozen


def here() -> Surroundings:
    """Return the functions that apply to the calling code."""
    return _here.get()


@contextmanager
def put_into(surroundings: Surroundings) -> Iterator[None]:
    """Use other functions than the usual ones while the block runs."""
    token = _here.set(surroundings)
    try:
        yield
    finally:
        _here.reset(token)


def open_store(folder: str | Path) -> Store:
    """Open the store whose root is a folder, which all processes of the run see under this path."""
    return here().open_store(Path(folder))


def open_common(*paths: Path) -> tuple[Store, list[str]]:
    """Open the store that holds several paths, to rename from one to another; return it and their names in it."""
    root = Path(os.path.commonpath([path.absolute() for path in paths]))
    return open_store(root), [path.absolute().relative_to(root).as_posix() for path in paths]


def is_one_file_system(folder: Path, other: Path) -> bool:
    """Whether a rename can move files from a folder to another path, which may not exist yet, in one step."""
    nearest = next(each for each in (other, *other.parents) if each.exists())
    return folder.stat().st_dev == nearest.stat().st_dev


def missing_of(*folders: Path) -> list[Path]:
    """Return those of these folders that do not exist."""
    return [folder for folder in folders if not folder.exists()]
