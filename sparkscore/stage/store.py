"""Define the protocol of a store, which holds a run's files. Runs on the driver and the workers.

A store holds objects under names such as ``done/3-0``, relative to its root. `sparkscore.stage.local_store` implements
it with files on disk. The docstrings of methods that write content say what the store contains if the process dies
during the call, or after an `OSError`. A call that raises an `OSError` may still have succeeded, for example if a
network file system lost only the response.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, ClassVar, Final, Protocol


class EntryType(StrEnum):
    """The type of an entry in a store: a file, a folder, a folder that is removed as a whole, or something else."""

    FILE = "file"
    FOLDER = "folder"
    MADE = "folder that is removed as a whole, because sparkscore made it under a random name"
    OTHER = "link, pipe, or device"


FOLDERS: Final[Collection[EntryType]] = frozenset({EntryType.FOLDER, EntryType.MADE})


@dataclass(frozen=True)
class Entry:
    """An object or folder in a store. Links are not followed: a link is an entry of its own.

    Attributes:
        name: name relative to the store's root.
        type: whether the entry is a file, a folder or something else.
        size_bytes: size of a file in bytes.
        written_at: modification time by the store's clock, in seconds since 1970.
        version: string that changes with each write. It also changes with each `Store.touch`, provided that the store's
            clock has advanced since the last change.
    """

    name: str
    type: EntryType
    size_bytes: int
    written_at: float
    version: str


class Writer(Protocol):
    """Writes an object in parts. Readers see the object only after `close`.

    PyArrow can write to it as if it were a Python file object. After a crash or an `OSError`, readers see either the
    whole new object or what was there before. Parts of the new object may be left under a temporary name; see
    `sparkscore.stage.layout.unfinished`.
    """

    @property
    def closed(self) -> bool:
        """Whether the writer is closed."""

    def write(self, content: bytes) -> int:
        """Write all bytes of the content and return their number."""

    def flush(self) -> None:
        """Write the buffered bytes to the store. Readers do not see the object yet."""

    def tell(self) -> int:
        """Return the number of bytes written so far."""

    def close(self) -> None:
        """Make the object visible under its name, replacing any older object with this name."""

    def abandon(self) -> None:
        """Discard everything written, unless `close` has already made the object visible."""


class Mark(Protocol):
    """A handle to an empty object created by this process. It can tell whether the object was removed or replaced."""

    def is_there(self) -> bool:
        """Return whether the object is still in the store and has not been replaced."""

    def close(self) -> None:
        """Release the resources of this handle, but keep the object in the store."""


class Store(Protocol):
    """Holds objects by name, relative to a root. Every method except `locate` and `drop` may raise an `OSError`.

    Callers must not use names that lead out of the root. A store with folders creates missing folders below its root
    when content is written. Only `make` creates the root itself. If the root does not exist, writing a new object
    raises `FileNotFoundError`: a task that outlives its run must not recreate the run's stage.
    """

    can_rename: ClassVar[bool]
    """Whether the store has `rename` and `link`."""

    def locate(self, name: str = "") -> str:
        """Return the path or URI of an object, for messages and for libraries that read objects themselves."""

    def read(self, name: str) -> bytes:
        """Return an object's whole content.

        If the object is replaced meanwhile, the result is either the old or the new content, never a mix.

        Raises:
            FileNotFoundError: there is no such object.
            OSError: the name refers to a folder, a pipe or a device.
        """

    def open(self, name: str) -> BinaryIO:
        """Open an object for reading in binary mode, for example to read only parts of it.

        Raises:
            OSError: the object cannot be opened, for example because it does not exist.
        """

    def find(self, name: str = "") -> Entry | None:
        """Return the entry with this name, or None if there is none.

        The result reflects every write and removal that finished before this call, in any process.
        """

    def entries(self, below: str = "") -> list[Entry]:
        """Return a folder's entries, sorted by name, or an empty list if there is no such folder.

        The list may be out of date: it may lack an entry that was just created, or contain one that was just removed. A
        removed entry may have size 0, time 0 and an empty version.
        """

    def age(self, name: str) -> float | None:
        """Return how many seconds ago an object was written or touched, or None if there is no such object.

        The age is measured with the store's own clock, and can be negative if that clock was set back. To read the
        clock, a store may create a temporary object, which a crash may leave behind.
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
        """Write or replace an object atomically, so that readers see either the old or the new content.

        After a crash or an `OSError`, the store contains either the old or the new content, and the call can be
        repeated.

        Args:
            name: name of the object.
            content: the object's new content.
            check: called immediately before the new content becomes visible. If it raises, the old content is kept.
            is_durable: whether the content must be on disk before it becomes visible, so that a power failure does not
                leave an incomplete object.
            is_private: whether only the user who runs this process may read the object.
        """

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object if there is none with this name, and return whether this call wrote it.

        At most one of several simultaneous calls writes the object. After a crash or an `OSError`, the store contains
        either a whole object or no object with this name. Only the object's content then shows which call wrote it.
        """

    def put_if_match(self, name: str, content: bytes, version: str) -> bool:
        """Replace an object if it still has the given version, and return whether this call replaced it.

        Also return False if there is no object with this name. At most one of several simultaneous calls replaces the
        object. After a crash or an `OSError`, the store contains the old content, the new content, or no object with
        this name.
        """

    def put_mark(self, name: str) -> Mark | None:
        """Create an empty object and return a `Mark` for it, or return None if the name is taken.

        The call may succeed even if the disk is full, because the object has no content.
        """

    def writer(self, name: str) -> Writer:
        """Return a writer for an object that is too large for memory, or that another library writes.

        When the writer is closed, the new object replaces any older object with this name.
        """

    def touch(self, name: str) -> None:
        """Set an object's modification time to now, or create an empty object if there is none with this name.

        The content of an existing object does not change.
        """

    def delete(self, name: str) -> None:
        """Remove an object. Do nothing if there is no such object.

        A folder of type `EntryType.MADE` is removed with its contents. If some of its contents cannot be removed,
        the folder may be kept; no error is raised in this case. After an error, `delete` can be called again.

        Raises:
            OSError: the object could not be removed, or it is not known whether it was.
        """

    def make(self, name: str = "") -> None:
        """Create a folder and any missing parents, including the store's root. Do nothing if the folder exists."""

    def drop(self, name: str = "") -> bool:
        """Remove a folder if it is empty, and return whether it was removed. No error is raised.

        The folder may be the store's root.
        """

    def link(self, name: str, other: str) -> None:
        """Give an object a second name, without copying its content.

        Args:
            name: name of the object.
            other: the second name.

        Raises:
            FileExistsError: the second name is taken.
        """

    def rename(self, name: str, other: str) -> None:
        """Atomically rename an object, or a folder with all its contents.

        After a crash or an `OSError`, the object or folder has either the old or the new name.

        Args:
            name: the old name.
            other: the new name, whose parent folder must exist.

        Raises:
            FileExistsError: the new name is taken, even by an empty folder or a broken link.
        """


@contextmanager
def writing(store: Store, name: str) -> Iterator[Writer]:
    """Return a context manager with a writer for an object.

    The object becomes visible under its name when the ``with`` block ends, replacing any older object with this name.
    If the block raises an error, the new object is discarded.
    """
    writer = store.writer(name)
    try:
        yield writer
        writer.close()
    finally:
        writer.abandon()
