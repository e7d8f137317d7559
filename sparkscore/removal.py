"""Remove, rename and replace files and folders, but remove only what sparkscore created (driver and worker).

Callers must remove a file only if sparkscore chose its name, or if a list that sparkscore wrote contains it. A folder
with content is removed only if it or a folder above it contains a marker file, which `make_folder` and `mark_made`
write. Symbolic links in such a folder are removed, but not followed.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: File that marks a folder as created by sparkscore. The folder may be removed with its content.
MADE_BY_US: Final = ".made-by-sparkscore"


def remove_file(path: Path) -> None:
    """Remove a file or link that sparkscore created, if it exists."""
    path.unlink(missing_ok=True)


def remove_empty(folder: Path) -> bool:
    """Remove a folder if it is empty, and return whether it was removed."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _is_made(path: Path) -> bool:
    return not path.is_symlink() and (path / MADE_BY_US).is_file()


def size_of_made(folder: Path) -> int:
    """Return the total size in bytes of all files in a folder and its subfolders."""
    return sum(file.lstat().st_size for file in _files_below(folder))


def make_folder(prefix: str, parent: Path | None = None, *, ends_with_process: bool = False) -> Path:
    """Create a folder with a random name, which `remove_made` may remove with its content, and return its path.

    Args:
        prefix: beginning of the folder's name.
        parent: folder in which the new folder is created; the system's folder for temporary files if None.
        ends_with_process: whether the new folder is removed when this process ends, unless the process is killed.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    mark_made(folder)
    if ends_with_process:
        atexit.register(remove_made, folder)
    return folder


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Create a temporary folder for the body of a ``with`` statement, and remove it afterwards."""
    folder = make_folder(prefix)
    try:
        yield folder
    finally:
        remove_made(folder)


def mark_made(folder: Path) -> None:
    """Mark a folder as created by sparkscore, so that `remove_made` may remove it with its content.

    Args:
        folder: an existing folder whose name sparkscore generated, such as a digest or a random string.
    """
    (folder / MADE_BY_US).touch()


def remove_made(folder: Path) -> None:
    """Remove a folder that `make_folder` or `mark_made` has marked, with its content.

    A folder without the mark stays. If a file cannot be removed, no error is raised, and the folder stays with the
    remaining files.
    """
    if not _is_made(folder):
        return
    with suppress(OSError):
        for entry in _entries(folder):
            if entry.name != MADE_BY_US:
                _remove_tree(Path(entry.path))
        remove_file(folder / MADE_BY_US)
    if not remove_empty(folder) and folder.is_dir():
        with suppress(OSError):
            mark_made(folder)


def remove_below(made: Path, path: Path) -> None:
    """Remove a file or a folder with its content from a folder that `make_folder` or `mark_made` has marked.

    Args:
        made: the marked folder.
        path: the file or folder to remove, which must be directly in the marked folder.

    Raises:
        OSError: the file or folder cannot be removed.
        ValueError: `made` has no mark, or `path` is not directly in it.
    """
    if path.parent != made or not _is_made(made):
        raise ValueError(f"'{path}' is in no folder that sparkscore made")
    _remove_tree(path)


def _remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder with its content.

    Callers must check first that it is in a marked folder.
    """
    if path.is_symlink() or not path.is_dir():
        remove_file(path)
        return
    for entry in _entries(path):
        _remove_tree(Path(entry.path))
    path.rmdir()


def move_new(path: Path, target: Path) -> None:
    """Rename a file or folder to a path at which nothing exists yet.

    Raises:
        FileExistsError: something exists at the target, even if it is an empty folder or a broken link.
        OSError: the file or folder cannot be renamed.
    """
    if os.path.lexists(target):
        raise FileExistsError(17, "File exists", str(target))
    path.rename(target)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Rename a completely written file to its final path. An older file at this path is replaced.

    Args:
        unfinished: the file under its temporary name.
        path: the final path.
    """
    unfinished.replace(path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _files_below(folder: Path) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(Path(entry.path))
        else:
            yield Path(entry.path)
