"""Remove the stages of runs that are neither running nor held, for the ``sparkscore clean`` command.

Runs on the driver.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SinkError
from sparkscore.sinks.removing import drop_empty, is_empty, is_stage, remove_stage_folder
from sparkscore.sinks.stage import is_held_in, remove_holders
from sparkscore.stage.layout import LOCK_ENDING, STAGE_FOLDER, lock_of
from sparkscore.stage.lock import RunLock, is_held, is_lock, remove_litter, run_of_litter
from sparkscore.stage.store import Entry, EntryType
from sparkscore.stage.surroundings import open_store


@dataclass(frozen=True)
class Removed:
    """A stage that `clean_stages` removes, or would remove in a dry run, and the size of its files."""

    path: Path
    size_bytes: int


def clean_stages(holder: Path, *, is_dry: bool = False) -> list[Removed]:
    """Remove the stages of runs that are neither running nor held, and return them, sorted by run id.

    The locks of these runs are removed as well. The folder that contained the stages is removed if it is empty and
    named ``_sparkscore``. Stages that another version of sparkscore wrote in a different format are kept. If a file
    cannot be removed, its stage is not returned, and a warning is logged.

    Args:
        holder: the folder that contains the stages. Other files in it are kept.
        is_dry: whether to only return the stages that would be removed.

    Raises:
        SinkError: the operating system reports an error, for example because the folder cannot be listed.
        LineageError: a run's lock cannot be written.
    """
    try:
        removed = [stage for name in _runs_in(holder) for stage in _clean_stage(holder, name, is_dry=is_dry)]
    except OSError as error:
        raise SinkError(
            code=ErrorCode.NOT_CLEANED,
            what=f"the folder '{holder}' of stages",
            got=error.strerror or type(error).__name__,
            state="Some stages of dead runs may be left.",
            next_step="Correct the cause and clean again.",
        ) from error
    if not is_dry:
        remove_holders(holder)
    return removed


def _clean_stage(holder: Path, name: str, *, is_dry: bool) -> Iterator[Removed]:
    stage, lock = holder / name, holder / lock_of(name)
    if is_dry:
        if is_stage(stage) and not is_held(lock) and not is_held_in(stage):
            yield Removed(stage, remove_stage_folder(stage, is_dry=True).size_bytes)
        return
    # A run holds the lock while it is running. A run that is resumed during the cleaning fails instead of waiting.
    with suppress(ConfigError), RunLock(lock, name):
        remove_litter(lock)
        if is_stage(stage) and not is_held_in(stage):
            removal = remove_stage_folder(stage)
            if removal.left or not is_stage(stage):  # otherwise, a file could not be removed, and a warning was logged
                yield Removed(stage, removal.size_bytes)
        elif holder.name == STAGE_FOLDER:
            drop_empty(stage)


def _runs_in(holder: Path) -> list[str]:
    """Return the ids of all runs that have a stage, a lock, or a temporary lock file in a folder.

    Other files in the folder are ignored.
    """
    entries, is_ours = open_store(holder).entries(), holder.name == STAGE_FOLDER
    found = {_run_of(holder, entry, is_ours=is_ours) for entry in entries}
    return sorted(run for run in found if run is not None)


def _run_of(holder: Path, entry: Entry, *, is_ours: bool) -> str | None:
    """Return the id of the run that created a file or folder, or None if sparkscore did not create it.

    Args:
        holder: the parent folder.
        entry: the file or folder in `holder`.
        is_ours: whether sparkscore created `holder`. In a folder that sparkscore created, an empty subfolder is the
            stage of the run with that name.
    """
    path = holder / entry.name
    if entry.type is EntryType.FOLDER:
        return entry.name if is_stage(path) or (is_ours and is_empty(path)) else None
    if entry.name.endswith(LOCK_ENDING) and is_lock(path):
        return entry.name.removesuffix(LOCK_ENDING)
    return run_of_litter(entry.name, LOCK_ENDING)
