"""Link staged files into a Delta table's folder, where they can become files of the table. Runs on the driver.

A link has the name that the file has in its task attempt's folder. The name contains 32 random hexadecimal digits, so
a repeated run makes the same links, and no other run makes them. Until the commit, no version of the table names a
link: readers ignore it, and VACUUM removes it when it is old.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from sparkscore.stage import StagedFile
from sparkscore.stage.layout import LINKED, QUARANTINE, within_task_attempt
from sparkscore.stage.store import Entry, EntryType, Store
from sparkscore.stage.surroundings import open_common, open_store

#: Folder of a Delta table's log.
LOG: Final = "_delta_log"
_PARTS: Final = ("predictions", QUARANTINE)


def link_files(stage: Path, table: Path, files: Sequence[StagedFile]) -> list[Entry]:
    """Link staged files into a table's folder, unless they are linked already, and return the links in order.

    The files get a new modification time, so that VACUUM does not remove a link before the commit names it.

    Args:
        stage: the stage's folder.
        table: the table's folder. It is created if it does not exist.
        files: the staged files.

    Raises:
        OSError: a link cannot be made, for example because the two folders are on different file systems, or because
            another file has its name; or the size of a file differs from what its writer reported.
    """
    store, (staged, linked) = open_common(stage, table)
    # Create the log folder first, as Spark does. Without it, the links would look like files that somebody else wrote.
    store.make(f"{linked}/{LOG}")
    return [_link(store, f"{staged}/{file.path}", f"{linked}/{within_task_attempt(file.path)}", file) for file in files]


def _link(store: Store, name: str, other: str, file: StagedFile) -> Entry:
    if not _is_linked(store, name, other):
        store.link(name, other)
    store.touch(other)
    found = store.find(other)
    if found is None or found.type is not EntryType.FILE or found.size_bytes != file.size_bytes:
        raise OSError(f"the linked file has not {file.size_bytes} bytes")
    return found


def note_links(stage: Path, part: str, table: Path, app_id: str, files: Sequence[StagedFile]) -> None:
    """Note in a stage that its files are about to be linked into a table's folder.

    If the run never commits, the note is used to find and remove the links when the stage is removed.

    Args:
        stage: the stage's folder.
        part: which part of the result is published, ``predictions`` or ``quarantine``.
        table: the table's folder.
        app_id: application id of the run's transaction.
        files: the staged files.

    Raises:
        OSError: the note cannot be written.
    """
    content = {"table": str(table.absolute()), "app_id": app_id, "files": [file.path for file in files]}
    open_store(stage).put(f"{LINKED}{part}", json.dumps(content).encode())


@dataclass(frozen=True)
class NotedLinks:
    """The links that `note_links` noted in a stage.

    Attributes:
        stage: the stage's folder.
        part: which part of the result was published.
        table: the table's folder.
        app_id: application id of the run's transaction.
        files: paths of the staged files, relative to the stage.
    """

    stage: Path
    part: str
    table: Path
    app_id: str
    files: tuple[str, ...]

    def remove(self) -> None:
        """Remove the links from the table's folder, then the folders that have become empty, and last the note.

        Do not call this if a commit of the table refers to the links: the table would lose these files. A link is
        removed only if it is a hard link to the staged file. Links are looked up by name, because the listing of a
        folder may be out of date.

        Raises:
            OSError: a link or the note cannot be removed. The call can be repeated.
        """
        store, (staged, linked) = open_common(self.stage, self.table)
        folders = {LOG}
        for path in self.files:
            place = PurePosixPath(within_task_attempt(path))
            if _is_linked(store, f"{staged}/{path}", f"{linked}/{place}"):
                store.delete(f"{linked}/{place}")
            folders |= set(map(str, place.parents[:-1]))
        for folder in sorted(folders, key=lambda folder: -folder.count("/")):
            store.drop(f"{linked}/{folder}")
        forget_links(self.stage, self.part)


def noted_links(stage: Path) -> Iterator[NotedLinks]:
    """Yield the links that `note_links` noted in a stage.

    Raises:
        OSError: a note cannot be read.
        ValueError, KeyError: a note was modified.
    """
    store = open_store(stage)
    for part in _PARTS:
        if store.find(f"{LINKED}{part}") is not None:
            content = json.loads(store.read(f"{LINKED}{part}"))
            yield NotedLinks(stage, part, Path(content["table"]), content["app_id"], tuple(content["files"]))


def has_noted_links(stage: Path) -> bool:
    """Return whether a stage has a note of `note_links`. Raises an `OSError` if the stage cannot be read."""
    store = open_store(stage)
    return any(store.find(f"{LINKED}{part}") is not None for part in _PARTS)


def forget_links(stage: Path, part: str) -> None:
    """Remove the note that `note_links` wrote. Call this once the links belong to the table or have been removed."""
    open_store(stage).delete(f"{LINKED}{part}")


def _is_linked(store: Store, name: str, other: str) -> bool:
    """Return whether both names exist and refer to the same file."""
    found, there = store.find(name), store.find(other)
    return found is not None and there is not None and found.version == there.version
