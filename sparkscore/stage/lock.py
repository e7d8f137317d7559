"""A lock with a heartbeat: one driver works on a run at a time, and a dead driver's lock is taken over (driver)."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import socket
import stat
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, LineageError, SinkConflictError
from sparkscore.removal import move_new, remove_file
from sparkscore.stage.layout import STAGE_FOLDER

#: Seconds between two heartbeats.
BEAT_S: Final = 2.0
#: Seconds without a heartbeat after which a driver on another host counts as dead.
DEAD_AFTER_S: Final = 30.0


# What a driver that takes a lock puts beside it for a moment.
_LITTER: Final = re.compile(r"\.(clock-)?[0-9a-f]{32}")
_BEGIN: Final = b'{"token": "'
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_held_here: set[str] = set()


class RunLock:
    """A lock file that its holder touches again and again; times are those of the store, not of any host.

    Made by one exclusive create, so of two drivers at once one wins. A holder whose process this one can see (the same
    host, boot and pid namespace) is alive as long as its process is; any other, as in another container, as long as
    its heartbeat is not older than `DEAD_AFTER_S`. A heartbeat in the future, of a clock that was set back since, is
    watched: what changes is alive. Where a disk is full, an empty file holds the lock, and only its heartbeat tells.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._path = path
        self._run_id = run_id
        self._token = uuid.uuid4().hex
        self._empty: int | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Take the lock, also from a dead driver.

        Raises:
            ConfigError: code ``RUN_ID_RUNNING``: another driver works on the run.
            LineageError: the lock cannot be written.
        """
        _held_here.add(self._token)
        try:
            while not self._create():
                self._take_from_the_dead()
        except ConfigError:
            _held_here.discard(self._token)
            raise
        except OSError as error:
            _held_here.discard(self._token)
            raise LineageError(
                code=ErrorCode.RUN_LOCK,
                what=f"the lock '{self._path}' of run '{self._run_id}'",
                got=error.strerror or type(error).__name__,
                expected="a file that can be written",
                next_step="Correct the cause and run again.",
            ) from error
        self._thread = threading.Thread(target=self._beat, name="sparkscore-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        _held_here.discard(self._token)
        # A lock that stays is that of a dead process: it stops nobody.
        with suppress(OSError):
            if self.is_ours():
                remove_file(self._path)
        if self._empty is not None:
            os.close(self._empty)
            self._empty = None

    def check(self) -> None:
        """Make sure that the lock is still held: a driver that slept too long may have been taken for dead.

        Raises:
            SinkConflictError: another driver has taken it.
        """
        if not self.is_ours():
            raise SinkConflictError(
                code=ErrorCode.RUN_LOCK_LOST,
                what=f"the lock '{self._path}' of run '{self._run_id}'",
                got="another driver that took this one for dead",
                next_step="Look at that driver's run; nothing was published by this one.",
            )

    def _create(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        pid = os.getpid()
        content = {"token": self._token, "host": socket.gethostname(), "namespace": _namespace(), "pid": pid}
        content["began"] = _began(pid)
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        except (FileExistsError, FileNotFoundError):
            # Another run may just have removed a folder for stages that was empty.
            return False
        self._write(descriptor, json.dumps(content).encode())
        return True

    def _write(self, descriptor: int, content: bytes) -> None:
        """Write who holds the lock. On a full disk it stays empty, and open, so that its inode gets no other file."""
        try:
            while content:
                content = content[os.write(descriptor, content) :]
        except OSError as error:
            if error.errno in _FULL and _is_own_place(self._path):
                os.ftruncate(descriptor, 0)
                self._empty = descriptor
                return
            os.close(descriptor)
            remove_file(self._path)
            raise
        os.close(descriptor)

    def _take_from_the_dead(self) -> None:
        if _beginning_of(self._path) is None:
            raise _not_a_lock(self._path, self._run_id)
        holder = _read(self._path)
        age = self._age()
        if age is None:  # it has gone meanwhile
            return
        if _is_alive(self._path, holder, age):
            raise ConfigError(
                code=ErrorCode.RUN_ID_RUNNING,
                what=f"run id '{self._run_id}'",
                got=f"a run that process {holder.get('pid', '?')} on host '{holder.get('host', '?')}' works on, with a "
                f"heartbeat {max(age, 0):.0f} s old",
                expected="an id that no living run has",
                next_step="Wait for that run, or choose another --run-id.",
            )
        if not is_lock(self._path):
            raise _not_a_lock(self._path, self._run_id)
        aside = self._path.with_name(f"{self._path.name}.{self._token}")
        with suppress(FileNotFoundError):
            move_new(self._path, aside)
            # Another driver may have taken the dead one's place between the two steps: then that one is put back.
            if _read(aside).get("token") != holder.get("token"):
                with suppress(FileExistsError):
                    os.link(aside, self._path)
            remove_file(aside)

    def _age(self) -> float | None:
        """Give the seconds since the last heartbeat, by the store's clock."""
        clock = self._path.with_name(f"{self._path.name}.clock-{self._token}")
        try:
            clock.touch()
            return clock.stat().st_mtime - self._path.stat().st_mtime
        except FileNotFoundError:
            return None
        finally:
            with suppress(OSError):
                remove_file(clock)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            with suppress(OSError):
                if self.is_ours():
                    os.utime(self._path)

    def is_ours(self) -> bool:
        """Tell whether the lock is still held."""
        if self._empty is not None:
            try:
                return os.path.samestat(os.fstat(self._empty), self._path.stat())
            except OSError:
                return False
        return bool(_read(self._path).get("token") == self._token)


def is_held(path: Path) -> bool:
    """Tell whether a living driver holds a lock; for those who only look."""
    lock = RunLock(path, "")
    age = lock._age()  # noqa: SLF001 - the same module
    return age is not None and _is_alive(path, _read(path), age)


def is_lock(path: Path) -> bool:
    """Tell whether a file is a lock, or the beginning of one whose writer died; where nothing is, one may be made.

    In a folder that may be the user's, an empty file is not taken for a beginning.
    """
    found = _beginning_of(path)
    return found == _BEGIN or (_is_own_place(path) and found is not None)


def _beginning_of(path: Path) -> bytes | None:
    """Give the first bytes of what is, or may become, a lock, all of them where nothing is; None for other files."""
    try:
        # Another user's pipe would keep a reader waiting for ever.
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        with path.open("rb") as file:
            found = file.read(len(_BEGIN))
    except FileNotFoundError:
        return _BEGIN
    return found if _BEGIN.startswith(found) else None


def _is_own_place(path: Path) -> bool:
    """Whether a lock lies where nothing but sparkscore's files are: among an output's stages, or in a run's folder."""
    return path.parent.name == STAGE_FOLDER or path.name == "lock"


def remove_lock(path: Path) -> None:
    """Remove the lock of a dead driver; any other file stays."""
    if is_lock(path):
        remove_file(path)


def _not_a_lock(path: Path, run_id: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.RUN_LOCK_FOREIGN,
        what=f"the lock of run '{run_id}' cannot be made at '{path}'",
        got="a file that sparkscore has not made",
        expected="nothing there, or a lock",
        next_step="Choose another --run-id or another folder, or move that file away. It was not touched.",
    )


def run_of_litter(name: str, ending: str) -> str | None:
    """Give the run's part of a file's name that a driver which looked at its lock has left; None for other names."""
    found = _LITTER.search(name)
    lock = name[: found.start()] if found is not None and found.end() == len(name) else ""
    return lock.removesuffix(ending) if lock.endswith(ending) else None


def remove_litter(path: Path) -> None:
    """Remove what drivers that died while they looked at a lock have left beside it; the caller holds the lock."""
    for litter in path.parent.glob(f"{glob.escape(path.name)}.*"):
        if _LITTER.fullmatch(litter.name.removeprefix(path.name)):
            remove_file(litter)


def _is_alive(path: Path, holder: dict[str, Any], age: float) -> bool:
    if _is_visible(holder):
        if holder["pid"] == os.getpid() and holder.get("token") not in _held_here:
            # A run of this process that ended and could not remove its lock.
            return False
        return _began(int(holder["pid"])) == str(holder["began"])
    return age <= DEAD_AFTER_S if age >= -BEAT_S else _beats(path, holder)


def _is_visible(holder: dict[str, Any]) -> bool:
    """Whether this process would see the holder's process; a number means nothing in another pid namespace.

    Containers may have the same host name and the same boot, and each its own processes. Without /proc, as on macOS,
    only the heartbeat tells.
    """
    is_complete = isinstance(holder.get("pid"), int) and isinstance(holder.get("began"), str)
    here = (socket.gethostname(), _namespace())
    return is_complete and here[1] is not None and (holder.get("host"), holder.get("namespace")) == here


def _beats(path: Path, holder: dict[str, Any]) -> bool:
    """Whether a heartbeat in the future changes; its age says nothing, since a clock was set back."""
    first, end = _beat_of(path), time.monotonic() + DEAD_AFTER_S
    while time.monotonic() < end:
        time.sleep(BEAT_S / 4)
        # Reading the file makes a network file system ask for its times again.
        if _read(path).get("token") != holder.get("token") or _beat_of(path) != first:
            return True
    return False


def _beat_of(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _namespace() -> str | None:
    """Name the boot and the pid namespace of this process; None where /proc does not show this process's namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except (OSError, ValueError):
        return None


def _began(pid: int) -> str | None:
    """Give when a process began, which tells it from a later one with its number; None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _read(path: Path) -> dict[str, Any]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
