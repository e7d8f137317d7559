"""Remove from a store what sparkscore put there, and nothing else (driver and worker)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sparkscore.removal import size_of_made
from sparkscore.stage.store import FOLDERS, Entry, Kind, Store


@dataclass
class Removal:
    """What was removed, or would be, and what was left because sparkscore did not make it.

    Attributes:
        removed: files and links, and folders that go as a whole.
        left: files, links and folders.
        size_bytes: size of what was removed.
    """

    removed: list[Path] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)
    size_bytes: int = 0


def clear(store: Store, is_known: Callable[[str], bool], below: str = "", *, is_dry: bool = False) -> Removal:
    """Remove what is known below a folder, file by file, then the known folders that are empty; the folder stays.

    Args:
        store: where to look.
        is_known: whether sparkscore makes what has this name, relative to the folder; a folder's ends in ``/``.
        below: the folder; the store's place if absent. A link is not followed.
        is_dry: only look.

    Raises:
        OSError: something cannot be listed or removed.
    """
    removal, gone, folders = Removal(), list[Entry](), list[str]()
    start = store.find(below)
    if start is not None and start.kind in FOLDERS:
        for entry, is_ours in _walk(store, below, len(below) + 1 if below else 0, is_known):
            if not is_ours:
                removal.left.append(Path(store.locate(entry.name)))
            elif entry.kind is Kind.FOLDER:
                folders.append(entry.name)
            else:
                gone.append(entry)
    removal.removed = [Path(store.locate(entry.name)) for entry in gone]
    removal.size_bytes = sum(
        size_of_made(path) if entry.kind is Kind.MADE else entry.size_bytes
        for entry, path in zip(gone, removal.removed, strict=True)
    )
    if not is_dry:
        for entry in gone:
            store.delete(entry.name)
        for name in reversed(folders):
            store.drop(name)
    return removal


def _walk(store: Store, folder: str, start: int, is_known: Callable[[str], bool]) -> Iterator[tuple[Entry, bool]]:
    """Yield what lies below a folder, each with whether it is known; folders come before what is in them."""
    for entry in store.entries(folder):
        is_ours = is_known(f"{entry.name[start:]}{'/' if entry.kind in FOLDERS else ''}")
        yield entry, is_ours
        if is_ours and entry.kind is Kind.FOLDER:
            yield from _walk(store, entry.name, start, is_known)


def delete_listed(store: Store, files: Iterable[str], below: str = "") -> None:
    """Remove the named files below a folder, then the folders on the way to them that are empty; the folder stays.

    Args:
        store: where they are.
        files: names relative to the folder, from a list that sparkscore wrote. One that leads out of the folder, or
            through a link, is passed over.
        below: the folder; the store's place if absent.
    """
    parents: set[PurePosixPath] = set()
    for file in files:
        name = PurePosixPath(file)
        if ".." in name.parts or name.is_absolute() or _has_link(store, below, name):
            continue
        entry = store.find(_in(below, name))
        if entry is not None and entry.kind not in FOLDERS:
            store.delete(entry.name)
        parents |= set(name.parents) - {PurePosixPath()}
    for parent in sorted(parents, key=lambda parent: len(parent.parts), reverse=True):
        store.drop(_in(below, parent))


def _in(below: str, name: PurePosixPath) -> str:
    return f"{below}/{name}" if below else str(name)


def _has_link(store: Store, below: str, name: PurePosixPath) -> bool:
    found = (store.find(_in(below, parent)) for parent in name.parents if parent != PurePosixPath())
    return any(entry is not None and entry.kind is Kind.OTHER for entry in found)
