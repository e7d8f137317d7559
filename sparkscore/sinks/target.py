"""Define classes for an output, its staged rows and its published rows, and checks that the sinks share.

Runs on the driver.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SinkConflictError, SinkError, SinkSchemaError, names
from sparkscore.location import local_path
from sparkscore.sinks.origins import NO_ORIGINS, Origins
from sparkscore.stage.layout import STAGE_FOLDER

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

    from sparkscore.config import Output
    from sparkscore.stage import RunStage, StagedFile

#: Name prefix of the folder for old files that a run replaces.
ASIDE = "_replaced_by_"


@dataclass(frozen=True)
class Target:
    """The location and settings of an output.

    Attributes:
        path: folder of the table.
        mode: ``append``, ``overwrite`` or ``error``.
        partition_by: names of the partition columns.
        run_id: id of the run that writes to the output.
        run_id_column: name of the run id column.
        part: which part of the run's result is written, ``predictions`` or ``quarantine``.
        replaces_foreign: whether ``overwrite`` may replace files that sparkscore did not write, if the output is a
            folder of Parquet files. Such files are moved to another folder.
        writer: who may write the files of a Delta table: ``worker``, ``spark``, or ``auto`` for either of them.
        file_bytes: approximate size that the files should have, or None if the deployment does not set it.
    """

    path: Path
    mode: str
    partition_by: tuple[str, ...]
    run_id: str
    run_id_column: str
    part: str = "predictions"
    replaces_foreign: bool = False
    writer: str = "auto"
    file_bytes: int | None = None

    def entries(self) -> list[str]:
        """Return the names of the files and folders in the output, except the folders for stages and replaced files.

        If the output's path is that of a file, only the file's name is returned.
        """
        if not self.path.is_dir():
            return [self.path.name] if self.path.exists() else []
        found = (entry.name for entry in self.path.iterdir())
        return sorted(name for name in found if name != STAGE_FOLDER and not name.startswith(ASIDE))


def target_of(config: Output, run_id: str, run_id_column: str, part: str = "predictions") -> Target:
    """Return the location and settings of an output. No Spark session is needed.

    Args:
        config: the deployment's output.
        run_id: id of the run.
        run_id_column: name of the run id column.
        part: which part of the result is published, ``predictions`` or ``quarantine``.

    Raises:
        ConfigError: the deployment has no output location, or the location is in a remote store.
    """
    if not config.location:
        raise ConfigError(
            code=ErrorCode.OUTPUT_MISSING,
            what="the run has no output",
            next_step="Name it with --output LOCATION or 'output.location' in the deployment.",
        )
    return Target(
        local_path(config.location),
        config.mode,
        tuple(config.partition_by),
        run_id,
        run_id_column,
        part,
        replaces_foreign=config.replace == "foreign",
        writer=config.writer,
        file_bytes=config.target_file_size,
    )


class Layout(NamedTuple):
    """How tasks store the rows of the result.

    Attributes:
        partition_by: columns whose values are written to folder names instead of the files.
        left_out: further columns that are not in the files.
        file_bytes: approximate maximum size of a file, or None if files may have any size.
    """

    partition_by: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    file_bytes: int | None = None


@dataclass(frozen=True)
class StagedResult:
    """A run's staged rows that will be published.

    Attributes:
        stage: the run's stage.
        files: the files of the successful task attempts. Other files in the stage are ignored.
        schema: all columns of the table to which the rows are published.
        commit_info: values for the ``userMetadata`` of a Delta commit.
    """

    stage: RunStage
    files: tuple[StagedFile, ...]
    schema: StructType
    commit_info: Mapping[str, object]

    @property
    def folder(self) -> Path:
        """The path of the stage's folder."""
        return Path(self.stage.location)

    @property
    def row_count(self) -> int:
        """The number of rows in all files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True)
class Published:
    """The result of publishing: the version, the number of rows, the columns, and any old files that were left behind.

    Attributes:
        version: version of the Delta table or name of the run's folder. None if publishing is not complete.
        rows: number of rows, or None if publishing is not complete.
        schema: the columns.
        moved_to: folder with old files that this run moved away but did not remove, for example because sparkscore did
            not write them. None if there is no such folder, or if it is unknown.
        writer: who wrote the files that readers see, ``worker`` or ``spark``. None if publishing is not complete.
        writer_reason: why Spark wrote them. None if it is not known, or if the workers wrote them.
    """

    version: int | str | None
    rows: int | None
    schema: StructType
    moved_to: str | None = None
    writer: str | None = None
    writer_reason: str | None = None


@contextmanager
def nothing_published(run_id: str) -> Iterator[None]:
    """Change the message of a `SinkError` that a check after scoring raises in the ``with`` block.

    The message then says that the scored rows are staged but not published, and how to publish or discard the rows.
    """
    try:
        yield
    except SinkError as error:
        error.state = "Nothing was published; what was scored is staged."
        error.next_step = (
            f"Restore the output to its state when the run began, then 'sparkscore publish {run_id}'; or drop what "
            f"is staged with --discard, and for a new run: {error.next_step}"
        )
        raise


def check_writable(target: Target, *folders: Path) -> None:
    """Check, before scoring, that the user may write to the output and that its file system is not full.

    If the output does not exist yet, its nearest existing parent folder is checked.

    Args:
        target: the output.
        folders: additional folders in which publishing creates files. Folders that do not exist are not checked.

    Raises:
        SinkError: the user cannot write to a folder, or the file system is full.
    """
    nearest = next(folder for folder in (target.path, *target.path.parents) if folder.exists())
    effective = os.access in os.supports_effective_ids
    for folder in (nearest, *folders):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
            raise SinkError(
                code=ErrorCode.OUTPUT_NOT_WRITABLE,
                what=f"folder '{folder}'",
                got="no right to write there, or a file system that is read-only",
                expected="a folder in which the result can be published",
                next_step="Give the user that runs sparkscore the right to write there, or name another --output.",
            )
    if _is_full(nearest):
        raise SinkError(
            code=ErrorCode.OUTPUT_NO_SPACE,
            what=f"the file system of folder '{nearest}'",
            got="no free space, or no room for another file",
            expected="room for the result",
            next_step="Make room there, or name another --output.",
        )


def _is_full(folder: Path) -> bool:
    """Return whether a file system reports that it has no free blocks or no free inodes.

    Some file systems report a total of zero blocks or inodes. Their free blocks or inodes are not checked.
    """
    found = os.statvfs(folder)
    return bool((found.f_blocks and not found.f_bavail) or (found.f_files and not found.f_favail))


def how_to_publish(target: Target) -> str:
    """Return a sentence that says how to publish a run's rows after publishing has failed."""
    return f"Correct the cause and run 'sparkscore publish {target.run_id}': nothing is scored again."


def output_exists(target: Target, found: str) -> SinkConflictError:
    """Return the error to raise in ``error`` mode if the output already exists.

    Args:
        target: the output.
        found: description of the existing output.
    """
    return SinkConflictError(
        code=ErrorCode.OUTPUT_EXISTS,
        what=f"output '{target.path}'",
        got=found,
        expected="nothing there, since the mode is 'error'",
        next_step="Use --mode append or --mode overwrite, or name another --output.",
    )


def run_exists(target: Target) -> SinkConflictError:
    """Return the error for an output that already contains rows with this run id.

    The message says that the runs folder has no complete record of the run that wrote them.
    """
    return SinkConflictError(
        code=ErrorCode.RUN_PUBLISHED,
        what=f"output '{target.path}'",
        got=f"rows of a run '{target.run_id}', of which there is no complete record in this folder of runs",
        expected="an id of its own for each run",
        next_step="Choose another --run-id, or name the folder of that run with --runs.",
    )


def check_same_columns(
    target: Target, existing: Mapping[str, str], ours: Mapping[str, str], origins: Origins = NO_ORIGINS
) -> None:
    """Check that the result has the same columns and types as an existing table, in any order.

    Args:
        target: the output.
        existing: types of the table's columns, keyed by name.
        ours: types of the result columns, keyed by name.
        origins: the column names before renaming, for the advice in the error.

    Raises:
        SinkSchemaError: the columns or types differ. The message lists up to five differences.
    """
    differences = [f"'{name}' missing in the result" for name in existing if name not in ours]
    differences += [f"'{name}' not in the table" for name in ours if name not in existing]
    drifted = [name for name, type_name in ours.items() if existing.get(name, type_name) != type_name]
    differences += [f"'{name}' is {ours[name]} in the result and {existing[name]} in the table" for name in drifted]
    if differences:
        raise SinkSchemaError(
            code=ErrorCode.OUTPUT_SCHEMA_DIFFERS,
            what=f"the result does not fit the table '{target.path}'",
            got="; ".join(differences[:5]),
            next_step=_advice(existing, ours, origins),
        )


def _advice(existing: Mapping[str, str], ours: Mapping[str, str], origins: Origins) -> str:
    drifted = {name: existing[name] for name, given in ours.items() if existing.get(name, given) != given}
    ways = origins.typing(drifted)
    unknown = [name for name in ours if name not in existing]
    if carried := [name for name in unknown if name in origins.carried]:
        ways.append(f"leave out {names(carried)} with 'output.carry', or rename with 'columns'")
    from sparkscore.worker.result import LINEAGE_SCHEMA  # noqa: PLC0415 - imports pandas, which only this error needs

    # A run always adds the lineage columns.
    others = {*origins.carried, *LINEAGE_SCHEMA.names}
    if returned := [name for name in unknown if origins.added.get(name, name) not in others]:
        ways.append(f"do not return {names(returned)}, which the table does not have, or rename with 'columns'")
    if lacking := [name for name in existing if name not in ours]:
        ways.append(f"carry or return {names(lacking)} ('output.carry', 'columns', the scorer)")
    return f"Name another --output{', or ' if ways else ''}{'; and '.join(ways)}."


def check_same_partitioning(target: Target, existing: Sequence[str]) -> None:
    """Check that an existing table has the same partition columns as the deployment, in the same order.

    Args:
        target: the output, with the deployment's partition columns.
        existing: partition columns of the table.

    Raises:
        SinkSchemaError: the partition columns or their order differ.
    """
    if list(existing) != list(target.partition_by):
        raise SinkSchemaError(
            code=ErrorCode.OUTPUT_PARTITIONS_DIFFER,
            what=f"the table '{target.path}'",
            got=f"partition columns {names(existing) or 'none'}",
            expected=names(target.partition_by) or "none",
            next_step="Set 'output.partition_by' as the table has it, or name another --output.",
        )
