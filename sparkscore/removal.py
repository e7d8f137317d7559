"""Remove files and folders: the only module that does, and only what sparkscore made (driver and worker).

A file goes by a name that sparkscore gave it, or because a list that sparkscore wrote names it; a folder goes when it
is empty. A whole tree goes in one case only: a folder that `make_folder` made, under a name that nobody chose. Links
are removed, never followed.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: File of a folder that `make_folder` made; where it is missing, nothing is removed as a tree.
MADE_BY_US: Final = ".made-by-sparkscore"


def remove_file(path: Path) -> None:
    """Remove one file or link that sparkscore made; nothing happens where there is none."""
    path.unlink(missing_ok=True)


def remove_empty(folder: Path) -> bool:
    """Remove a folder if it is empty; tell whether it was removed."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _is_made(path: Path) -> bool:
    return not path.is_symlink() and (path / MADE_BY_US).is_file()


def size_of_made(folder: Path) -> int:
    """Add up the sizes of the files in a folder that goes as a whole."""
    return sum(file.lstat().st_size for file in _files_below(folder))


def make_folder(prefix: str, parent: Path | None = None, *, ends_with_process: bool = False) -> Path:
    """Make a folder under a random name, for `remove_made`.

    Args:
        prefix: beginning of its name.
        parent: where it is made; the system's folder for temporary files when absent.
        ends_with_process: remove it when this process ends.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    mark_made(folder)
    if ends_with_process:
        atexit.register(remove_made, folder)
    return folder


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Give a folder among the system's temporary files, and remove it afterwards."""
    folder = make_folder(prefix)
    try:
        yield folder
    finally:
        remove_made(folder)


def mark_made(folder: Path) -> None:
    """Mark a folder whose name sparkscore made up, a digest or a random one: it may be removed with its tree."""
    (folder / MADE_BY_US).touch()


def remove_made(folder: Path) -> None:
    """Remove a folder that `make_folder` or `mark_made` has marked, with all that was put there since.

    What cannot be removed stays, and so does a folder without the mark.
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
    """Remove a file or folder that lies directly in a folder that sparkscore has made and marked.

    Raises:
        OSError: it cannot be removed.
        ValueError: the folder has no mark, or the path is not in it.
    """
    if path.parent != made or not _is_made(made):
        raise ValueError(f"'{path}' is in no folder that sparkscore made")
    _remove_tree(path)


def _remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it. Only for what lies in a marked folder."""
    if path.is_symlink() or not path.is_dir():
        remove_file(path)
        return
    for entry in _entries(path):
        _remove_tree(Path(entry.path))
    path.rmdir()


def move_new(source: Path, target: Path) -> None:
    """Rename a file or folder to where nothing is.

    Raises:
        FileExistsError: something is there, be it an empty folder or a dangling link.
        OSError: it cannot be renamed.
    """
    if os.path.lexists(target):
        raise FileExistsError(17, "File exists", str(target))
    source.rename(target)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Rename a file that sparkscore has written to the end over the older one that it wrote under the same name."""
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
