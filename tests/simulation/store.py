"""A store that fails on purpose: each call that changes or lists files below a folder is numbered, and may go wrong.

Calls are taken at the level of `os` and `open`, which `pathlib` and `shutil` end in too; of pyarrow's own writers the
opening and closing of Parquet files is taken. Only the thread that lives a process is: heartbeats and progress do not
count.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self
from unittest import mock

import pyarrow.parquet as pq


class Crash(BaseException):
    """The process is dead; nothing catches that."""


class Fault(StrEnum):
    BEFORE = "crash before"
    AFTER = "crash after"
    LOST = "lost response"
    FAILED = "failed"
    TORN = "torn write"
    STALE = "stale listing"


#: What happens at a call: a fault, or something that others do while this process stands still just before it.
Event = Fault | Callable[[], None]

CONTENTS: Final = {"close", "parquet close"}
LISTINGS: Final = {"scandir", "listdir"}
#: A call of the scoring script; nothing of the store, but a process may die there.
SCORE: Final = "score"
_NAMING: Final = {"open", "rename", "replace", "link", "unlink", "rmdir", "mkdir", "parquet open"}
_NEEDS_SPACE: Final = {"open", "close", "fsync", "link", "mkdir", "parquet open", "parquet close"}


def faults_of(op: str) -> set[Fault]:
    """Tell what can go wrong with a kind of call."""
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
    """One life of a driver with its workers: what it called, what will go wrong, what it has open."""

    pid: int
    events: dict[int, Event] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    hit: list[tuple[int, Call, Event]] = field(default_factory=list)
    files: list[_WrittenFile] = field(default_factory=list)
    is_dead: bool = False

    def die(self) -> None:
        """Leave of open files what was flushed, and nothing of what their buffers hold."""
        self.is_dead = True
        for file in list(self.files):
            file.abandon()


class Store:
    """The files below a folder, as the processes of a simulation reach them."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._processes: list[Process | None] = []
        self._thread = threading.get_ident()
        self._folders: dict[int, str] = {}
        self._before: dict[str, dict[str, bool]] = {}

    @property
    def process(self) -> Process | None:
        """Who calls; None outside of the simulation, and for threads beside it."""
        return self._processes[-1] if self._processes and threading.get_ident() == self._thread else None

    @contextmanager
    def lived_by(self, process: Process) -> Iterator[None]:
        self._processes.append(process)
        try:
            yield
        finally:
            process.die()
            self._processes.pop()

    def call(self, op: str, path: str | None, do: Callable[[], Any], file: _WrittenFile | None = None) -> Any:
        """Number a call, and do it well or badly."""
        process = file.process if file is not None else self.process
        if process is None or path is None:
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

    def _go_wrong(self, fault: Fault, process: Process, named: tuple[str, str], do: Callable[[], Any]) -> Any:
        op, path = named
        if fault is Fault.STALE:
            return self._stale(op, path, do)
        if fault is Fault.FAILED:
            if op in CONTENTS:
                do()
                _cut(path)
            code = errno.ENOSPC if op in _NEEDS_SPACE else errno.EACCES
            raise OSError(code, os.strerror(code), path)
        if fault is not Fault.BEFORE:
            self._remember(op, path)
            _forget(do())
        if fault is Fault.LOST:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if fault is Fault.TORN:
            _cut(path)
        process.die()
        raise Crash

    def _remember(self, op: str, path: str) -> None:
        """Keep what a folder held before a call that changes it."""
        folder = os.path.dirname(path)  # noqa: PTH120 - called for each call of the store
        if op == "mkdir":
            self._before[path] = {}
        if op in _NAMING:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._before[folder] = {entry.name: entry.is_dir() for entry in _REAL["scandir"](folder)}

    def _stale(self, op: str, path: str, do: Callable[[], Any]) -> Any:
        before = self._before.get(path)
        if before is None:
            return do()
        if op == "listdir":
            do()
            return list(before)
        with do() as entries:
            there = {entry.name: entry for entry in entries}
        return _Entries([there.get(name) or _Gone(path, name, before[name]) for name in before])

    # ------------------------------------------------------------------------------------------------- what is patched

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take the calls of `os`, `open` and pyarrow's Parquet writer."""
        with ExitStack() as stack:
            for patch in self._patches():
                stack.enter_context(patch)
            yield

    def _patches(self) -> Iterator[AbstractContextManager[Any]]:
        for name in ("mkdir", "rmdir", "unlink", "remove", "utime"):
            yield mock.patch.object(os, name, self._on_one(name))
        for name in ("rename", "replace", "link", "symlink"):
            yield mock.patch.object(os, name, self._on_two(name))
        for name in ("scandir", "listdir"):
            yield mock.patch.object(os, name, self._listing(name))
        yield mock.patch.object(os, "open", self._os_open)
        yield mock.patch.object(os, "close", self._os_close)
        yield mock.patch.object(os, "fsync", self._fsync)
        yield mock.patch.object(os, "getpid", self._getpid)
        yield mock.patch.object(builtins, "open", self._open)
        yield mock.patch.object(io, "open", self._open)
        yield mock.patch.object(pq.ParquetWriter, "__init__", self._parquet_open())
        yield mock.patch.object(pq.ParquetWriter, "close", self._parquet_close())

    def _ours(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Give the absolute path of what is below the root; None of all else."""
        if isinstance(path, int):
            return self._folders.get(path)
        text = os.fsdecode(path)
        if dir_fd is not None:
            text = f"{self._folders.get(dir_fd, '')}/{text}"
        text = os.path.abspath(text)  # noqa: PTH100 - called for each call of the store
        return text if text.startswith(f"{self.root}/") else None

    def _on_one(self, name: str) -> Callable[..., Any]:
        op = "unlink" if name == "remove" else name

        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            ours = self._ours(path, kwargs.get("dir_fd"))
            return self.call(op, ours, lambda: _REAL[name](path, *args, **kwargs))

        return call

    def _on_two(self, name: str) -> Callable[..., Any]:
        def call(source: Any, target: Any, **kwargs: Any) -> Any:
            return self.call(name, self._ours(target), lambda: _REAL[name](source, target, **kwargs))

        return call

    def _listing(self, name: str) -> Callable[..., Any]:
        def call(path: Any = ".") -> Any:
            return self.call(name, self._ours(path), lambda: _sorted(_REAL[name](path)))

        return call

    def _os_open(self, path: Any, flags: int, *args: Any, dir_fd: int | None = None) -> int:
        def do() -> int:
            return int(_REAL["open"](path, flags, *args, dir_fd=dir_fd))

        ours = self._ours(path, dir_fd)
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return int(self.call("open", ours, do))
        if ours is not None and self.process is not None and self.process.is_dead:
            raise Crash
        fd = do()
        if ours is not None and stat.S_ISDIR(os.fstat(fd).st_mode):
            self._folders[fd] = ours
        return fd

    def _os_close(self, fd: int) -> None:
        self._folders.pop(fd, None)
        _REAL["close"](fd)

    def _getpid(self) -> int:
        return self.process.pid if self.process is not None else int(_REAL["getpid"]())

    def _fsync(self, fd: int) -> None:
        process = self.process
        file = next((file for file in process.files if file.fileno() == fd), None) if process is not None else None
        # Not done: it costs time, and what it guards against, a power cut, is not simulated.
        self.call("fsync", None if file is None else file.path, lambda: None, file)

    def _open(self, path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        ours = None if isinstance(path, int) or self.process is None else self._ours(path)
        if ours is None or not set(mode) & set("wxa+"):
            return _REAL_OPEN(path, mode, *args, **kwargs)
        return self.call("open", ours, lambda: _WrittenFile(self, ours, _REAL_OPEN(path, mode, *args, **kwargs)))

    def _path_of(self, where: Any) -> str | None:
        """Give the path that a Parquet writer opens; a file that is open already has calls of its own."""
        return self._ours(where) if isinstance(where, (str, os.PathLike)) else None

    def _parquet_open(self) -> Callable[..., None]:
        def init(writer: Any, where: Any, *args: Any, **kwargs: Any) -> None:
            writer.opened_by = self.process
            try:
                path = self._path_of(where)
                self.call("parquet open", path, lambda: _REAL_PARQUET_OPEN(writer, where, *args, **kwargs))
            except BaseException:
                writer.is_open = False  # else it would be closed when it is forgotten
                raise

        return init

    def _parquet_close(self) -> Callable[..., None]:
        def close(writer: Any) -> None:
            if not writer.is_open:
                return
            try:
                # One that a dead process has left open is closed by nobody, also when it is forgotten later.
                if writer.opened_by is self.process:
                    self.call("parquet close", self._path_of(writer.where), lambda: _REAL_PARQUET_CLOSE(writer))
            finally:
                writer.is_open = False

        return close


class _WrittenFile:
    """An open file: what its buffer holds is lost when the process dies."""

    def __init__(self, store: Store, path: str, file: Any) -> None:
        if store.process is None:
            raise RuntimeError("only a process of the simulation opens files through it")
        self.process, self.path = store.process, path
        self._store, self._file = store, file
        self.process.files.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, content: Any) -> Any:
        if self.process.is_dead:
            raise Crash
        return self._file.write(content)

    def flush(self) -> None:
        if not self.process.is_dead and not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        if self.process.is_dead or self._file.closed:
            return
        try:
            self._store.call("close", self.path, self._file.close, self)
        finally:
            if not self.process.is_dead:
                self.abandon()

    def abandon(self) -> None:
        """Close the file without what was not flushed."""
        self.process.files.remove(self)
        if not self._file.closed:
            nowhere = _REAL["open"](os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())
            _REAL["close"](nowhere)
            self._file.close()


class _Gone:
    """An entry that a stale listing names and that is not there any more."""

    def __init__(self, folder: str, name: str, is_folder: bool) -> None:  # noqa: FBT001 - as it was remembered
        self.name, self.path, self._is_folder = name, f"{folder}/{name}", is_folder

    def __fspath__(self) -> str:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        del follow_symlinks
        return self._is_folder

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        del follow_symlinks
        return not self._is_folder

    def is_symlink(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)  # noqa: PTH116 - as os.DirEntry does


class _Entries(list[Any]):
    """A listing, as `os.scandir` gives it; in order, so that two runs make the same calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""


def _sorted(listing: Any) -> Any:
    if isinstance(listing, list):
        return sorted(listing)
    with listing:
        return _Entries(sorted(listing, key=lambda entry: entry.name))


def _forget(done: Any) -> None:
    """Close what a call has opened and nobody gets."""
    if isinstance(done, _WrittenFile):
        done.abandon()
    elif isinstance(done, int):
        _REAL["close"](done)


def _cut(path: str) -> None:
    with suppress(FileNotFoundError):
        os.truncate(path, os.stat(path).st_size // 2)  # noqa: PTH116 - pathlib has no truncate


_NAMES: Final = (
    *("mkdir", "rmdir", "unlink", "remove", "utime", "rename", "replace", "link", "symlink", "scandir", "listdir"),
    *("open", "close", "fsync", "getpid"),
)
_REAL: Final[Mapping[str, Callable[..., Any]]] = {name: getattr(os, name) for name in _NAMES}
_REAL_OPEN: Final[Callable[..., Any]] = builtins.open
_REAL_PARQUET_OPEN: Final[Callable[..., None]] = pq.ParquetWriter.__init__
_REAL_PARQUET_CLOSE: Final[Callable[..., None]] = pq.ParquetWriter.close
