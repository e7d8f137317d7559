"""Create, reopen and release a stage, the folder that holds a run's files until they are published.

Runs on the driver.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sparkscore.digest import different_parts
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, LineageError, SinkError, names
from sparkscore.record.listing import waits_for_publishing
from sparkscore.sinks.overlap import refuse_overlap
from sparkscore.sinks.removing import format_of, is_empty, is_stage, remove_stage_folder
from sparkscore.sinks.target import Target
from sparkscore.stage.clearing import clear
from sparkscore.stage.ending import keeps_stage
from sparkscore.stage.format import FORMAT, is_other_format, refuse_other_format
from sparkscore.stage.layout import (
    FIRST_COMMIT,
    HELD,
    IDENTITY,
    MARKER,
    STAGE_FOLDER,
    known_in,
    lock_of,
)
from sparkscore.stage.lock import RunLock, remove_lock
from sparkscore.stage.run_stage import RunStage
from sparkscore.stage.stage_folder import StageFolder, note_run_folder, noted_run_folder
from sparkscore.stage.surroundings import here, is_one_file_system, missing_of, open_store

logger = logging.getLogger("sparkscore")

# The part between the run id and the random digits in the name of a folder that `shown_in` creates.
_SHOWN = "-shown-"


class Stage(StageFolder):
    """The open stage of a run that this driver is working on.

    Attributes:
        is_kept: whether to keep the stage when the run ends, because its rows are still to be published or discarded.
        is_taken_up: whether an earlier execution of the run created the stage, which may then already contain chunks.
    """

    def __init__(self, path: Path, lock: RunLock, *, is_taken_up: bool) -> None:
        super().__init__(path)
        self.is_kept = False
        self.is_taken_up = is_taken_up
        self._lock = lock

    def check_still_ours(self) -> None:
        """Check, before publishing, that this driver still holds the run's lock.

        Raises:
            SinkConflictError: the lock was removed, or another driver has taken it.
        """
        self._lock.check()


@contextmanager
def staged_in(
    target: Target, parent: str | None, identity: str, *, is_moved: bool, run_folder: Path | None = None
) -> Iterator[Stage]:
    """Open the run's stage for a ``with`` block, and remove it at the end of the block unless it may be needed again.

    If an earlier execution of the run left a stage, it is reopened. A stage may be needed again to publish or discard a
    held run, or to resume the run; see `keeps_stage`.

    Args:
        target: the output. By default, the stage is in the output's ``_sparkscore`` folder, which readers ignore.
        parent: folder for stages to use instead of the default, or None.
        identity: digests of the input, script, model and configuration. A stage with different digests is not opened,
            so its rows are not reused.
        is_moved: whether the staged files are published by linking and renaming them, which is possible only within one
            file system.
        run_folder: the run's folder in the runs folder. The record in it says whether the run is held.

    Raises:
        ConfigError: another driver is working on this run; the stage belongs to a different request; the stage has rows
            but no digests; the stage overlaps an output; or the path of the stage or of its lock is taken by something
            that sparkscore did not create.
        SinkError: the stage's folder cannot be created, or is on a different file system than the output.
        LineageError: the lock cannot be written, or another version of sparkscore wrote the stage in a different
            format.
    """
    from sparkscore.spark.endings import ending_of  # noqa: PLC0415 - imports PySpark, and cleaning up needs none

    holder = _holder(target, parent)
    made_by_us = missing_of(holder, target.path)
    stage = holder / target.run_id
    if parent:
        refuse_overlap(stage, target.path)
    _make(holder)
    try:
        with RunLock(holder / lock_of(target.run_id), target.run_id) as lock:
            is_taken_up = _open(stage, identity, target.run_id, run_folder)
            opened = Stage(stage, lock, is_taken_up=is_taken_up)
            try:
                if is_moved:
                    _refuse_other_file_system(stage, target.path)
                yield opened
            # Interrupts are caught and re-raised as well: whether the stage is kept depends on the error.
            except BaseException as error:
                if not lock.is_ours():
                    _remove_unless_in_use(stage)
                elif not keeps_stage(ending_of(error), is_held=opened.is_kept, has_chunks=opened.count_chunks() > 0):
                    remove_stage_folder(stage)
                raise
            if not opened.is_kept and lock.is_ours():
                remove_stage_folder(stage)
    finally:
        remove_holders(holder, *made_by_us)


@contextmanager
def shown_in(target: Target) -> Iterator[RunStage]:
    """Create a temporary folder in an output for the ``with`` block, to check that workers can see the output.

    The folder is like a run's stage. It is needed only if the run's own stage is outside the output. Folders that
    killed drivers of the run left there are removed first. The caller must hold the run's lock.

    Raises:
        SinkError: the folder cannot be created.
    """
    holder = _holder(target, None)
    made_by_us = missing_of(holder, target.path)
    left = re.compile(re.escape(f"{target.run_id}{_SHOWN}") + "[0-9a-f]{32}")
    for entry in open_store(holder).entries():
        if left.fullmatch(entry.name):
            remove_stage_folder(holder / entry.name)
    stage = holder / f"{target.run_id}{_SHOWN}{here().token()}"
    _make(stage)
    try:
        open_store(stage).put(MARKER, str(FORMAT).encode())
        yield StageFolder(stage)
    finally:
        remove_stage_folder(stage)
        remove_holders(holder, *made_by_us)


def stage_of(target: Target, parent: str | None) -> RunStage:
    """Return a run's stage, without opening or creating it.

    Args:
        target: the output.
        parent: the folder that contains the stages, or None for the output's ``_sparkscore`` folder.
    """
    return StageFolder(_holder(target, parent) / target.run_id)


def stage_at(location: str) -> RunStage:
    """Return the stage at a path from a run record, without opening or creating it."""
    return StageFolder(Path(location))


def note_first_commit(stage: RunStage, target: Target) -> None:
    """Note in the stage that this run is about to create a new table.

    If the commit fails, it may leave files at the output. The note shows that these may be from this run.
    """
    open_store(stage.location).put(f"{FIRST_COMMIT}{target.part}", _named(target.path))


def first_commit_began(stage: RunStage, target: Target) -> bool:
    """Return whether the stage contains a readable note that this run began to create a new table at the output."""
    try:
        name = f"{FIRST_COMMIT}{target.part}"
        return is_stage(Path(stage.location)) and open_store(stage.location).read(name) == _named(target.path)
    except OSError:
        return False


def _named(path: Path) -> bytes:
    # File names may contain bytes that are not valid UTF-8.
    return str(path.absolute()).encode(errors="backslashreplace")


def remove_stage(target: Target, parent: str | None) -> None:
    """Remove the stage and lock of a run that was published or discarded.

    Callers must make sure that no driver is working on the run. Files that sparkscore did not create are kept. The
    folder that contained the stage is removed as well if it is empty and named ``_sparkscore``.
    """
    holder = _holder(target, parent)
    remove_stage_folder(holder / target.run_id)
    with suppress(OSError):
        remove_lock(holder / lock_of(target.run_id))
    remove_holders(holder)


def _remove_unless_in_use(stage: Path) -> None:
    """Remove the stage of a run whose lock this driver lost, unless another driver still needs the stage.

    The stage is kept if the run is held, or if the lock cannot be acquired, for example because another driver holds
    it.
    """
    with suppress(ConfigError, LineageError), RunLock(stage.with_name(lock_of(stage.name)), stage.name):
        if not is_held_in(stage):
            _mark_if_made_again(stage)
            remove_stage_folder(stage)


def _mark_if_made_again(stage: Path) -> None:
    """Add the marker file to a stage that has none, so that `remove_stage_folder` can remove the stage.

    A stage has no marker if tasks still wrote to it after another driver removed it. No marker is added if the folder
    contains files that sparkscore did not create.
    """
    # This driver's tasks may have written to the stage after another driver removed it.
    store = open_store(stage)
    is_there = store.find() is not None and not is_stage(stage)
    if is_there and not clear(store, known_in(store), is_dry=True).left:
        store.touch(MARKER)


def _holder(target: Target, parent: str | None) -> Path:
    return Path(parent) if parent else target.path / STAGE_FOLDER


def remove_holders(holder: Path, *made_by_us: Path) -> None:
    """Remove the folder that contains stages, and the folders that this run created, if they are empty.

    The folder that contains stages is removed only if this run created it, or if it is named ``_sparkscore``.
    """
    for folder in (holder, *made_by_us):
        if folder in made_by_us or folder.name == STAGE_FOLDER:
            # A folder that another run uses is not empty, so it is kept.
            open_store(folder).drop()


def _open(stage: Path, identity: str, run_id: str, run_folder: Path | None) -> bool:
    """Open the stage of an earlier execution of the run and return True, or create the stage and return False.

    A stage without an ``identity`` file is recreated if it has no chunks and its run is not held.

    Raises:
        ConfigError: the stage belongs to a different request, has rows but no ``identity`` file, or contains files that
            sparkscore did not create.
        LineageError: another version of sparkscore wrote the stage in a different format.
        SinkError: the folder cannot be created.
    """
    store = open_store(stage)
    _refuse_foreign(stage, run_id)
    refuse_other_format(format_of(stage), "stage", stage, run_id)
    if store.find(IDENTITY) is None:
        _refuse_without_identity(stage, run_id)
        # There is no stage yet, or a driver died before the stage was complete.
        remove_stage_folder(stage)
        _make(stage)
        store.put(MARKER, str(FORMAT).encode())
        note_run_folder(stage, run_folder)
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
    note_run_folder(stage, run_folder)
    return True


def _refuse_without_identity(stage: Path, run_id: str) -> None:
    """Raise an error if a stage without an ``identity`` file has chunks or belongs to a held run.

    Without this file, it is unknown which request the staged rows belong to.
    """
    is_held = is_held_in(stage)
    if not is_held and not StageFolder(stage).count_chunks():
        return
    drop = f"sparkscore publish {run_id} --discard" if is_held else "sparkscore clean"
    raise ConfigError(
        code=ErrorCode.STAGE_CHANGED,
        what=f"stage '{stage}', in which rows are staged",
        got=f"no file '{IDENTITY}' in it",
        expected="the files of the run that staged the rows",
        state="Nothing was written, and nothing there was removed.",
        next_step=f"Restore the file; or drop the staged rows with '{drop}', and score again.",
    )


def is_held_in(stage: Path) -> bool:
    """Return whether a stage's run is held, that is, waits to be published.

    This is read from the run record or, for stages of earlier versions of sparkscore, from a file in the stage. If the
    stage contains neither such a file nor the path of the run's folder, the result is False.

    In two cases, it is unknown whether the run is held, and True is returned to avoid losing rows:

    - Another version of sparkscore wrote the stage in a different format.
    - The runs folder does not exist, for example because it is on another host.
    """
    if is_other_format(found := format_of(stage)):
        logger.warning(
            "left '%s': it has format %s, and this version of sparkscore reads format %d. Clean with the version that "
            "made it",
            stage,
            found.strip()[:20],
            FORMAT,
        )
        return True
    if open_store(stage).find(HELD) is not None:  # written by an earlier version of sparkscore
        return True
    folder = noted_run_folder(stage)
    if folder is None:
        return False
    is_waiting = waits_for_publishing(folder)
    if is_waiting is None:
        logger.warning(
            "left '%s': whether its run is held is noted in '%s', which is not there. Clean where it is, or remove "
            "the stage yourself",
            stage,
            folder,
        )
        return True
    return is_waiting


def _refuse_foreign(stage: Path, run_id: str) -> None:
    """Raise an error if the stage's path is taken by a file, a link, or a non-empty folder that is not a stage."""
    if open_store(stage).find() is None or is_stage(stage) or is_empty(stage):
        return
    raise ConfigError(
        code=ErrorCode.STAGE_NOT_OURS,
        what=f"stage '{stage}'",
        got="a file, a link, or a folder that sparkscore has not made",
        expected="nothing there, or the stage of this run",
        next_step=f"Choose another --run-id than '{run_id}', name another folder with 'output.stage', or move what is "
        "there away. Nothing there was touched.",
    )


def check_waiting(stage: RunStage) -> None:
    """Check that this version of sparkscore can read the stage of a run that is to be published or discarded.

    Raises:
        LineageError: another version of sparkscore wrote the stage in a different format, or the stage has no marker
            file.
    """
    folder = Path(stage.location)
    found = format_of(folder) if is_stage(folder) else f"unknown, without '{MARKER}'"
    refuse_other_format(found, "stage", folder, folder.name)


def _refuse_other_file_system(stage: Path, target: Path) -> None:
    if not is_one_file_system(stage, target):
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
