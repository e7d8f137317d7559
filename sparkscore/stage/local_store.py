"""A store whose objects are files on a disk that all of a run's processes can access.

Runs on the driver and the workers.

To keep readers from seeing incomplete files, files with content are written under a temporary name and then renamed or
linked to their final name. Files are removed and replaced with the functions of `sparkscore.removal`.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from sparkscore.removal import MADE_BY_US, move_new, put_in_place, remove_empty, remove_file, remove_made
from sparkscore.stage.layout import unfinished
from sparkscore.stage.local_files import FOR_ALL, EmptyFile, UnfinishedFile
from sparkscore.stage.store import Entry, EntryType

_FOR_OWNER: Final = 0o600  # before the process's umask
_NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC


def _token() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class LocalStore:
    """A store whose objects are the files below a folder: implements `sparkscore.stage.store.Store`.

    Each method whose name begins with ``_do`` is a single step on disk, so that tests can simulate a crash between two
    steps.

    Attributes:
        root: path of the folder.
        token: a function that returns random hexadecimal digits for a temporary name.
    """

    root: Path
    token: Callable[[], str] = _token

    can_rename: ClassVar[bool] = True

    def locate(self, name: str = "") -> str:
        """Return the path of the named object, or of the root if the name is empty."""
        return str(self._path(name))

    def _path(self, name: str) -> Path:
        return self.root / name if name else self.root

    # ---------------------------------------------------------------------------------------------------------- read

    def read(self, name: str) -> bytes:
        """Return the content of a file. Links are followed.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: the name refers to a folder, a pipe or a device.
        """
        path = self._path(name)
        # Reading a pipe could block forever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(f"not a file: '{path}'")
        return path.read_bytes()

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in binary mode.

        Raises:
            OSError: the file cannot be opened, for example because it does not exist.
        """
        return self._path(name).open("rb")

    def find(self, name: str = "") -> Entry | None:
        """Return the entry with this name, or None if there is none. Links are not followed."""
        try:
            return _entry(name, self._path(name), self._path(name).lstat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def entries(self, below: str = "") -> list[Entry]:
        """Return a folder's entries, sorted by name, or an empty list if there is no such folder."""
        try:
            found = self._do_scan(self._path(below))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [self._listed(f"{below}/{name}" if below else name, is_folder) for name, is_folder in found]

    def _listed(self, name: str, is_folder: bool) -> Entry:  # noqa: FBT001 - as the listing says
        gone = Entry(name, EntryType.FOLDER if is_folder else EntryType.FILE, 0, 0.0, "")
        return self.find(name) or gone

    def age(self, name: str) -> float | None:
        """Return how many seconds ago a file was written or touched, or None if there is no such file.

        The age is measured with the file system's clock instead of this host's clock, by creating a temporary file,
        reading its modification time, and removing it. The age is negative if the file's modification time is in the
        future.

        Raises:
            OSError: the temporary file cannot be created.
        """
        path = self._path(name)
        clock = path.with_name(unfinished(path.name, self.token()))
        try:
            self._do_close(self._do_create(clock), clock)
            return clock.stat().st_mtime - path.lstat().st_mtime
        except FileNotFoundError:
            return None
        finally:
            with suppress(OSError):
                self._do_remove(clock)

    # --------------------------------------------------------------------------------------------------------- write

    def put(
        self,
        name: str,
        content: bytes,
        *,
        check: Callable[[], None] = lambda: None,
        is_durable: bool = True,
        is_private: bool = False,
    ) -> None:
        """Write a file under a temporary name, then rename it to its final name, replacing any older file.

        See `Store.put` for the arguments. Errors raised by `check` are propagated.

        Raises:
            OSError: the file cannot be written, for example because the root does not exist.
        """

        def show(written: Path, path: Path) -> None:
            check()
            self._do_replace(written, path)

        self._write(name, content, show, is_durable=is_durable, mode=_FOR_OWNER if is_private else FOR_ALL)

    def put_new(self, name: str, content: bytes) -> bool:
        """Write a file if its name is not taken, and return whether this call wrote it.

        The content is written to a temporary file, which is then linked to the name. Linking fails if the name is
        taken.
        """
        found: list[bool] = []
        self._write(name, content, lambda written, path: found.append(self._link_new(written, path)))
        return found == [True]

    def _write(
        self,
        name: str,
        content: bytes,
        show: Callable[[Path, Path], None],
        *,
        is_durable: bool = True,
        mode: int = FOR_ALL,
    ) -> None:
        file = UnfinishedFile(self, self._path(name), show, is_durable=is_durable, mode=mode)
        try:
            file.write(content)
            file.close()
        finally:
            file.abandon()

    def _link_new(self, written: Path, path: Path) -> bool:
        try:
            self._do_link(written, path)
        except OSError as error:
            # A network file system may report an error although it created the link. Both names then refer to one file.
            with suppress(OSError):
                if os.path.samestat(written.lstat(), path.lstat()):
                    return True
            if isinstance(error, FileExistsError):
                return False
            raise
        return True

    def put_if_match(self, name: str, content: bytes, version: str) -> bool:
        """Replace a file if it still has the given version, and return whether this call replaced it.

        The old file is first renamed to a temporary name, which only one of several simultaneous calls can do. If it
        turns out to have a different version, its name is restored, unless a new file has taken that name.

        Also return False if there is no such file, or if a new file takes its name during the call.
        """
        path = self._path(name)
        aside = path.with_name(unfinished(path.name, self.token()))
        try:
            self._do_rename(path, aside)
        except FileNotFoundError:
            return False
        try:
            if _version(aside.lstat()) == version:
                return self.put_new(name, content)
            with suppress(FileExistsError):
                self._do_link(aside, path)
            return False
        finally:
            self._do_remove(aside)

    def put_mark(self, name: str) -> EmptyFile | None:
        """Create an empty file and return an `EmptyFile` for it, or return None if the name is taken.

        The call may succeed even if the disk is full, because an empty file needs no free block. The file's folder must
        exist.
        """
        try:
            return EmptyFile(self, self._path(name), self._do_create(self._path(name)))
        except FileExistsError:
            return None

    def writer(self, name: str) -> UnfinishedFile:
        """Return a writer for a file. Closing it gives the file its name, replacing any older file."""
        return UnfinishedFile(self, self._path(name), self._do_replace, is_durable=False)

    def touch(self, name: str) -> None:
        """Set a file's modification time to now, or create an empty file if there is none.

        Raises:
            FileNotFoundError: the root does not exist.
        """
        try:
            self._do_touch(self._path(name))
        except FileNotFoundError:
            with suppress(FileExistsError):
                self._do_close(self._create_below_root(self._path(name)), self._path(name))

    def delete(self, name: str) -> None:
        """Remove a file, a link, or a folder that sparkscore created under a random name (`EntryType.MADE`).

        Do nothing if there is no entry with this name. A folder is removed with its contents. If some of its contents
        cannot be removed, the folder is kept and no error is raised.

        Raises:
            OSError: the file or link cannot be removed, or the name refers to any other folder.
        """
        path = self._path(name)
        if _is_made(path):
            remove_made(path)
        else:
            self._do_remove(path)

    def make(self, name: str = "") -> None:
        """Create a folder and any missing parents, even above the root. Do nothing if the folder exists.

        Raises:
            FileExistsError: there is a file with this name.
            OSError: the folder or a parent cannot be created.
        """
        path = self._path(name)
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir():
                with suppress(FileExistsError):
                    self._do_make(folder)
        if not path.is_dir():
            raise FileExistsError(17, "File exists", str(path))

    def drop(self, name: str = "") -> bool:
        """Remove a folder if it is empty, and return whether it was removed."""
        try:
            return self._do_drop(self._path(name))
        except OSError:
            return False

    def link(self, name: str, other: str) -> None:
        """Create a hard link named `other` to a file.

        Raises:
            FileExistsError: the name `other` is taken.
        """
        self._make_below_root(self._path(other).parent)
        self._do_link(self._path(name), self._path(other))

    def rename(self, name: str, other: str) -> None:
        """Rename a file or folder. The new parent folder must exist.

        Raises:
            FileExistsError: the new name is taken, even by an empty folder or a broken link.
        """
        self._do_rename(self._path(name), self._path(other))

    def _create_below_root(self, path: Path, mode: int = FOR_ALL) -> int:
        """Create a file and any missing parent folders below the root, and return the file descriptor."""
        try:
            return self._do_create(path, mode)
        except FileNotFoundError:
            self._make_below_root(path.parent)
            return self._do_create(path, mode)

    def _make_below_root(self, folder: Path) -> None:
        for parent in reversed([folder, *(each for each in folder.parents if self.root in each.parents)]):
            if parent != self.root and not parent.is_dir():
                with suppress(FileExistsError):
                    self._do_make(parent)

    # --------------------------------------------------------------------------------------------------- single steps

    def _do_scan(self, folder: Path) -> Sequence[tuple[str, bool]]:
        """Return the sorted names of a folder's entries, each with a flag.

        The flag is True for a subfolder, and False for anything else, including a link to a folder.
        """
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)

    def _do_create(self, path: Path, mode: int = FOR_ALL) -> int:
        return os.open(path, _NEW_FILE, mode)

    def _do_write(self, descriptor: int, content: bytes | memoryview) -> None:
        while content:
            content = content[os.write(descriptor, content) :]

    def _do_sync(self, descriptor: int, path: Path) -> None:  # noqa: ARG002 - for stores that count steps
        os.fsync(descriptor)

    def _do_close(self, descriptor: int, path: Path) -> None:  # noqa: ARG002 - for stores that count steps
        os.close(descriptor)

    def _do_replace(self, written: Path, path: Path) -> None:
        put_in_place(written, path)

    def _do_link(self, path: Path, other: Path) -> None:
        os.link(path, other)

    def _do_rename(self, path: Path, other: Path) -> None:
        move_new(path, other)

    def _do_touch(self, path: Path) -> None:
        os.utime(path)

    def _do_remove(self, path: Path) -> None:
        remove_file(path)

    def _do_make(self, folder: Path) -> None:
        folder.mkdir()

    def _do_drop(self, folder: Path) -> bool:
        return remove_empty(folder)


def _entry(name: str, path: Path, found: os.stat_result) -> Entry:
    if stat.S_ISREG(found.st_mode):
        entry_type = EntryType.FILE
    elif stat.S_ISDIR(found.st_mode):
        entry_type = EntryType.MADE if _is_made(path) else EntryType.FOLDER
    else:
        entry_type = EntryType.OTHER
    return Entry(name, entry_type, found.st_size, found.st_mtime, _version(found))


def _version(found: os.stat_result) -> str:
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _is_made(path: Path) -> bool:
    return not path.is_symlink() and (path / MADE_BY_US).is_file()
