"""Recognize a stage's folder and remove the files in it that sparkscore created. Runs on the driver."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from sparkscore.errors import names
from sparkscore.sinks.delta_links import has_noted_links
from sparkscore.stage.clearing import Removal, clear
from sparkscore.stage.format import is_other_format
from sparkscore.stage.layout import MARKER, STAGE_FOLDER, finished, known_in
from sparkscore.stage.store import EntryType
from sparkscore.stage.surroundings import open_store

logger = logging.getLogger("sparkscore")


def is_stage(folder: Path) -> bool:
    """Return whether a folder is a stage that sparkscore created, as shown by its marker file."""
    store = open_store(folder)
    entry, marker = store.find(), store.find(MARKER)
    return entry is not None and entry.type is EntryType.FOLDER and marker is not None and marker.type is EntryType.FILE


def format_of(stage: Path) -> str:
    """Return the format number in a stage's marker file, or an empty string if it is missing or unreadable."""
    try:
        return open_store(stage).read(MARKER).decode(errors="replace")
    except OSError:
        return ""


def is_empty(folder: Path) -> bool:
    """Return whether a path is a folder without any files or subfolders, other than incomplete marker files."""
    store = open_store(folder)
    entry = store.find()
    is_folder = entry is not None and entry.type is EntryType.FOLDER
    return is_folder and all(finished(inside.name) == MARKER for inside in store.entries())


def drop_empty(folder: Path) -> None:
    """Remove incomplete marker files from a folder, and then the folder if it is empty."""
    store = open_store(folder)
    with suppress(OSError):
        clear(store, lambda name: finished(name) == MARKER)
    store.drop()


def remove_stage_folder(stage: Path, *, is_dry: bool = False) -> Removal:
    """Remove a stage's files, and return which files were removed and which were kept.

    Files that sparkscore did not create are kept, and a warning lists them.

    If a file cannot be listed or removed, a warning is logged and no error is raised. In this case, the stage keeps its
    marker file, and the returned lists may be empty.

    Args:
        stage: path of the folder. If another version of sparkscore wrote it in a different format, nothing is removed.
            If it is not a stage, at most incomplete marker files and the folder, if then empty, are removed. No warning
            is logged in either case.
        is_dry: whether to only return the files that would be removed.
    """
    if not is_stage(stage):
        if stage.parent.name == STAGE_FOLDER and not is_dry:
            drop_empty(stage)
        return Removal()
    if is_other_format(format_of(stage)):
        return Removal()
    try:
        if not is_dry and has_noted_links(stage):
            from sparkscore.sinks.delta_commit import unlink_uncommitted  # noqa: PLC0415 - imports PySpark

            unlink_uncommitted(stage)
        removal = _remove(stage, is_dry=is_dry)
    except OSError as error:
        # The run has already ended, so this is not an error. Any remaining files are left for 'clean'.
        _warn_of_rest(stage, error.strerror or type(error).__name__)
        return Removal()
    if removal.left and not is_dry:
        found = names(path.relative_to(stage) for path in removal.left)
        logger.warning("left in '%s', because sparkscore has not made it: %s", stage, found)
    return removal


def _remove(stage: Path, *, is_dry: bool) -> Removal:
    store = open_store(stage)
    known = known_in(store)
    # The marker is removed last, so that a partly removed stage is still recognized.
    removal = clear(store, lambda name: name != MARKER and known(name), is_dry=is_dry)
    removal.left = [path for path in removal.left if path != stage / MARKER]
    if not is_dry and not removal.left:
        with suppress(OSError):  # the file may have been removed even though the store reports an error
            store.delete(MARKER)
        if not store.drop() and store.find() is not None:
            # The store did not list or remove all files. The stage keeps its marker for 'clean'.
            store.touch(MARKER)
            _warn_of_rest(stage, "the folder is not empty")
    return removal


def _warn_of_rest(stage: Path, problem: str) -> None:
    """Log a warning that a stage could not be removed, with the problem and the remaining files."""
    store = open_store(stage)
    found = "files that cannot be listed"
    with suppress(OSError):
        left = clear(store, known_in(store), is_dry=True)
        found = names(path.relative_to(stage) for path in (*left.removed, *left.left) if path != stage / MARKER)
    logger.warning(
        "left '%s', which could not be removed (%s), with %s. Correct the cause, and run 'sparkscore clean'",
        stage,
        problem,
        found or "no files",
    )
