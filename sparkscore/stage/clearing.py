"""Clear folders of a store: remove the files that sparkscore made, and no other files (driver and worker)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sparkscore.removal import size_of_made
from sparkscore.stage.store import FOLDERS, Entry, EntryType, Store


@dataclass
class Removal:
    """The entries that were removed from a folder, or would be removed in a dry run, and the entries that stay.

    Attributes:
        removed: paths of files and links, and of folders that were removed with their content. Folders that were
            removed because they were empty are not listed.
        left: paths of the files, links and folders that stay, because sparkscore did not make them. The content of
            such a folder is not listed.
        size_bytes: total size in bytes of the entries in `removed`.
    """

    removed: list[Path] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)
    size_bytes: int = 0


def clear(store: Store, is_known: Callable[[str], bool], below: str = "", *, is_dry: bool = False) -> Removal:
    """Remove what sparkscore made in a folder and its subfolders, and return which entries were removed and which stay.

    `is_known` decides whether sparkscore made an entry. Files and links are removed first, and then the subfolders that
    are empty. Subfolders of type `EntryType.MADE` are removed with their content. Subfolders that sparkscore did not
    make stay with their content. The folder itself stays, too. Links are not followed. If there is no folder with the
    name `below`, nothing is removed.

    Args:
        store: the store that has the folder.
        is_known: returns whether sparkscore made an entry. It gets the name of the entry relative to the folder; the
            name of a subfolder ends in ``/``.
        below: name of the folder; the store's root if empty.
        is_dry: whether to remove nothing, and only return what would be removed.

    Raises:
        OSError: a folder cannot be listed, or a file cannot be removed.
    """
    removal, gone, folders = Removal(), list[Entry](), list[str]()
    start = store.find(below)
    if start is not None and start.type in FOLDERS:
        for entry, is_ours in _walk(store, below, len(below) + 1 if below else 0, is_known):
            if not is_ours:
                removal.left.append(Path(store.locate(entry.name)))
            elif entry.type is EntryType.FOLDER:
                folders.append(entry.name)
            else:
                gone.append(entry)
    removal.removed = [Path(store.locate(entry.name)) for entry in gone]
    removal.size_bytes = sum(
        size_of_made(path) if entry.type is EntryType.MADE else entry.size_bytes
        for entry, path in zip(gone, removal.removed, strict=True)
    )
    if not is_dry:
        for entry in gone:
            store.delete(entry.name)
        for name in reversed(folders):
            store.drop(name)
    return removal


def _walk(store: Store, folder: str, start: int, is_known: Callable[[str], bool]) -> Iterator[tuple[Entry, bool]]:
    """Yield each entry in a folder and its subfolders, together with whether sparkscore made the entry.

    A subfolder comes before its own entries. A subfolder that sparkscore did not make is yielded without its entries,
    and so is a subfolder of type `EntryType.MADE`, which is removed as a whole.

    Args:
        store: the store that has the folder.
        folder: name of the folder.
        start: number of characters that are cut off from the start of each name before `is_known` gets the name.
        is_known: returns whether sparkscore made an entry.
    """
    for entry in store.entries(folder):
        is_ours = is_known(f"{entry.name[start:]}{'/' if entry.type in FOLDERS else ''}")
        yield entry, is_ours
        if is_ours and entry.type is EntryType.FOLDER:
            yield from _walk(store, entry.name, start, is_known)


def delete_listed(store: Store, files: Iterable[str], below: str = "") -> None:
    """Remove the listed files from a folder and its subfolders, and then the subfolders that are empty.

    Only subfolders that contained a listed file are removed. The folder itself stays.

    Args:
        store: the store that has the folder.
        files: names relative to the folder, from a list that sparkscore wrote. A name that leads out of the folder, or
            through a link, is skipped.
        below: name of the folder; the store's root if empty.

    Raises:
        OSError: a file cannot be removed.
    """
    parents: set[PurePosixPath] = set()
    for file in files:
        name = PurePosixPath(file)
        if ".." in name.parts or name.is_absolute() or _has_link(store, below, name):
            continue
        entry = store.find(_in(below, name))
        if entry is not None and entry.type not in FOLDERS:
            store.delete(entry.name)
        parents |= set(name.parents) - {PurePosixPath()}
    for parent in sorted(parents, key=lambda parent: len(parent.parts), reverse=True):
        store.drop(_in(below, parent))


def _in(below: str, name: PurePosixPath) -> str:
    return f"{below}/{name}" if below else str(name)


def _has_link(store: Store, below: str, name: PurePosixPath) -> bool:
    found = (store.find(_in(below, parent)) for parent in name.parents if parent != PurePosixPath())
    return any(entry is not None and entry.type is EntryType.OTHER for entry in found)
