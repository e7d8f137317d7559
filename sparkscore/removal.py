"""Remove files and folders: the only module that does, and only what sparkscore made (driver and worker).

A file goes by a name that sparkscore gave it, or because a list that sparkscore wrote names it; a folder goes when it
is empty. A whole tree goes in one case only: a folder that `make_folder` made, under a name that nobody chose. Links
are removed, never followed.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

#: File of a folder that `make_folder` made; where it is missing, nothing is removed as a tree.
MADE_BY_US: Final = ".made-by-sparkscore"


@dataclass
class Removal:
    """What was removed, or would be, and what was left because sparkscore did not make it.

    Attributes:
        removed: files and links.
        left: files, links and folders.
        size_bytes: size of what was removed.
    """

    removed: list[Path] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)
    size_bytes: int = 0


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


def remove_known(folder: Path, is_known: Callable[[str], bool], *, is_dry: bool = False) -> Removal:
    """Remove what is known below a folder, file by file, then the known folders that are empty; the folder stays.

    Args:
        folder: where to look; a link is not followed.
        is_known: whether sparkscore makes what has this path, relative to the folder; a folder's ends in ``/``.
        is_dry: only look.

    Raises:
        OSError: something cannot be listed or removed.
    """
    removal, folders = Removal(), list[Path]()
    if folder.is_dir() and not folder.is_symlink():
        _sort_out(folder, "", is_known, (removal, folders))
    removal.size_bytes = sum(_size_of(path) for path in removal.removed)
    if not is_dry:
        for path in removal.removed:
            remove_made(path) if _is_made(path) else remove_file(path)
        for path in reversed(folders):
            remove_empty(path)
    return removal


def _sort_out(folder: Path, inside: str, is_known: Callable[[str], bool], found: tuple[Removal, list[Path]]) -> None:
    """Sort what lies below a folder into what goes and what is left; the folders between them come parents first."""
    removal, folders = found
    for entry in _entries(folder):
        path, is_folder = Path(entry.path), entry.is_dir(follow_symlinks=False)
        name = f"{inside}{entry.name}{'/' if is_folder else ''}"
        if not is_known(name):
            removal.left.append(path)
        elif is_folder and not _is_made(path):
            folders.append(path)
            _sort_out(path, name, is_known, found)
        else:
            removal.removed.append(path)


def _is_made(path: Path) -> bool:
    return not path.is_symlink() and (path / MADE_BY_US).is_file()


def _size_of(path: Path) -> int:
    return sum(file.lstat().st_size for file in _files_below(path)) if _is_made(path) else path.lstat().st_size


def remove_listed(folder: Path, files: Iterable[str]) -> None:
    """Remove the named files below a folder, then the folders on the way to them that are empty; the folder stays.

    Args:
        folder: the folder.
        files: paths relative to it, from a list that sparkscore wrote. One that leads out of the folder, or through a
            link, is passed over.
    """
    parents: set[Path] = set()
    for name in files:
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute() or _has_link(folder, path.parent):
            continue
        if path.is_symlink() or path.is_file():
            remove_file(path)
        parents |= {place for place in path.parents if place != folder and place.is_relative_to(folder)}
    for place in sorted(parents, key=lambda place: len(place.parts), reverse=True):
        remove_empty(place)


def _has_link(folder: Path, place: Path) -> bool:
    return any(part.is_symlink() for part in (place, *place.parents) if part != folder and part.is_relative_to(folder))


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
