"""The few calls that a run makes of the place where its files lie, and what each promises (driver and worker).

A store holds objects under names such as ``done/3-0``, relative to its place. `sparkscore.stage.local_store` has them
on a disk. What is said of a crash holds when the process dies at any moment of the call. A *lost answer* is an
`OSError` for a call that the store has done: after any `OSError` the caller does not know whether it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, ClassVar, Final, Protocol


class Kind(StrEnum):
    """What lies under a name."""

    FILE = "file"
    FOLDER = "folder"
    MADE = "folder that goes as a whole, because sparkscore made it under a random name"
    OTHER = "link, pipe, or device"


FOLDERS: Final[Collection[Kind]] = frozenset({Kind.FOLDER, Kind.MADE})


@dataclass(frozen=True)
class Entry:
    """What a store says of one name; a link is not followed.

    Attributes:
        name: relative to the store's place.
        kind: what lies there.
        size_bytes: size of a file.
        written_at: when it was written or touched last, in seconds of the store's own clock.
        version: another one after each write, and after each `Store.touch` that the store's clock tells from the last.
    """

    name: str
    kind: Kind
    size_bytes: int
    written_at: float
    version: str


class Writer(Protocol):
    """An object that is being written by parts. Nobody sees it before `close`; PyArrow writes to it as to a file.

    After a crash or a lost answer it is there whole, or not at all; parts of it may be left under a name of the form
    that `sparkscore.stage.layout.unfinished` gives.
    """

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""

    def write(self, content: bytes) -> int:
        """Write bytes, all of them."""

    def flush(self) -> None:
        """Hand what is buffered to the store."""

    def tell(self) -> int:
        """Return how many bytes were written."""

    def close(self) -> None:
        """Show the object, in the place of an older one under its name."""

    def abandon(self) -> None:
        """Forget what was written; nothing happens after `close`."""


class Mark(Protocol):
    """An empty object that tells itself from any later one under its name as long as the mark is kept open."""

    def is_there(self) -> bool:
        """Whether it still lies under its name."""

    def close(self) -> None:
        """Give the mark up; the object stays."""


class Store(Protocol):
    """A place for objects. Every call may raise an `OSError`; names that lead out of the place are the caller's error.

    Where a store has folders, it makes those below its place as they are needed, and never its place itself: a task
    that outlives its run must not make the run's stage again. It gets a `FileNotFoundError`.
    """

    can_rename: ClassVar[bool]
    """Whether the store has `rename` and `link`."""

    def locate(self, name: str = "") -> str:
        """Return the address of a name, for messages and for engines that read objects themselves."""

    def read(self, name: str) -> bytes:
        """Return the whole of an object: that of one `put`, never parts of two.

        Raises:
            FileNotFoundError: nothing is there.
            OSError: something other than a file is there.
        """

    def open(self, name: str) -> BinaryIO:
        """Open an object, to read parts of it."""

    def find(self, name: str = "") -> Entry | None:
        """Return what lies under a name, or None. Sees each call that has returned before, whoever made it."""

    def entries(self, below: str = "") -> list[Entry]:
        """Return what lies directly in a folder, in the order of the names; nothing where there is no folder.

        A listing may be late: it may lack what came, and name what went a moment ago.
        """

    def age(self, name: str) -> float | None:
        """Return the seconds since an object was written or touched, both taken by the store's clock.

        Return None where nothing is there. A crash may leave an unfinished object.
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
        """Write or replace an object whole: a reader sees the old content or the new one.

        After a crash or a lost answer one of the two is there. Doing it again is safe.

        Args:
            name: the object.
            content: its new content.
            check: called at the last moment; where it raises, the object stays as it is.
            is_durable: whether the content must survive a power cut once the call has returned.
            is_private: whether only this user may read it.
        """

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object where nothing is, and return whether this call did. Of several calls at once one does.

        After a crash the object is there whole, or not at all. After a lost answer too; then the caller finds out by
        reading it, so its content must be its own.
        """

    def put_if_match(self, name: str, content: bytes, version: str) -> bool:
        """Replace an object if its version is still this one, and return whether it was. Of several calls one does.

        A crash leaves the old content, the new one, or nothing; so does a lost answer.
        """

    def put_mark(self, name: str) -> Mark | None:
        """Make an empty object where nothing is, also where there is no room for content; None where something is."""

    def writer(self, name: str) -> Writer:
        """Begin an object that is too big to hold in memory, or that another library writes."""

    def touch(self, name: str) -> None:
        """Set an object's time to now; its content stays. Make an empty one where nothing is."""

    def delete(self, name: str) -> None:
        """Remove an object, or a folder of kind `Kind.MADE`; nothing happens where nothing is. Doing it again is safe.

        Raises:
            OSError: it is still there, or the answer was lost.
        """

    def make(self, name: str = "") -> None:
        """Make a folder with those above it, the store's place included; nothing happens where it is."""

    def drop(self, name: str = "") -> bool:
        """Remove an empty folder, the store's place included; return whether it was removed. Never raises."""

    def link(self, name: str, other: str) -> None:
        """Make an object known under another name too, where nothing is. No bytes are copied.

        Raises:
            FileExistsError: something is there.
        """

    def rename(self, name: str, other: str) -> None:
        """Give an object, or a folder with all that is in it, another name, where nothing is, in one step.

        After a crash or a lost answer all of it is under the one name or under the other.

        Raises:
            FileExistsError: something is there, be it an empty folder or a dangling link.
        """


@contextmanager
def writing(store: Store, name: str) -> Iterator[Writer]:
    """Write an object that another library writes: shown when the block ends, forgotten when it raises."""
    writer = store.writer(name)
    try:
        yield writer
        writer.close()
    finally:
        writer.abandon()
