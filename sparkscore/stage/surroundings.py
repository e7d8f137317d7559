"""What a run takes from its surroundings: stores, names that nobody else has, and who it is (driver and worker).

Nothing else in the package opens a store or makes up a name for a file of a run. A test can put other surroundings in
their place, for a block of code; the threads that this code starts keep the usual ones.
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
    """Who works on a run.

    Attributes:
        pid: number of the process.
        host: name of its host.
        namespace: the boot and the namespace in which the number means something; None where that is not known.
        began: when the process began, which tells it from a later one with its number.
    """

    pid: int
    host: str
    namespace: str | None
    began: str | None


def _this_process() -> Process:
    pid = os.getpid()
    return Process(pid, socket.gethostname(), _namespace(), _began(pid))


def _namespace() -> str | None:
    """Return the boot and the pid namespace of this process; None where /proc does not show them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return None


def _began(pid: int) -> str | None:
    """Return when a process began; None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _token() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Surroundings:
    """What a run takes from outside.

    Attributes:
        open_store: opens the store of a place.
        token: returns 32 hexadecimal digits that nobody else has.
        process: returns who this process is.
        began: returns when another process of this host began; None where it is gone.
    """

    open_store: Callable[[Path], Store] = LocalStore
    token: Callable[[], str] = _token
    process: Callable[[], Process] = _this_process
    began: Callable[[int], str | None] = _began


_here: ContextVar[Surroundings] = ContextVar("surroundings", default=Surroundings())  # noqa: B039 - it is frozen


def here() -> Surroundings:
    """Return the surroundings of the code that asks."""
    return _here.get()


@contextmanager
def put_into(surroundings: Surroundings) -> Iterator[None]:
    """Put other surroundings in the place of the usual ones."""
    token = _here.set(surroundings)
    try:
        yield
    finally:
        _here.reset(token)


def open_store(place: str | Path) -> Store:
    """Open the store of a place: a folder of a disk that all processes of the run see under this name."""
    return here().open_store(Path(place))


def open_common(*places: Path) -> tuple[Store, list[str]]:
    """Open one store that holds several places, to rename from one to another; return the places' names in it."""
    root = Path(os.path.commonpath([place.absolute() for place in places]))
    return open_store(root), [place.absolute().relative_to(root).as_posix() for place in places]
