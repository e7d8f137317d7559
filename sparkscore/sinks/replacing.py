"""Replace the rows in a folder of Parquet files without losing rows if the driver crashes (driver).

Old files are moved into the folder ``_replaced_by_<run>``, which readers ignore, with a journal. Then the new rows are
made visible, then the old files that sparkscore wrote are removed. After a crash, the next run or ``sparkscore clean``
finds the journal. If the new rows are visible, it removes the old files; otherwise it moves them back.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError, names
from sparkscore.sinks.target import ASIDE
from sparkscore.stage.clearing import clear, delete_listed
from sparkscore.stage.layout import FILES, finished
from sparkscore.stage.lock import is_held
from sparkscore.stage.store import FOLDERS, EntryType, Store
from sparkscore.stage.surroundings import open_store

logger = logging.getLogger("sparkscore")

_JOURNAL: Final = "_journal.json"
_EARLIER_LITTER: Final = re.compile(r"\._journal\.json\.[0-9]+")


def list_files(folder: Path, partitions: Mapping[str, str]) -> None:
    """Write the list of files into a folder before it is published, with the types of the partition columns.

    The types are needed because a folder's name such as ``day=7`` does not tell whether the value is a number or a
    text. A full disk does not stop the publishing: the list is skipped, and a later run can replace these files only
    with ``output.replace: foreign``.

    Args:
        folder: the folder.
        partitions: the types of the partition columns.
    """
    store = open_store(folder)
    files = {name: size for name, size in _files_below(store) if name.endswith(".parquet")}
    try:
        store.put(FILES, json.dumps({"files": files, "partitions": partitions}).encode())
    except OSError as error:
        logger.warning("the list '%s' of a run's files cannot be written: %s", FILES, error.strerror)
        with suppress(OSError):
            store.delete(FILES)


def _files_below(store: Store, folder: str = "") -> Iterator[tuple[str, int]]:
    for entry in store.entries(folder):
        if entry.type in FOLDERS:
            yield from _files_below(store, entry.name)
        else:
            yield entry.name, entry.size_bytes


def is_of_a_run(folder: Path) -> bool:
    """Whether sparkscore has published a folder, which then contains a list of its files."""
    store = open_store(folder)
    entry = store.find()
    return entry is not None and entry.type is EntryType.FOLDER and _listed(store) is not None


def partition_types(folder: Path) -> dict[str, str]:
    """Return the types of the partition columns in a run's folder; folders of earlier versions have none."""
    found = (_read(open_store(folder), FILES) or {}).get("partitions")
    return {str(name): str(type_name) for name, type_name in found.items()} if isinstance(found, dict) else {}


def _listed(store: Store) -> dict[str, Any] | None:
    content = _read(store, FILES)
    files = content.get("files") if content is not None else None
    return files if isinstance(files, dict) else None


def _read(store: Store, name: str) -> dict[str, Any] | None:
    try:
        content = json.loads(store.read(name))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def replace_entries(target: Path, entries: list[str], shown: Path, lock: Path, show: Callable[[], None]) -> Path | None:
    """Move old files into another folder, make the new rows visible, and remove the old files of sparkscore.

    Args:
        target: folder of the table.
        entries: names of the files and folders that are replaced.
        shown: the run's folder, which exists as soon as the new rows are visible.
        lock: the run's lock, by which other drivers see that the run is still running.
        show: function that makes the run's folder visible in one step.

    Returns:
        the folder with the old files that sparkscore did not write, or None if there were none.

    Raises:
        SinkConflictError: another run is replacing the same rows.
        OSError: it failed, and the old rows were moved back.
    """
    store = open_store(target)
    aside = _new_aside(store, shown.name.partition("=")[2])
    journal = {"shown": shown.name, "lock": str(lock.absolute())}
    store.put(f"{aside}/{_JOURNAL}", json.dumps(journal).encode(errors="backslashreplace"))
    try:
        for name in entries:
            store.rename(name, f"{aside}/{name}")
        show()
    # Also for interrupts, because readers must get the old rows back.
    except BaseException:
        _settle(store, aside)
        raise
    return _settle(store, aside)


def _new_aside(store: Store, run_id: str) -> str:
    aside, number = f"{ASIDE}{run_id}", 1
    while store.entries(aside):
        number += 1
        aside = f"{ASIDE}{run_id}-{number}"
    store.make(aside)
    return aside


def _asides(store: Store) -> list[str]:
    return [entry.name for entry in store.entries() if entry.name.startswith(ASIDE)]


def recover(target: Path, own: str | None = None, *, is_dry: bool = False) -> list[Path]:
    """Complete or undo replacements of rows that dead drivers have begun.

    Args:
        target: folder of the table.
        own: name of the caller's run folder, whose replacement is completed or undone although the run is running.
        is_dry: whether to only return the folders.

    Returns:
        the folders with the old files of these replacements.

    Raises:
        OSError: files cannot be read, moved or removed.
    """
    found, store = [], open_store(target)
    for aside in _asides(store):
        journal = _journal_in(store, aside)
        if journal is None:
            if not is_dry:
                clear(store, _is_litter, aside)
                store.drop(aside)
        elif journal["shown"] == own or not is_held(Path(journal["lock"])):
            found.append(target / aside)
            if not is_dry:
                _settle(store, aside)
    return found


def _is_litter(name: str) -> bool:
    return finished(name) == _JOURNAL or _EARLIER_LITTER.fullmatch(name) is not None


def refuse_rival(target: Path, own: str) -> None:
    """Check that no other run is replacing the same rows.

    Args:
        target: folder of the table.
        own: name of the caller's run folder.

    Raises:
        SinkConflictError: another run is replacing them.
    """
    store = open_store(target)
    for aside in _asides(store):
        journal = _journal_in(store, aside)
        if journal is not None and journal["shown"] != own:
            raise SinkConflictError(
                code=ErrorCode.OUTPUT_BUSY,
                what=f"output '{target}'",
                got=f"another run ('{journal['shown']}') that is replacing its rows",
                state="Nothing was published.",
                next_step="Wait for that run and run the same run id again.",
            )


def _journal_in(store: Store, aside: str) -> dict[str, str] | None:
    """Return the journal in a folder of old files, or None if there is none or if it is a file of the user."""
    found, entry = _read(store, f"{aside}/{_JOURNAL}") or {}, store.find(aside)
    shown, lock = found.get("shown"), found.get("lock")
    if not isinstance(shown, str) or not isinstance(lock, str) or entry is None or entry.type not in FOLDERS:
        return None
    run_id = shown.partition("=")[2]
    is_ours = run_id and re.fullmatch(rf"{re.escape(ASIDE + run_id)}(-[0-9]+)?", aside) and "/" not in shown
    return {"shown": shown, "lock": lock} if is_ours else None


def _settle(store: Store, aside: str) -> Path | None:
    """Remove the old files if the new rows are visible, else move the old files back.

    Returns:
        the folder if files of others stay in it, else None.
    """
    journal = _journal_in(store, aside)
    inside = [(entry.name, entry.name.rpartition("/")[2]) for entry in store.entries(aside)]
    shown = store.find(journal["shown"]) if journal is not None else None
    if shown is not None and shown.type in FOLDERS:
        for name, _ in inside:
            _remove_run(store, name)
    else:
        for name, own in inside:
            if own != _JOURNAL and store.find(own) is None:
                store.rename(name, own)
    store.delete(f"{aside}/{_JOURNAL}")
    if store.drop(aside):
        return None
    found = names(entry.name.rpartition("/")[2] for entry in store.entries(aside))
    logger.warning("moved to '%s', because sparkscore has not written it: %s", store.locate(aside), found)
    return Path(store.locate(aside))


def _remove_run(store: Store, folder: str) -> None:
    """Remove the files in the list of a run's folder if their sizes are unchanged, then the folder if it is empty."""
    path = Path(store.locate(folder))
    files = _listed(open_store(path)) if is_of_a_run(path) else None
    if files is None:
        return
    delete_listed(store, [name for name, size in files.items() if _is_same(store, f"{folder}/{name}", size)], folder)
    store.delete(f"{folder}/{FILES}")
    store.drop(folder)


def _is_same(store: Store, name: str, size: int) -> bool:
    found = store.find(name)
    return found is not None and found.type is EntryType.FILE and found.size_bytes == size
