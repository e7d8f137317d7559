"""Replace the rows in a folder of Parquet files, so that a crash at any point loses neither old nor new (driver).

What is there moves into the folder ``_replaced_by_<run>`` beside it, which readers pass over, with a journal; then the
new rows are shown, then the files that sparkscore wrote are removed. Whoever comes next finds the journal and goes on:
forward where the new rows are shown, otherwise back.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError, names
from sparkscore.record.runs_folder import write_whole
from sparkscore.removal import move_new, remove_empty, remove_file, remove_known, remove_listed
from sparkscore.sinks.target import ASIDE
from sparkscore.stage.lock import is_held

logger = logging.getLogger("sparkscore")

#: List of the files that sparkscore wrote into a run's folder; what it does not name is somebody else's.
FILES: Final = "_sparkscore.json"
_JOURNAL: Final = "_journal.json"
_LITTER: Final = re.compile(r"\._journal\.json\.[0-9]+")


def list_files(folder: Path, partitions: Mapping[str, str]) -> None:
    """Write the list of the files in a folder that is about to be published, and the types of its partition columns.

    The names of folders do not tell whether ``day=7`` is a number or a text.

    A full disk does not stop here what is about to be published: without the list a later run that replaces this one
    needs consent.
    """
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*.parquet")}
    try:
        (folder / FILES).write_text(json.dumps({"files": files, "partitions": partitions}), encoding="utf-8")
    except OSError as error:
        logger.warning("the list '%s' of a run's files cannot be written: %s", FILES, error.strerror)
        with suppress(OSError):
            remove_file(folder / FILES)


def is_of_a_run(folder: Path) -> bool:
    """Tell whether sparkscore has published a folder, and has left the list of its files there."""
    return folder.is_dir() and not folder.is_symlink() and _listed(folder) is not None


def partition_types(folder: Path) -> dict[str, str]:
    """Give the types of the partition columns in a run's folder; none where an earlier version wrote it."""
    found = (_read(folder / FILES) or {}).get("partitions")
    return {str(name): str(kind) for name, kind in found.items()} if isinstance(found, dict) else {}


def _listed(folder: Path) -> dict[str, Any] | None:
    content = _read(folder / FILES)
    files = content.get("files") if content is not None else None
    return files if isinstance(files, dict) else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
    aside = _new_aside(target, shown.name.partition("=")[2])
    write_whole(aside / _JOURNAL, json.dumps({"shown": shown.name, "lock": str(lock.absolute())}))
    try:
        for name in entries:
            move_new(target / name, aside / name)
        show()
    # An interrupt as well: the readers' rows come before everything.
    except BaseException:
        _settle(aside)
        raise
    return _settle(aside)


def _new_aside(target: Path, run_id: str) -> Path:
    aside, number = target / f"{ASIDE}{run_id}", 1
    while aside.exists() and next(aside.iterdir(), None) is not None:
        number += 1
        aside = target / f"{ASIDE}{run_id}-{number}"
    aside.mkdir(exist_ok=True)
    return aside


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
    taken_up = []
    for aside in sorted(target.glob(f"{ASIDE}*")) if target.is_dir() else ():
        journal = _journal_in(aside)
        if journal is None:
            if not is_dry:
                remove_known(aside, lambda name: _LITTER.fullmatch(name) is not None)
                remove_empty(aside)
        elif journal["shown"] == own or not is_held(Path(journal["lock"])):
            taken_up.append(aside)
            if not is_dry:
                _settle(aside)
    return taken_up


def refuse_rival(target: Path, own: str) -> None:
    """Refuse to replace rows that another run is replacing.

    Raises:
        SinkConflictError: it is at work.
    """
    for aside in target.glob(f"{ASIDE}*"):
        journal = _journal_in(aside)
        if journal is not None and journal["shown"] != own:
            raise SinkConflictError(
                code=ErrorCode.OUTPUT_BUSY,
                what=f"output '{target}'",
                got=f"another run ('{journal['shown']}') that is replacing its rows",
                state="Nothing was published.",
                next_step="Wait for that run and run the same run id again.",
            )


def _journal_in(aside: Path) -> dict[str, str] | None:
    """Read the journal of a driver at work or dead; None where there is none, or a file of the user's of that name."""
    found = _read(aside / _JOURNAL) or {}
    shown, lock = found.get("shown"), found.get("lock")
    if not isinstance(shown, str) or not isinstance(lock, str) or aside.is_symlink():
        return None
    run_id = shown.partition("=")[2]
    is_ours = run_id and re.fullmatch(rf"{re.escape(ASIDE + run_id)}(-[0-9]+)?", aside.name) and "/" not in shown
    return {"shown": shown, "lock": lock} if is_ours else None


def _settle(aside: Path) -> Path | None:
    """Go on where the new rows are shown, else put the old ones back; give the folder if others' files stay in it."""
    target, journal = aside.parent, _journal_in(aside)
    if journal is not None and (target / journal["shown"]).is_dir():
        for entry in aside.iterdir():
            _remove_run(entry)
    else:
        for entry in aside.iterdir():
            if entry.name != _JOURNAL and not (target / entry.name).exists():
                move_new(entry, target / entry.name)
    remove_file(aside / _JOURNAL)
    if remove_empty(aside):
        return None
    found = names(entry.name for entry in aside.iterdir())
    logger.warning("moved to '%s', because sparkscore has not written it: %s", aside, found)
    return aside


def _remove_run(folder: Path) -> None:
    """Remove the files that sparkscore has listed in the folder of a run, as long as they are as it left them."""
    files = _listed(folder) if is_of_a_run(folder) else None
    if files is None:
        return
    same = [name for name, size in files.items() if (file := folder / name).is_file() and file.stat().st_size == size]
    remove_listed(folder, same)
    remove_file(folder / FILES)
    remove_empty(folder)
