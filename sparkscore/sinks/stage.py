"""The stage: where a run's files wait until they are published, and what a dead driver leaves there (driver)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sparkscore.digest import different_parts
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, LineageError, SinkError, names
from sparkscore.record.runs_folder import RunFolder
from sparkscore.sinks.overlap import refuse_overlap
from sparkscore.sinks.target import Target
from sparkscore.spark.endings import ending_of
from sparkscore.stage.chunks import count_chunks
from sparkscore.stage.clearing import Removal, clear
from sparkscore.stage.ending import keeps_stage
from sparkscore.stage.format import FORMAT, is_other_format, refuse_other_format
from sparkscore.stage.layout import (
    FIRST_COMMIT,
    HELD,
    IDENTITY,
    MARKER,
    RUN,
    STAGE_FOLDER,
    finished,
    known_in,
    lock_of,
)
from sparkscore.stage.lock import RunLock, remove_lock
from sparkscore.stage.store import Kind
from sparkscore.stage.surroundings import open_store

logger = logging.getLogger("sparkscore")


class Stage:
    """The folder in which a run's files wait.

    Attributes:
        path: the folder.
        is_kept: whether it stays when the run ends.
        is_taken_up: whether files of an earlier attempt may be in it.
    """

    def __init__(self, path: Path, lock: RunLock, *, is_taken_up: bool) -> None:
        self.path = path
        self.is_kept = False
        self.is_taken_up = is_taken_up
        self._lock = lock

    def check_still_ours(self) -> None:
        """Make sure, before anything is published, that no other driver has taken this run over.

        Raises:
            SinkConflictError: one has.
        """
        self._lock.check()


@contextmanager
def staged_in(
    target: Target, place: str | None, identity: str, *, is_moved: bool, run_folder: Path | None = None
) -> Iterator[Stage]:
    """Give the run's stage, and remove it when the run ends, unless the run can be taken up where it stopped.

    It can after an interrupt, a dead driver, and a failure to publish: then the work units that are done are kept.

    Args:
        target: where the result goes; the stage is in its folder ``_sparkscore``, which readers pass over.
        place: another place for stages.
        identity: digest of all that decides the result; what another request has staged is not taken up.
        is_moved: whether publishing renames the staged files, which works within one file system only.
        run_folder: the run's folder, whose record says whether the run is held.

    Raises:
        ConfigError: another driver works on this run, an earlier attempt was another request, or something else is at
            the stage's place.
        SinkError: the folder cannot be made, or is on another file system than the target.
    """
    holder = _holder(target, place)
    made_by_us = [folder for folder in (holder, target.path) if not folder.exists()]
    stage = holder / target.run_id
    if place:
        refuse_overlap(stage, target.path)
    _make(holder)
    try:
        with RunLock(holder / lock_of(target.run_id), target.run_id) as lock:
            is_taken_up = _open(stage, identity, target.run_id, run_folder)
            opened = Stage(stage, lock, is_taken_up=is_taken_up)
            try:
                if is_moved:
                    _check_file_system(stage, target.path)
                yield opened
            # An interrupt as well: what is kept depends on what happened, and the error goes on.
            except BaseException as error:
                if not lock.is_ours():
                    _remove_unless_in_use(stage)
                elif not keeps_stage(ending_of(error), is_held=opened.is_kept, has_chunks=count_chunks(stage) > 0):
                    remove_stage_folder(stage)
                raise
            if not opened.is_kept and lock.is_ours():
                remove_stage_folder(stage)
    finally:
        remove_holders(holder, *made_by_us)


def stage_of(target: Target, place: str | None) -> Path:
    """Name the folder of a run's stage, which may not be there."""
    return _holder(target, place) / target.run_id


def note_first_commit(stage: Path, target: Target) -> None:
    """Note that a run is about to make a table where nothing was: what a failed attempt leaves there is its own."""
    open_store(stage).put(f"{FIRST_COMMIT}{target.part}", _named(target.path))


def first_commit_began(stage: Path, target: Target) -> bool:
    """Tell whether an earlier attempt at this run has begun to make the table where nothing was."""
    try:
        return is_stage(stage) and open_store(stage).read(f"{FIRST_COMMIT}{target.part}") == _named(target.path)
    except OSError:
        return False


def _named(path: Path) -> bytes:
    # Names of files may hold what UTF-8 cannot.
    return str(path.absolute()).encode(errors="backslashreplace")


def remove_stage(target: Target, place: str | None) -> None:
    """Remove what a dead driver has left of a run whose result is there."""
    holder = _holder(target, place)
    remove_stage_folder(holder / target.run_id)
    with suppress(OSError):
        remove_lock(holder / lock_of(target.run_id))
    remove_holders(holder)


def _remove_unless_in_use(stage: Path) -> None:
    """Remove what a driver that was taken for dead has left, unless the driver that took its place is still at work."""
    with suppress(ConfigError, LineageError), RunLock(stage.with_name(lock_of(stage.name)), stage.name):
        if not is_held_in(stage):
            _mark_if_made_again(stage)
            remove_stage_folder(stage)


def _mark_if_made_again(stage: Path) -> None:
    """Mark a stage that tasks of this driver made again after the driver that took its place had removed it."""
    store = open_store(stage)
    is_there = store.find() is not None and not is_stage(stage)
    if is_there and not clear(store, known_in(store), is_dry=True).left:
        store.touch(MARKER)


def _holder(target: Target, place: str | None) -> Path:
    return Path(place) if place else target.path / STAGE_FOLDER


def remove_holders(holder: Path, *made_by_us: Path) -> None:
    """Remove empty folders that are ours: the one for stages in an output, and those that this run has made."""
    for folder in (holder, *made_by_us):
        if folder in made_by_us or folder.name == STAGE_FOLDER:
            # Where it is not empty, or gone already, another run is at work here.
            open_store(folder).drop()


def _open(stage: Path, identity: str, run_id: str, run_folder: Path | None) -> bool:
    """Make the stage, or find the one that an earlier attempt at the same run has left, and tell which it was."""
    store = open_store(stage)
    _refuse_foreign(stage, run_id)
    refuse_other_format(_format_of(stage), "stage", stage, run_id)
    if store.find(IDENTITY) is None:
        _refuse_without_identity(stage, run_id)
        # An attempt that ended before it had begun.
        remove_stage_folder(stage)
        _make(stage)
        store.put(MARKER, str(FORMAT).encode())
        _note_run(stage, run_folder)
        store.put(IDENTITY, identity.encode())
        return False
    if (found := store.read(IDENTITY).decode()) != identity:
        raise ConfigError(
            code=ErrorCode.RUN_ID_USED,
            what=f"run id '{run_id}' belongs to a run that stopped",
            got=f"another {names(different_parts(found, identity))}: {identity}",
            expected=found,
            next_step="Choose another --run-id, or remove what that run has left with "
            + (f"'sparkscore publish {run_id} --discard'." if is_held_in(stage) else "'sparkscore clean'."),
        )
    _note_run(stage, run_folder)
    return True


def _refuse_without_identity(stage: Path, run_id: str) -> None:
    """Refuse to begin anew where rows are staged, and nothing says of which request."""
    is_held = is_held_in(stage)
    if not is_held and not count_chunks(stage):
        return
    drop = f"sparkscore publish {run_id} --discard" if is_held else "sparkscore clean"
    raise ConfigError(
        code=ErrorCode.STAGE_CHANGED,
        what=f"stage '{stage}', in which rows are staged",
        got=f"no file '{IDENTITY}' in it",
        expected="what an earlier attempt at the run has left",
        state="Nothing was written, and nothing there was removed.",
        next_step=f"Bring the file back; or drop what is staged with '{drop}', and score again.",
    )


def _note_run(stage: Path, run_folder: Path | None) -> None:
    """Note where the run's record is: `clean` may be told of another folder of runs."""
    if run_folder is not None and _run_folder_of(stage) != run_folder:
        open_store(stage).put(RUN, os.fsencode(run_folder))


def _run_folder_of(stage: Path) -> Path | None:
    try:
        return Path(os.fsdecode(open_store(stage).read(RUN)))
    except OSError:
        return None


def is_held_in(stage: Path) -> bool:
    """Whether the rows in a stage wait to be published or discarded; the run's record says it.

    Where the folder of runs is not there, as on another host, or the stage has another format, nobody can tell, and it
    counts as held.
    """
    if is_other_format(found := _format_of(stage)):
        logger.warning(
            "left '%s': it has format %s, and this version of sparkscore reads format %d. Clean with the version that "
            "made it",
            stage,
            found.strip()[:20],
            FORMAT,
        )
        return True
    if open_store(stage).find(HELD) is not None:  # an earlier version of sparkscore noted it here
        return True
    folder = _run_folder_of(stage)
    if folder is None:
        return False
    if not folder.parent.is_dir():
        logger.warning(
            "left '%s': whether its run is held is noted in '%s', which is not there. Clean where it is, or remove "
            "the stage yourself",
            stage,
            folder,
        )
        return True
    record = RunFolder(folder.parent, folder.name).read_record()
    return record is not None and record.waits_for_publishing


def _refuse_foreign(stage: Path, run_id: str) -> None:
    """Refuse a folder at the stage's place that sparkscore has not made; an empty one holds nothing of anybody's."""
    if open_store(stage).find() is None or is_stage(stage) or is_empty(stage):
        return
    raise ConfigError(
        code=ErrorCode.STAGE_NOT_OURS,
        what=f"stage '{stage}'",
        got="a file, a link, or a folder that sparkscore has not made",
        expected="nothing there, or what an earlier attempt at the run has left",
        next_step=f"Choose another --run-id than '{run_id}', name another folder with 'output.stage', or move what is "
        "there away. Nothing there was touched.",
    )


def is_stage(folder: Path) -> bool:
    """Whether a folder is a stage that sparkscore has made."""
    store = open_store(folder)
    place, marker = store.find(), store.find(MARKER)
    return place is not None and place.kind is Kind.FOLDER and marker is not None and marker.kind is Kind.FILE


def check_waiting(stage: Path) -> None:
    """Refuse a stage with rows that wait, which this version of sparkscore does not read.

    Raises:
        LineageError: it has another format, or no mark.
    """
    has_mark = is_stage(stage)
    refuse_other_format(_format_of(stage) if has_mark else f"unknown, without '{MARKER}'", "stage", stage, stage.name)


def _format_of(stage: Path) -> str:
    """Return the number in the stage's mark; an empty text where there is none."""
    try:
        return open_store(stage).read(MARKER).decode(errors="replace")
    except OSError:
        return ""


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or no more than a mark that was not written to its end."""
    store = open_store(folder)
    place = store.find()
    is_folder = place is not None and place.kind is Kind.FOLDER
    return is_folder and all(finished(entry.name) == MARKER for entry in store.entries())


def drop_empty(folder: Path) -> None:
    """Remove the folder of a stage whose driver died before it had a mark, or after it had lost it."""
    store = open_store(folder)
    with suppress(OSError):
        clear(store, lambda name: finished(name) == MARKER)
    store.drop()


def remove_stage_folder(stage: Path, *, is_dry: bool = False) -> Removal:
    """Remove a stage that sparkscore has made, file by file; what else lies there is left and named in a warning."""
    if not is_stage(stage):
        if stage.parent.name == STAGE_FOLDER and not is_dry:
            drop_empty(stage)
        return Removal()
    store = open_store(stage)
    removal = Removal()
    if is_other_format(_format_of(stage)):
        return removal
    # Where a store fails here the run has ended already: what cannot be listed or removed stays, for 'clean'.
    with suppress(OSError):
        known = known_in(store)
        # The mark goes last: what is left is still known as a stage.
        removal = clear(store, lambda name: name != MARKER and known(name), is_dry=is_dry)
        removal.left = [path for path in removal.left if path != stage / MARKER]
        if not is_dry and not removal.left:
            with suppress(OSError):  # a store may lose the answer
                store.delete(MARKER)
            if not store.drop() and store.find() is not None:
                # A store did not show or not remove a file: the stage stays one, for 'clean'.
                store.touch(MARKER)
    if removal.left and not is_dry:
        found = names(path.relative_to(stage) for path in removal.left)
        logger.warning("left in '%s', because sparkscore has not made it: %s", stage, found)
    return removal


def _check_file_system(stage: Path, target: Path) -> None:
    there = next(folder for folder in (target, *target.parents) if folder.exists())
    if stage.stat().st_dev != there.stat().st_dev:
        raise SinkError(
            code=ErrorCode.STAGE_FILE_SYSTEM,
            what=f"stage '{stage}'",
            got="another file system than the output's, so that its files cannot be moved there in one step",
            next_step="Leave 'output.stage' out, or name a folder on the output's file system.",
        )


def _make(stage: Path) -> None:
    try:
        open_store(stage).make()
    except OSError as error:
        raise SinkError(
            code=ErrorCode.OUTPUT_NOT_WRITABLE,
            what=f"stage '{stage}'",
            got=error.strerror or type(error).__name__,
            expected="a folder that can be written",
            next_step="Give the user that runs sparkscore the right to write there, or name another --output.",
        ) from error
