"""What all sinks are told: the target, the staged files, the result of publishing (driver)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from pyspark.sql.types import BinaryType, StructType

from sparkscore.errors import ConfigError, SinkConflictError, SinkError, SinkSchemaError, names
from sparkscore.runlock import RunLock
from sparkscore.runlog import write_whole
from sparkscore.spark_errors import interrupt_behind
from sparkscore.worker import StagedFile
from sparkscore.worker.done import has_done

STAGE_FOLDER = "_sparkscore"
LOCK_ENDING = ".lock"
#: Folder of a stage for the rows that an overwriting run replaces, between two renames.
REPLACED = "replaced"


@dataclass(frozen=True)
class Target:
    """Where a result goes.

    Attributes:
        path: folder of the table.
        mode: ``append``, ``overwrite`` or ``error``.
        partition_by: partition columns.
        run_id: the run that writes.
        run_id_column: name of the column that holds the run id.
        part: which part of the run's result goes there.
    """

    path: Path
    mode: str
    partition_by: tuple[str, ...]
    run_id: str
    run_id_column: str
    part: str = "predictions"

    def entries(self) -> list[str]:
        """Name what is at the target, apart from stages."""
        if not self.path.is_dir():
            return [self.path.name] if self.path.exists() else []
        return sorted(entry.name for entry in self.path.iterdir() if entry.name != STAGE_FOLDER)


@dataclass(frozen=True)
class StagedResult:
    """What was staged and counts.

    Attributes:
        stage: the run's stage.
        files: the files of the successful task attempts; no other file in the stage counts.
        schema: the whole result's columns.
        commit_info: what is written into the table's history.
    """

    stage: Path
    files: tuple[StagedFile, ...]
    schema: StructType
    commit_info: Mapping[str, object]

    @property
    def row_count(self) -> int:
        """Rows in the files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True)
class Published:
    """What was published: the version (a table's, or the run's folder), and the rows as read back.

    Both are None as long as it is on its way.
    """

    version: int | str | None
    rows: int | None
    schema: StructType


class Stage:
    """The folder in which a run's files wait.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, lock: RunLock) -> None:
        self.path = path
        self._lock = lock

    def check_still_ours(self) -> None:
        """Make sure, before anything is published, that no other driver has taken this run over.

        Raises:
            SinkConflictError: one has.
        """
        self._lock.check()


@contextmanager
def staged_in(target: Target, place: str | None, identity: str, *, is_moved: bool) -> Iterator[Stage]:
    """Give the run's stage, and remove it when the run ends, unless the run can be taken up where it stopped.

    It can after an interrupt, a dead driver, and a failure to publish: then the work units that are done are kept.

    Args:
        target: where the result goes; the stage is in its folder ``_sparkscore``, which readers pass over.
        place: another place for stages.
        identity: digest of all that decides the result; what another request has staged is not taken up.
        is_moved: whether publishing renames the staged files, which works within one file system only.

    Raises:
        ConfigError: another driver works on this run, or an earlier attempt was another request.
        SinkError: the folder cannot be made, or is on another file system than the target.
    """
    holder = Path(place) if place else target.path / STAGE_FOLDER
    made_by_us = [folder for folder in (holder, target.path) if not folder.exists()]
    stage = holder / target.run_id
    _make(holder)
    try:
        with RunLock(holder / f"{target.run_id}{LOCK_ENDING}", target.run_id) as lock:
            _open(stage, identity, target.run_id)
            try:
                if is_moved:
                    _check_file_system(stage, target.path)
                yield Stage(stage, lock)
            except BaseException as error:
                if not _can_be_taken_up(stage, error):
                    rmtree(stage, ignore_errors=True)
                raise
            rmtree(stage, ignore_errors=True)
    finally:
        _remove_empty(holder if holder.name == STAGE_FOLDER else None, *made_by_us)


def remove_stage(target: Target, place: str | None) -> None:
    """Remove what a dead driver has left of a run whose result is there."""
    holder = Path(place) if place else target.path / STAGE_FOLDER
    rmtree(holder / target.run_id, ignore_errors=True)
    (holder / f"{target.run_id}{LOCK_ENDING}").unlink(missing_ok=True)
    _remove_empty(holder if holder.name == STAGE_FOLDER else None)


def _remove_empty(*folders: Path | None) -> None:
    for folder in folders:
        if folder is not None and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _open(stage: Path, identity: str, run_id: str) -> None:
    """Make the stage, or find the one that an earlier attempt at the same run has left."""
    note = stage / "identity"
    if not note.is_file():
        # An attempt that ended before it had begun.
        rmtree(stage, ignore_errors=True)
        _make(stage)
        write_whole(note, identity)
    elif (found := note.read_text(encoding="utf-8")) != identity:
        raise ConfigError(
            code="RUN_ID_USED",
            what=f"run id '{run_id}' belongs to a run that stopped with another input, script, model or configuration",
            got=f"identity {identity}",
            expected=found,
            next_step="Choose another --run-id, or remove what that run has left with 'sparkscore clean'.",
        )


def put_back_replaced(stage: Path, target: Path) -> None:
    """Put back the old rows that a driver set aside and then died, before it had renamed the new ones."""
    aside = stage / REPLACED
    for entry in aside.iterdir() if aside.is_dir() else ():
        entry.rename(target / entry.name)
    if aside.is_dir():
        aside.rmdir()


def _can_be_taken_up(stage: Path, error: BaseException) -> bool:
    """Tell whether work is done, and may yet be published: the run was interrupted, or could not publish."""
    if not has_done(stage):
        return False
    return interrupt_behind(error) is not None or isinstance(error, SinkError)


def _check_file_system(stage: Path, target: Path) -> None:
    there = next(folder for folder in (target, *target.parents) if folder.exists())
    if stage.stat().st_dev != there.stat().st_dev:
        raise SinkError(
            code="STAGE_FILE_SYSTEM",
            what=f"stage '{stage}'",
            got="another file system than the output's, so that its files cannot be moved there in one step",
            next_step="Leave 'output.stage' out, or name a folder on the output's file system.",
        )


def _make(stage: Path) -> None:
    try:
        stage.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(
            code="OUTPUT_NOT_WRITABLE",
            what=f"stage '{stage}'",
            got=error.strerror or type(error).__name__,
            expected="a folder that can be written",
            next_step="Give the user that runs sparkscore the right to write there, or name another --output.",
        ) from error


def output_exists(target: Target, found: str) -> SinkConflictError:
    """Make the error for an output that is there already."""
    return SinkConflictError(
        code="OUTPUT_EXISTS",
        what=f"output '{target.path}'",
        got=found,
        expected="nothing there, since the mode is 'error'",
        next_step="Use --mode append or --mode overwrite, or name another --output.",
    )


def run_exists(target: Target) -> SinkConflictError:
    """Make the error for an output that has rows of this run id already, from a run that this runs folder lacks."""
    return SinkConflictError(
        code="RUN_PUBLISHED",
        what=f"output '{target.path}'",
        got=f"rows of a run '{target.run_id}', of which there is no complete record in this folder of runs",
        expected="an id of its own for each run",
        next_step="Choose another --run-id, or name the folder of that run with --runs.",
    )


def refuse_binary_partitions(target: Target, schema: StructType) -> None:
    """Refuse to partition by bytes, which come back changed where they are no text.

    Raises:
        SinkSchemaError: with the column.
    """
    for name in target.partition_by:
        if isinstance(schema[name].dataType, BinaryType):
            raise SinkSchemaError(
                code="OUTPUT_PARTITION_TYPE",
                what=f"partition column '{name}'",
                got="binary",
                expected="a type whose text names a folder",
                next_step="Partition by another column.",
            )


def check_same_columns(target: Target, existing: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Compare the columns of an existing table with the result's: the same names, the same types, in any order.

    Raises:
        SinkSchemaError: with the first differences.
    """
    differences = [f"'{name}' missing in the result" for name in existing if name not in ours]
    differences += [f"'{name}' not in the table" for name in ours if name not in existing]
    differences += [
        f"'{name}' is {kind} in the result and {existing[name]} in the table"
        for name, kind in ours.items()
        if name in existing and existing[name] != kind
    ]
    if differences:
        raise SinkSchemaError(
            code="OUTPUT_SCHEMA_DIFFERS",
            what=f"the result does not fit the table '{target.path}'",
            got="; ".join(differences[:5]),
            next_step="Name another --output, or make them equal with 'output.schema', 'output.carry', 'columns'.",
        )


def check_same_partitioning(target: Target, existing: Sequence[str]) -> None:
    """Compare the partition columns of an existing table with the deployment's.

    Raises:
        SinkSchemaError: they differ.
    """
    if list(existing) != list(target.partition_by):
        raise SinkSchemaError(
            code="OUTPUT_PARTITIONS_DIFFER",
            what=f"the table '{target.path}'",
            got=f"partition columns {names(existing) or 'none'}",
            expected=names(target.partition_by) or "none",
            next_step="Set 'output.partition_by' as the table has it, or name another --output.",
        )
