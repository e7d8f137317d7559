"""Replace the rows in a folder of Parquet files without losing rows if the driver crashes. Runs on the driver.

First, the old files are moved to the folder ``_replaced_by_<run>``, which readers ignore. That folder also contains
a journal with the name of the run's folder and the path of the run's lock. Then the new rows are made visible. Finally,
the old files that sparkscore wrote are removed.

After a crash, the next run or ``sparkscore clean`` finds the journal. If the new rows are visible, the old files that
sparkscore wrote are removed. Otherwise, the old files are moved back.
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

#: A sentence for error messages when a table's old rows may not be visible.
MOVED_ROWS: Final = "Its rows are there or in its folder '_replaced_by_…'."
_JOURNAL: Final = "_journal.json"
_EARLIER_LITTER: Final = re.compile(r"\._journal\.json\.[0-9]+")


def list_files(folder: Path, partitions: Mapping[str, str]) -> None:
    """Write a list of a run's Parquet files to the folder that contains them, before the folder is published.

    The list contains file names, file sizes and the types of the partition columns. These types are needed because a
    folder name such as ``day=7`` does not show whether the value is a number or a string.

    If the list cannot be written, for example because the disk is full, a warning is logged and publishing continues.
    Later runs can then replace the files only with ``output.replace: foreign``.

    Args:
        folder: the folder that will be published.
        partitions: types of the partition columns, keyed by name.
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
    """Return whether sparkscore published a folder, that is, whether it has the list that `list_files` writes."""
    store = open_store(folder)
    entry = store.find()
    return entry is not None and entry.type is EntryType.FOLDER and _listed(store) is not None


def partition_types(folder: Path) -> dict[str, str]:
    """Return the types of a run's partition columns, keyed by name, as stored by `list_files`.

    The dictionary is empty if the stored list cannot be read, or if an earlier version of sparkscore wrote it without
    types.
    """
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
    """Move old files to another folder, make the new rows visible, and remove the old files that sparkscore wrote.

    Args:
        target: folder of the table.
        entries: names of the files and folders to replace.
        shown: the run's folder, which exists as soon as the new rows are visible.
        lock: path of the run's lock, which shows other drivers that this run is still running.
        show: function that makes the run's folder visible atomically.

    Returns:
        the folder that contains old files that have changed or that sparkscore did not write, or None if there are no
        such files.

    Raises:
        OSError: a file could not be moved or removed. Unless the new rows are visible, the old files are moved back. If
            that fails too, `recover` moves them back later.
    """
    store = open_store(target)
    aside = _new_aside(store, shown.name.partition("=")[2])
    journal = {"shown": shown.name, "lock": str(lock.absolute())}
    store.put(f"{aside}/{_JOURNAL}", json.dumps(journal).encode(errors="backslashreplace"))
    try:
        for name in entries:
            store.rename(name, f"{aside}/{name}")
        show()
    # Interrupts are caught as well, because readers must see the old rows again.
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
    """Complete or undo the replacements of rows that drivers began but did not finish before they died.

    Args:
        target: folder of the table.
        own: folder name of the calling run. A replacement that an earlier execution of this run began is completed or
            undone as well.
        is_dry: whether to only return the folders, without changing anything.

    Returns:
        the folders into which these drivers had moved the old files. Folders that became empty have been removed.

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


def state_after_error(target: Path, own: str) -> str:
    """Return a sentence that says where the old rows are, for the error of a run that could not replace them.

    Args:
        target: folder of the table.
        own: name of the run's folder.
    """
    store = open_store(target)
    with suppress(OSError):
        if all((_journal_in(store, aside) or {}).get("shown") != own for aside in _asides(store)):
            return "The output is as it was before the run."
    return MOVED_ROWS


def refuse_rival(target: Path, own: str) -> None:
    """Raise an error if another run is replacing rows of the same table.

    Args:
        target: folder of the table.
        own: folder name of the calling run.

    Raises:
        SinkConflictError: another run is replacing rows.
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
    """Return the journal in a folder of old files, or None if the folder has no valid journal.

    The journal describes an unfinished replacement of rows. A valid journal is complete, and contains the run id from
    the folder's name.

    Args:
        store: the store of the table's folder.
        aside: name of the folder of old files.
    """
    found, entry = _read(store, f"{aside}/{_JOURNAL}") or {}, store.find(aside)
    shown, lock = found.get("shown"), found.get("lock")
    if not isinstance(shown, str) or not isinstance(lock, str) or entry is None or entry.type not in FOLDERS:
        return None
    run_id = shown.partition("=")[2]
    is_ours = run_id and re.fullmatch(rf"{re.escape(ASIDE + run_id)}(-[0-9]+)?", aside) and "/" not in shown
    return {"shown": shown, "lock": lock} if is_ours else None


def _settle(store: Store, aside: str) -> Path | None:
    """Complete or undo a replacement of rows.

    If the new rows are visible, the old files that sparkscore wrote are removed. Otherwise, the old files are moved
    back, unless their names are taken by new files. If files remain in the folder of old files, a warning lists them.

    Args:
        store: the store of the table's folder.
        aside: name of the folder of old files.

    Returns:
        the folder of old files if it still contains files, or None if it was removed.
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
    """Remove the files that are named in the run's file list. Then remove the run's folder if it is empty.

    Files whose sizes differ from those in the list are kept. Nothing is removed if the folder contains no list.

    Args:
        store: the store of the table's folder.
        folder: name of the run's folder in the store.
    """
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
