"""Remove the files that sparkscore created from a store's folders, and keep all other files.

Runs on the driver and the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sparkscore.removal import size_of_made
from sparkscore.stage.store import FOLDERS, Entry, EntryType, Store


@dataclass
class Removal:
    """The entries that were removed from a folder (or would be, in a dry run), and the entries that were kept.

    Attributes:
        removed: paths of files, links, and folders that were removed with their contents. Folders that were removed
            because they were empty are not listed.
        left: paths of files, links and folders that were kept, because sparkscore did not create them. The contents of
            such folders are not listed.
        size_bytes: total size of the entries in `removed`, in bytes.
    """

    removed: list[Path] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)
    size_bytes: int = 0


def clear(store: Store, is_known: Callable[[str], bool], below: str = "", *, is_dry: bool = False) -> Removal:
    """Remove what sparkscore created in a folder and its subfolders, and return which entries were removed and kept.

    Files and links are removed first, then empty subfolders. Subfolders of type `EntryType.MADE` are removed with their
    contents. Subfolders that sparkscore did not create are kept with their contents, as is the folder itself. Links are
    not followed. If the folder does not exist, nothing is removed.

    Args:
        store: the store that contains the folder.
        is_known: returns whether sparkscore created an entry, given its name relative to the folder. Names of
            subfolders end in ``/``.
        below: name of the folder, or an empty string for the store's root.
        is_dry: whether to only return what would be removed.

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
    """Yield each entry in a folder and its subfolders, together with whether sparkscore created it.

    A subfolder precedes its entries. The entries of a subfolder are skipped if sparkscore did not create the subfolder.
    They are also skipped if its type is `EntryType.MADE`, because such a subfolder is removed as a whole.

    Args:
        store: the store that contains the folder.
        folder: name of the folder.
        start: number of leading characters to cut off each name before passing it to `is_known`.
        is_known: returns whether sparkscore created an entry.
    """
    for entry in store.entries(folder):
        is_ours = is_known(f"{entry.name[start:]}{'/' if entry.type in FOLDERS else ''}")
        yield entry, is_ours
        if is_ours and entry.type is EntryType.FOLDER:
            yield from _walk(store, entry.name, start, is_known)


def delete_listed(store: Store, files: Iterable[str], below: str = "") -> None:
    """Remove the listed files from a folder and its subfolders, then remove the subfolders that are now empty.

    An empty subfolder is kept if no listed file belongs in it. The folder itself is always kept.

    Args:
        store: the store that contains the folder.
        files: names relative to the folder, from a list that sparkscore wrote. Names that lead out of the folder or
            through a link are skipped.
        below: name of the folder, or an empty string for the store's root.

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
