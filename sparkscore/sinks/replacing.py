"""Replace the rows in a folder of Parquet files, so that a crash at any point loses neither old nor new (driver).

What is there moves into the folder ``_replaced_by_<run>`` beside it, which readers pass over, with a journal; then the
new rows are shown, then the files that sparkscore wrote are removed. Whoever comes next finds the journal and goes on:
forward where the new rows are shown, otherwise back.
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
from sparkscore.stage.store import FOLDERS, Kind, Store
from sparkscore.stage.surroundings import open_store

logger = logging.getLogger("sparkscore")

_JOURNAL: Final = "_journal.json"
_EARLIER_LITTER: Final = re.compile(r"\._journal\.json\.[0-9]+")


def list_files(folder: Path, partitions: Mapping[str, str]) -> None:
    """Write the list of the files in a folder that is about to be published, and the types of its partition columns.

    The names of folders do not tell whether ``day=7`` is a number or a text.

    A full disk does not stop here what is about to be published: without the list a later run that replaces this one
    needs consent.
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
        if entry.kind in FOLDERS:
            yield from _files_below(store, entry.name)
        else:
            yield entry.name, entry.size_bytes


def is_of_a_run(folder: Path) -> bool:
    """Tell whether sparkscore has published a folder, and has left the list of its files there."""
    store = open_store(folder)
    place = store.find()
    return place is not None and place.kind is Kind.FOLDER and _listed(store) is not None


def partition_types(folder: Path) -> dict[str, str]:
    """Give the types of the partition columns in a run's folder; none where an earlier version wrote it."""
    found = (_read(open_store(folder), FILES) or {}).get("partitions")
    return {str(name): str(kind) for name, kind in found.items()} if isinstance(found, dict) else {}


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
    """Move what is there aside, show the new rows, and remove the files of earlier runs.

    Args:
        target: folder of the table.
        entries: names of what is replaced.
        shown: folder of the run, which is there as soon as its rows are.
        lock: the run's lock, by which others see that it is at work.
        show: makes the run's folder appear in one step.

    Returns:
        the folder that holds what sparkscore has not written; None where there was nothing of that kind.

    Raises:
        SinkConflictError: another run is replacing the same rows.
        OSError: it did not work; the old rows are back.
    """
    store = open_store(target)
    aside = _new_aside(store, shown.name.partition("=")[2])
    journal = {"shown": shown.name, "lock": str(lock.absolute())}
    store.put(f"{aside}/{_JOURNAL}", json.dumps(journal).encode(errors="backslashreplace"))
    try:
        for name in entries:
            store.rename(name, f"{aside}/{name}")
        show()
    # An interrupt as well: the readers' rows come before everything.
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
    """Take up what drivers have left that died while they replaced rows.

    Args:
        target: folder of the table.
        own: name of the caller's own run folder, whose journal is taken up although the run is at work.
        is_dry: only look.

    Returns:
        the folders that were taken up.

    Raises:
        OSError: it did not work.
    """
    taken_up, store = [], open_store(target)
    for aside in _asides(store):
        journal = _journal_in(store, aside)
        if journal is None:
            if not is_dry:
                clear(store, _is_litter, aside)
                store.drop(aside)
        elif journal["shown"] == own or not is_held(Path(journal["lock"])):
            taken_up.append(target / aside)
            if not is_dry:
                _settle(store, aside)
    return taken_up


def _is_litter(name: str) -> bool:
    return finished(name) == _JOURNAL or _EARLIER_LITTER.fullmatch(name) is not None


def refuse_rival(target: Path, own: str) -> None:
    """Refuse to replace rows that another run is replacing.

    Raises:
        SinkConflictError: it is at work.
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
    """Read the journal of a driver at work or dead; None where there is none, or a file of the user's of that name."""
    found, place = _read(store, f"{aside}/{_JOURNAL}") or {}, store.find(aside)
    shown, lock = found.get("shown"), found.get("lock")
    if not isinstance(shown, str) or not isinstance(lock, str) or place is None or place.kind not in FOLDERS:
        return None
    run_id = shown.partition("=")[2]
    is_ours = run_id and re.fullmatch(rf"{re.escape(ASIDE + run_id)}(-[0-9]+)?", aside) and "/" not in shown
    return {"shown": shown, "lock": lock} if is_ours else None


def _settle(store: Store, aside: str) -> Path | None:
    """Go on where the new rows are shown, else put the old ones back; return the folder if others' files stay in it."""
    journal = _journal_in(store, aside)
    inside = [(entry.name, entry.name.rpartition("/")[2]) for entry in store.entries(aside)]
    shown = store.find(journal["shown"]) if journal is not None else None
    if shown is not None and shown.kind in FOLDERS:
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
    """Remove the files that sparkscore has listed in the folder of a run, as long as they are as it left them."""
    place = Path(store.locate(folder))
    files = _listed(open_store(place)) if is_of_a_run(place) else None
    if files is None:
        return
    delete_listed(store, [name for name, size in files.items() if _is_same(store, f"{folder}/{name}", size)], folder)
    store.delete(f"{folder}/{FILES}")
    store.drop(folder)


def _is_same(store: Store, name: str, size: int) -> bool:
    found = store.find(name)
    return found is not None and found.kind is Kind.FILE and found.size_bytes == size
