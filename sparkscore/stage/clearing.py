"""Remove the files that sparkscore made from a store, and no other files (driver and worker)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sparkscore.removal import size_of_made
from sparkscore.stage.store import FOLDERS, Entry, EntryType, Store


@dataclass
class Removal:
    """The files that were removed, or would be, and those that stay because sparkscore did not make them.

    Attributes:
        removed: files and links that were removed, and folders that were removed as a whole.
        left: files, links and folders that stay.
        size_bytes: size of the removed files.
    """

    removed: list[Path] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)
    size_bytes: int = 0


def clear(store: Store, is_known: Callable[[str], bool], below: str = "", *, is_dry: bool = False) -> Removal:
    """Remove the known files below a folder one by one, then the known folders if they are empty. The folder stays.

    Args:
        store: the store of the files.
        is_known: whether sparkscore made the entry with this name, which is relative to the folder. The name of a
            folder ends in ``/``.
        below: the folder; the store's root if absent. Links are not followed.
        is_dry: whether to remove nothing and only report what would be removed.

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
    """Yield the entries below a folder, each with whether it is known. A folder comes before its own entries."""
    for entry in store.entries(folder):
        is_ours = is_known(f"{entry.name[start:]}{'/' if entry.type in FOLDERS else ''}")
        yield entry, is_ours
        if is_ours and entry.type is EntryType.FOLDER:
            yield from _walk(store, entry.name, start, is_known)


def delete_listed(store: Store, files: Iterable[str], below: str = "") -> None:
    """Remove the listed files below a folder, then their parent folders if they are empty. The folder itself stays.

    Args:
        store: the store of the files.
        files: names relative to the folder, from a list that sparkscore wrote. A name that leads out of the folder, or
            through a link, is skipped.
        below: the folder; the store's root if absent.
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
