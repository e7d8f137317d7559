"""Stores that fail on purpose: each call that changes or lists files below a folder has a number and may fail.

They are local stores with real files, so that other libraries can read a published result. Only calls of the main
thread are counted, not those of heartbeats and of the progress display.
"""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from sparkscore.stage.local_store import LocalStore

T = TypeVar("T")


class Crash(BaseException):
    """Raised to end a simulated process. No code of the product catches it."""


class Fault(StrEnum):
    BEFORE = "crash before"
    AFTER = "crash after"
    LOST = "lost response"
    FAILED = "failed"
    TORN = "torn write"
    STALE = "stale listing"


#: What happens at a call: a fault, or something that others do while this process stands still just before it.
Event = Fault | Callable[[], None]

CONTENTS: Final = {"close"}
LISTINGS: Final = {"scandir"}
#: A call of the scoring script; nothing of the store, but a process may die there.
SCORE: Final = "score"
_NAMING: Final = {"open", "rename", "replace", "link", "unlink", "rmdir", "mkdir"}
_NEEDS_SPACE: Final = {"open", "close", "fsync", "link", "mkdir"}


def faults_of(op: str) -> set[Fault]:
    """Return the faults that are possible for an operation of the store."""
    crashes = {Fault.BEFORE, Fault.AFTER}
    if op == SCORE:
        return crashes
    wrong = crashes | {Fault.LOST, Fault.FAILED}
    return wrong | ({Fault.TORN} if op in CONTENTS else set()) | ({Fault.STALE} if op in LISTINGS else set())


@dataclass(frozen=True)
class Call:
    op: str
    path: str

    def __str__(self) -> str:
        return f"{self.op} {self.path}"


@dataclass
class Process:
    """A simulated driver process with its workers: its calls, the faults planned for them, and its open files."""

    pid: int
    events: dict[int, Event] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    hit: list[tuple[int, Call, Event]] = field(default_factory=list)
    descriptors: set[int] = field(default_factory=set)
    is_dead: bool = False

    def die(self) -> None:
        """Close the open files without flushing their buffers, as the kernel does when a process ends."""
        self.is_dead = True
        while self.descriptors:
            os.close(self.descriptors.pop())


class FaultyStores:
    """The stores below a folder that simulated processes use."""

    def __init__(self, root: Path, token: Callable[[], str] = lambda: uuid.uuid4().hex) -> None:
        self.root = str(root)
        self._token = token
        self._processes: list[Process | None] = []
        self._thread = threading.get_ident()
        self._before: dict[str, dict[str, bool]] = {}

    def open(self, place: Path) -> LocalStore:
        """Return the store of a folder. Stores of other folders than those below the root never fail."""
        path = os.path.abspath(place)  # noqa: PTH100 - called for each store
        return FaultyStore(place, self._token, self) if f"{path}/".startswith(f"{self.root}/") else LocalStore(place)

    @property
    def process(self) -> Process | None:
        """The simulated process that calls, or None outside the simulation and in other threads."""
        return self._processes[-1] if self._processes and threading.get_ident() == self._thread else None

    @contextmanager
    def lived_by(self, process: Process) -> Iterator[None]:
        self._processes.append(process)
        try:
            yield
        finally:
            process.die()
            self._processes.pop()

    def call(self, op: str, path: str, do: Callable[[], T]) -> T:
        """Count a call, and carry it out or let it fail as planned."""
        process = self.process
        if process is None:
            return do()
        if process.is_dead:
            raise Crash
        call = Call(op, os.path.relpath(path, self.root))
        process.calls.append(call)
        event = process.events.pop(len(process.calls) - 1, None)
        if event is None or (isinstance(event, Fault) and event not in faults_of(op)):
            self._remember(op, path)
            return do()
        process.hit.append((len(process.calls) - 1, call, event))
        if isinstance(event, Fault):
            return self._go_wrong(event, process, (op, path), do)
        self._processes.append(None)  # what others look at meanwhile is no call of this process
        try:
            event()
        finally:
            self._processes.pop()
        return do()

    def _go_wrong(self, fault: Fault, process: Process, named: tuple[str, str], do: Callable[[], T]) -> T:
        op, path = named
        if fault is Fault.STALE:
            return self._stale(path, do)
        if fault is Fault.FAILED:
            if op in CONTENTS:
                do()
                _cut(path)
            code = errno.ENOSPC if op in _NEEDS_SPACE else errno.EACCES
            raise OSError(code, os.strerror(code), path)
        if fault is not Fault.BEFORE:
            self._remember(op, path)
            done = do()
            if op == "open" and isinstance(done, int):
                os.close(done)  # nobody gets it
        if fault is Fault.LOST:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if fault is Fault.TORN:
            _cut(path)
        process.die()
        raise Crash

    def _remember(self, op: str, path: str) -> None:
        """Remember the entries of a folder before a call changes it, for stale listings."""
        folder = os.path.dirname(path)  # noqa: PTH120 - called for each call of the store
        if op == "mkdir":
            self._before[path] = {}
        if op in _NAMING:
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
                self._before[folder] = {entry.name: entry.is_dir() for entry in entries}

    def _stale(self, folder: str, do: Callable[[], T]) -> T:
        found: Any = do()
        before = self._before.get(folder)
        return found if before is None else sorted(before.items())  # type: ignore[return-value] # as a listing is


@dataclass(frozen=True)
class FaultyStore(LocalStore):
    """A local store whose single operations may fail."""

    stores: FaultyStores = None  # type: ignore[assignment] # a field after one with a default needs one

    def _call(self, op: str, path: Path, do: Callable[[], T]) -> T:
        return self.stores.call(op, os.path.abspath(path), do)  # noqa: PTH100 - called for each call of the store

    def _do_scan(self, folder: Path) -> Sequence[tuple[str, bool]]:
        return self._call("scandir", folder, lambda: super(FaultyStore, self)._do_scan(folder))

    def _do_create(self, path: Path, mode: int = 0o666) -> int:
        descriptor = self._call("open", path, lambda: super(FaultyStore, self)._do_create(path, mode))
        if self.stores.process is not None:
            self.stores.process.descriptors.add(descriptor)
        return descriptor

    def _do_sync(self, descriptor: int, path: Path) -> None:
        del descriptor
        # Not done: it costs time, and what it guards against, a power cut, is not simulated.
        self._call("fsync", path, lambda: None)

    def _do_close(self, descriptor: int, path: Path) -> None:
        def close() -> None:
            if self.stores.process is not None:
                self.stores.process.descriptors.discard(descriptor)
            os.close(descriptor)

        self._call("close", path, close)

    def _do_replace(self, written: Path, path: Path) -> None:
        self._call("replace", path, lambda: super(FaultyStore, self)._do_replace(written, path))

    def _do_link(self, path: Path, other: Path) -> None:
        self._call("link", other, lambda: super(FaultyStore, self)._do_link(path, other))

    def _do_rename(self, path: Path, other: Path) -> None:
        self._call("rename", other, lambda: super(FaultyStore, self)._do_rename(path, other))

    def _do_touch(self, path: Path) -> None:
        self._call("utime", path, lambda: super(FaultyStore, self)._do_touch(path))

    def _do_remove(self, path: Path) -> None:
        self._call("unlink", path, lambda: super(FaultyStore, self)._do_remove(path))

    def _do_make(self, folder: Path) -> None:
        self._call("mkdir", folder, lambda: super(FaultyStore, self)._do_make(folder))

    def _do_drop(self, folder: Path) -> bool:
        return self._call("rmdir", folder, lambda: super(FaultyStore, self)._do_drop(folder))


def _cut(path: str) -> None:
    with suppress(FileNotFoundError):
        os.truncate(path, os.stat(path).st_size // 2)  # noqa: PTH116 - pathlib has no truncate
