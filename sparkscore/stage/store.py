"""The protocol of a store, which holds the files of a run, and what each of its methods promises (driver and worker).

A store holds objects under names such as ``done/3-0``, relative to its root. `sparkscore.stage.local_store` keeps them
on a disk. A promise about a crash holds at whatever moment of the call the process dies. A *lost answer* is an
`OSError` for a call that took effect: after any `OSError` the caller does not know whether the call took effect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, ClassVar, Final, Protocol


class EntryType(StrEnum):
    """Whether an entry in a store is a file, a folder or something else."""

    FILE = "file"
    FOLDER = "folder"
    MADE = "folder that is removed as a whole, because sparkscore made it under a random name"
    OTHER = "link, pipe, or device"


FOLDERS: Final[Collection[EntryType]] = frozenset({EntryType.FOLDER, EntryType.MADE})


@dataclass(frozen=True)
class Entry:
    """An object or a folder in a store. Links are not followed.

    Attributes:
        name: relative to the store's root.
        type: file, folder or something else.
        size_bytes: size of a file.
        written_at: time of the last write or touch, in seconds of the store's own clock.
        version: changes with each write, and with each `Store.touch` that comes later by the store's clock.
    """

    name: str
    type: EntryType
    size_bytes: int
    written_at: float
    version: str


class Writer(Protocol):
    """An object that is written in parts. No reader sees it before `close`. PyArrow writes to it as to a file.

    After a crash or a lost answer the whole object is there, or nothing. Parts of it may be left under a name that
    `sparkscore.stage.layout.unfinished` makes.
    """

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""

    def write(self, content: bytes) -> int:
        """Write all of the bytes, and return their number."""

    def flush(self) -> None:
        """Write the buffered bytes to the store."""

    def tell(self) -> int:
        """Return how many bytes were written so far."""

    def close(self) -> None:
        """Make the object visible under its name, and replace an older one."""

    def abandon(self) -> None:
        """Drop everything that was written. Does nothing after `close`."""


class Mark(Protocol):
    """An empty object that can be told from any later object with its name, as long as the mark is open."""

    def is_there(self) -> bool:
        """Whether the object with this name is still this one."""

    def close(self) -> None:
        """Close the mark. The object stays."""


class Store(Protocol):
    """Holds objects by name. Every method may raise an `OSError`. Callers must not use names that lead out of the root.

    A store that has folders makes those below its root as they are needed, but never the root itself, for which it
    raises a `FileNotFoundError`: a task that outlives its run must not make the run's stage again.
    """

    can_rename: ClassVar[bool]
    """Whether the store has `rename` and `link`."""

    def locate(self, name: str = "") -> str:
        """Return the address of a name, for messages and for engines that read objects themselves."""

    def read(self, name: str) -> bytes:
        """Return the content of an object, as one `put` wrote it: never parts of two versions.

        Raises:
            FileNotFoundError: there is no such object.
            OSError: the name is that of a folder, a pipe or a device.
        """

    def open(self, name: str) -> BinaryIO:
        """Open an object for reading, for instance to read only parts of it."""

    def find(self, name: str = "") -> Entry | None:
        """Return the entry with this name, or None. Sees every call that returned before, of any process."""

    def entries(self, below: str = "") -> list[Entry]:
        """Return the entries of a folder in the order of their names, or an empty list if there is no such folder.

        A listing may be out of date: it may miss an entry that was just made, and have one that was just removed.
        """

    def age(self, name: str) -> float | None:
        """Return the seconds since an object was written or touched, or None if there is no such object.

        Both times are those of the store's clock. A crash may leave an unfinished object.
        """

    def put(
        self,
        name: str,
        content: bytes,
        *,
        check: Callable[[], None] = lambda: None,
        is_durable: bool = True,
        is_private: bool = False,
    ) -> None:
        """Write or replace an object atomically: a reader sees the old content or the new content.

        After a crash or a lost answer one of the two is there. Calling this again is safe.

        Args:
            name: the object.
            content: its new content.
            check: called at the last moment. If it raises, the object stays as it is.
            is_durable: whether the content must survive a power cut once the call has returned.
            is_private: whether only this user may read the object.
        """

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object if there is none with this name, and return whether this call wrote it.

        Of several calls at the same time exactly one writes it. After a crash or a lost answer the whole object is
        there, or nothing. The caller finds out by reading it, so its content must tell who wrote it.
        """

    def put_if_match(self, name: str, content: bytes, version: str) -> bool:
        """Replace an object if it still has this version, and return whether this call replaced it.

        Of several calls at the same time at most one replaces it. After a crash or a lost answer the old content is
        there, or the new content, or nothing.
        """

    def put_mark(self, name: str) -> Mark | None:
        """Make an empty object, even on a full disk, or return None if there is an object with this name."""

    def writer(self, name: str) -> Writer:
        """Return a writer for an object that is too big for memory, or that another library writes."""

    def touch(self, name: str) -> None:
        """Set an object's time to now and keep its content. Make an empty object if there is none."""

    def delete(self, name: str) -> None:
        """Remove an object, or a folder of type `EntryType.MADE` with its content.

        Does nothing if there is no such object. Calling this again is safe.

        Raises:
            OSError: the object is still there, or the answer was lost.
        """

    def make(self, name: str = "") -> None:
        """Make a folder and its parents, the store's root included. Does nothing if the folder exists."""

    def drop(self, name: str = "") -> bool:
        """Remove an empty folder, which may be the store's root. Return whether it was removed. Never raises."""

    def link(self, name: str, other: str) -> None:
        """Give an object a second name. No bytes are copied.

        Raises:
            FileExistsError: the second name is taken.
        """

    def rename(self, name: str, other: str) -> None:
        """Give an object another name in one step, or a folder with everything in it.

        After a crash or a lost answer everything has the old name or everything has the new one.

        Raises:
            FileExistsError: the new name is taken, even by an empty folder or a dangling link.
        """


@contextmanager
def writing(store: Store, name: str) -> Iterator[Writer]:
    """Yield a writer for an object, which becomes visible when the block ends and is dropped if the block raises."""
    writer = store.writer(name)
    try:
        yield writer
        writer.close()
    finally:
        writer.abandon()
