"""Provide a lock file with a heartbeat, so that only one driver at a time works on a run or publishes to an output.

Runs on the driver.

If the driver that holds the lock dies, another driver can replace the lock.
"""

from __future__ import annotations

import errno
import json
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, LineageError, SinkConflictError
from sparkscore.stage import layout
from sparkscore.stage.store import Entry, EntryType, Mark, Store
from sparkscore.stage.surroundings import here, open_store

#: Seconds between two heartbeats.
BEAT_S: Final = 2.0
#: Seconds without a heartbeat after which a driver counts as dead if its process cannot be seen, for example because it
#: runs on another host.
DEAD_AFTER_S: Final = 30.0


# Suffix of temporary files that drivers of earlier versions created next to a lock.
_EARLIER_LITTER: Final = re.compile(r"\.(clock-)?[0-9a-f]{32}")
_BEGIN: Final = b'{"token": "'
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
# Tokens of the locks that this process holds. If a lock file names this process as its holder, but its token is not in
# this set, it was left behind by a run that ended and could not remove it. The set is module state, because a lock file
# names a process.
_held_here: set[str] = set()


class RunLock:
    """A lock file with a heartbeat: the driver that holds the lock touches the file every two seconds.

    The file is created only if it does not exist, so only one of several drivers gets the lock. If the holder is dead,
    another driver can replace the lock. If several drivers try, only one succeeds. Whether the holder is alive is
    decided as follows:

    - If this process can see the holder's process (same host, boot and PID namespace), the holder is alive as long as
      its process is running. The exception is a lock that an earlier run in this same process left behind: its holder
      counts as dead.
    - Any other holder, for example in another container, is alive if its heartbeat is at most `DEAD_AFTER_S` seconds
      old. The age is measured by the store's clock, not by a host's.
    - If that heartbeat is more than `BEAT_S` seconds in the future, a clock was set back. The file is then watched, and
      the holder is alive if the file changes.
    - On a full disk, the lock may be an empty file. Only its heartbeat then shows whether the holder is alive.

    Args:
        path: path of the lock file.
        run_id: id of the run that wants the lock, for error messages.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._path = path
        self._store, self._name = open_store(path.parent), path.name
        self._run_id = run_id
        self._token = here().token()
        self._mark: Mark | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Acquire the lock, replacing a dead driver's lock if necessary, and start a thread that touches the lock file.

        Raises:
            ConfigError: a live driver holds the lock (code ``RUN_ID_RUNNING``), or the path is taken by something that
                is not a lock (code ``RUN_LOCK_FOREIGN``).
            LineageError: the lock cannot be read or written.
        """
        _held_here.add(self._token)
        try:
            while not (self._create() or self._take_from_the_dead()):
                pass
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
        # A lock file that cannot be removed does no harm: other drivers treat it as a dead driver's.
        with suppress(OSError):
            if self.is_ours():
                self._store.delete(self._name)
                remove_litter(self._path)
        if self._mark is not None:
            self._mark.close()
            self._mark = None

    def check(self) -> None:
        """Check that this driver still holds the lock.

        Raises:
            SinkConflictError: the lock file was removed, or was replaced by another driver, for example because this
                driver had not touched it for too long.
            OSError: the lock file cannot be read.
        """
        if not self.is_ours():
            raise SinkConflictError(
                code=ErrorCode.RUN_LOCK_LOST,
                what=f"the lock '{self._path}' of run '{self._run_id}'",
                got="another driver that took this one for dead",
                next_step="Look at that driver's run; nothing was published by this one.",
            )

    def _content(self) -> bytes:
        me = here().process()
        content = {"token": self._token, "host": me.host, "namespace": me.namespace, "pid": me.pid, "began": me.began}
        return json.dumps(content).encode()

    def _create(self) -> bool:
        self._store.make()
        try:
            return self._store.put_new(self._name, self._content())
        except FileNotFoundError:
            # Another run may have just removed the empty folder for stages.
            return False
        except OSError as error:
            if not self._may_be_empty(error):
                raise
            self._mark = self._store.put_mark(self._name)
            return self._mark is not None

    def _take_from_the_dead(self) -> bool:
        """Replace the lock of a dead driver and return whether this call replaced it.

        If the result is False, the caller must try again: the lock has changed or vanished in the meantime, or the disk
        is too full to write the new lock's content.
        """
        found = _Found.at(self._store, self._name)
        if not found.is_lock_or_beginning:
            raise _not_a_lock(self._path, self._run_id)
        holder, age = found.holder, self._store.age(self._name)
        if age is None or found.entry is None:
            return False
        if _is_alive(self._store, self._name, found, age):
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
        try:
            return self._store.put_if_match(self._name, self._content(), found.entry.version)
        except FileNotFoundError:
            return False  # another driver released its lock and removed the temporary files next to it
        except OSError as error:
            if not self._may_be_empty(error):
                raise
            return False  # the call has removed the dead driver's lock, so an empty lock can be created

    def _may_be_empty(self, error: OSError) -> bool:
        """Return whether an empty file can serve as the lock.

        This is the case only if the disk is full and the lock is in one of sparkscore's own folders.

        Args:
            error: the error that was raised when writing the lock.
        """
        return error.errno in _FULL and _is_in_own_folder(self._path)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            with suppress(OSError):
                if self.is_ours():
                    self._store.touch(self._name)

    def is_ours(self) -> bool:
        """Return whether this driver still has the lock file. Return False if it never acquired the lock.

        Raises:
            OSError: the lock file cannot be read.
        """
        if self._mark is not None:
            return self._mark.is_there()
        return bool(_Found.at(self._store, self._name).holder.get("token") == self._token)


@dataclass(frozen=True)
class _Found:
    """What was found under a lock's name: a lock, something else, or nothing.

    Attributes:
        entry: the directory entry, or None if nothing was found.
        start: first bytes of the file. Empty if nothing was found, or None if the entry is not a file.
        holder: the process that holds the lock, as described in the file, or an empty dictionary.
    """

    entry: Entry | None
    start: bytes | None
    holder: dict[str, Any]

    @classmethod
    def at(cls, store: Store, name: str) -> _Found:
        entry = store.find(name)
        if entry is None:
            return cls(None, b"", {})
        # Reading a pipe could block forever.
        if entry.type is not EntryType.FILE:
            return cls(entry, None, {})
        try:
            content = store.read(name)
        except FileNotFoundError:
            return cls(None, b"", {})
        return cls(entry, content[: len(_BEGIN)], _holder_in(content))

    @property
    def is_lock_or_beginning(self) -> bool:
        return self.start is not None and _BEGIN.startswith(self.start)


def _holder_in(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def is_held(path: Path) -> bool:
    """Return whether a live driver holds a lock, without acquiring the lock.

    Return False if there is no file at the path. If the file's modification time is in the future, because a clock was
    set back, the call can take `DEAD_AFTER_S` seconds.

    Args:
        path: path of the lock file. Whether it really is a lock is not checked.
    """
    store, name = open_store(path.parent), path.name
    found, age = _Found.at(store, name), store.age(name)
    return age is not None and _is_alive(store, name, found, age)


def is_lock(path: Path) -> bool:
    """Return whether the file at a path is a lock.

    A missing file counts as a lock, because the lock may just have been released.

    A file that begins with ``{"token": "`` is a lock. An empty file, or one that contains only part of this prefix, may
    be an incomplete lock, or may belong to the user. It therefore counts as a lock only if its path is that of a lock
    in one of sparkscore's own folders.
    """
    found = _Found.at(open_store(path.parent), path.name)
    return found.entry is None or found.start == _BEGIN or (_is_in_own_folder(path) and found.is_lock_or_beginning)


def _is_in_own_folder(path: Path) -> bool:
    """Return whether a lock is in one of sparkscore's own folders: a folder for stages, or a run's folder.

    Only names are compared: the folder must be named ``_sparkscore``, or the lock must be named ``lock``.
    """
    return path.parent.name == layout.STAGE_FOLDER or path.name == "lock"


def remove_lock(path: Path) -> None:
    """Remove a lock file. Do nothing if the file does not exist or is not a lock.

    Callers must make sure that no live driver holds the lock.

    Raises:
        OSError: the file cannot be read or removed.
    """
    if is_lock(path):
        open_store(path.parent).delete(path.name)


def _not_a_lock(path: Path, run_id: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.RUN_LOCK_FOREIGN,
        what=f"the lock of run '{run_id}' cannot be made at '{path}'",
        got="a file that sparkscore has not made",
        expected="nothing there, or a lock",
        next_step="Choose another --run-id or another folder, or move that file away. It was not touched.",
    )


def run_of_litter(name: str, ending: str) -> str | None:
    """Return the run id from the name of a lock's temporary file, or None for any other file.

    A driver creates temporary files next to a lock while writing or checking it. They are left behind if the driver
    dies.

    Args:
        name: name of the file.
        ending: suffix of lock file names.
    """
    lock = layout.finished(name) or _lock_of_earlier_litter(name)
    return lock.removesuffix(ending) if lock is not None and lock.endswith(ending) else None


def _lock_of_earlier_litter(name: str) -> str | None:
    found = _EARLIER_LITTER.search(name)
    return name[: found.start()] if found is not None and found.end() == len(name) else None


def remove_litter(path: Path) -> None:
    """Remove temporary files that drivers left next to a lock when they died.

    Call this while holding the lock, or directly after releasing it. A live driver's temporary file may also be
    removed. If that driver is acquiring the lock, it tries again. If it is calling `is_held`, the call returns False,
    although the lock may be held.
    """
    store = open_store(path.parent)
    for entry in store.entries():
        if path.name in {layout.finished(entry.name), _lock_of_earlier_litter(entry.name)}:
            store.delete(entry.name)


def _is_alive(store: Store, name: str, found: _Found, age: float) -> bool:
    holder = found.holder
    if _is_visible(holder):
        if holder["pid"] == here().process().pid and holder.get("token") not in _held_here:
            # A run in this process ended without being able to remove its lock.
            return False
        return here().began(int(holder["pid"])) == str(holder["began"])
    return age <= DEAD_AFTER_S if age >= -BEAT_S else _beats(store, name, found)


def _is_visible(holder: dict[str, Any]) -> bool:
    """Return whether this process can see a lock holder's process, so that its PID shows whether it is alive.

    A PID means nothing in another PID namespace: containers can have the same host name and boot id, but their own
    processes. Without /proc, as on macOS, no process is visible, and only the heartbeat shows if a holder is alive.

    Args:
        holder: the process, as described in the lock file.
    """
    me = here().process()
    is_complete = isinstance(holder.get("pid"), int) and isinstance(holder.get("began"), str)
    is_here = (holder.get("host"), holder.get("namespace")) == (me.host, me.namespace)
    return is_complete and me.namespace is not None and is_here


def _beats(store: Store, name: str, found: _Found) -> bool:
    """Watch a lock whose heartbeat is in the future, and return whether the lock changes within `DEAD_AFTER_S` seconds.

    A heartbeat in the future means that a clock was set back, so the heartbeat's age does not show whether the lock's
    holder is alive.
    """
    first, end = found.entry and found.entry.version, time.monotonic() + DEAD_AFTER_S
    while time.monotonic() < end:
        time.sleep(BEAT_S / 4)
        # Reading the file makes a network file system refresh its timestamps.
        now = _Found.at(store, name)
        if now.holder.get("token") != found.holder.get("token") or (now.entry and now.entry.version) != first:
            return True
    return False
