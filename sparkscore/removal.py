"""Remove, rename and replace files and folders, but remove only what sparkscore created.

Runs on the driver and the workers.

Callers may remove a file only if sparkscore chose its name, or if it is in a list that sparkscore wrote. A folder
that is not empty is removed only if it, or a parent folder, contains the marker file that `make_folder` and
`mark_made` write. Symbolic links in such a folder are removed, but not followed.
"""

from __future__ import annotations

import atexit
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: Marks a folder as created by sparkscore, so that it may be removed together with its contents.
MADE_BY_US: Final = ".made-by-sparkscore"


def remove_file(path: Path) -> None:
    """Remove a file or link, if it exists. Callers must make sure that sparkscore created it."""
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
    """Create a folder with a random name, mark it as created by sparkscore, and return its path.

    The mark allows `remove_made` to remove the folder and its contents.

    Args:
        prefix: prefix of the folder's name.
        parent: folder in which to create the new folder, or None for the system's temporary folder.
        ends_with_process: whether to remove the folder when this process ends, unless the process is killed.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    mark_made(folder)
    if ends_with_process:
        atexit.register(remove_made, folder)
    return folder


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Create a temporary folder for the ``with`` block, and remove it afterwards."""
    folder = make_folder(prefix)
    try:
        yield folder
    finally:
        remove_made(folder)


def mark_made(folder: Path) -> None:
    """Mark a folder as created by sparkscore, so that `remove_made` may remove it and its contents.

    Args:
        folder: an existing folder whose name sparkscore generated, for example from a digest.
    """
    (folder / MADE_BY_US).touch()


def remove_made(folder: Path) -> None:
    """Remove a folder and its contents if `make_folder` or `mark_made` has marked it.

    If a file cannot be removed, no error is raised, and the folder is kept with the remaining files.
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
    """Remove a file, or a folder and its contents, from a folder that `make_folder` or `mark_made` has marked.

    Args:
        made: the marked folder.
        path: the file or folder to remove, which must be directly in the marked folder.

    Raises:
        OSError: the file or folder cannot be removed.
        ValueError: `made` is not marked, or `path` is not directly in it.
    """
    if path.parent != made or not _is_made(made):
        raise ValueError(f"'{path}' is in no folder that sparkscore made")
    _remove_tree(path)


def _remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder and its contents. Callers must check first that it is in a marked folder."""
    if path.is_symlink() or not path.is_dir():
        remove_file(path)
        return
    for entry in _entries(path):
        _remove_tree(Path(entry.path))
    path.rmdir()


def move_new(path: Path, target: Path) -> None:
    """Rename a file or folder without replacing anything.

    Raises:
        FileExistsError: the target exists, even if it is only an empty folder or a broken link.
        OSError: the file or folder cannot be renamed.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    path.rename(target)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Move a completely written file to its final path, replacing any existing file.

    Args:
        unfinished: the temporary path of the file.
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
