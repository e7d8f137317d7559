"""What all sinks are told: the target, the staged files, the result of publishing (driver)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql.types import BinaryType, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError, SinkError, SinkSchemaError, names
from sparkscore.sinks.origins import NO_ORIGINS, Origins
from sparkscore.stage import StagedFile
from sparkscore.stage.layout import STAGE_FOLDER
from sparkscore.worker.result import LINEAGE_SCHEMA

#: Beginning of the folder that keeps what a run replaces.
ASIDE = "_replaced_by_"


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
        replaces_foreign: whether ``overwrite`` may move aside what sparkscore has not written.
    """

    path: Path
    mode: str
    partition_by: tuple[str, ...]
    run_id: str
    run_id_column: str
    part: str = "predictions"
    replaces_foreign: bool = False

    def entries(self) -> list[str]:
        """Name what is at the target, apart from stages."""
        if not self.path.is_dir():
            return [self.path.name] if self.path.exists() else []
        found = (entry.name for entry in self.path.iterdir())
        return sorted(name for name in found if name != STAGE_FOLDER and not name.startswith(ASIDE))


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

    Both are None as long as it is on its way. ``moved_to`` is the folder of what others had written and it replaced.
    """

    version: int | str | None
    rows: int | None
    schema: StructType
    moved_to: str | None = None


@contextmanager
def nothing_published(run_id: str) -> Iterator[None]:
    """Say of what is refused after scoring what it means for the data, and what becomes of the staged rows."""
    try:
        yield
    except SinkError as error:
        error.state = "The output is as it was before the run; what was scored is staged."
        error.next_step = (
            f"Make the output what it was when the run began, then 'sparkscore publish {run_id}'; or drop what is "
            f"staged with --discard, and for a new run: {error.next_step}"
        )
        raise


def check_writable(target: Target, *folders: Path) -> None:
    """Refuse before scoring what could not be published: places that this user cannot write to, full file systems.

    Args:
        target: where the result goes.
        folders: further folders, which are there, in which publishing makes files.

    Raises:
        SinkError: with the folder.
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
    """Whether a file system says that it is full; one that does not count says 0 of 0."""
    found = os.statvfs(folder)
    return bool((found.f_blocks and not found.f_bavail) or (found.f_files and not found.f_favail))


def how_to_publish(target: Target) -> str:
    """Say what to do after publishing failed: what was scored is kept."""
    return f"Correct the cause and run 'sparkscore publish {target.run_id}': nothing is scored again."


def output_exists(target: Target, found: str) -> SinkConflictError:
    """Make the error for an output that is there already."""
    return SinkConflictError(
        code=ErrorCode.OUTPUT_EXISTS,
        what=f"output '{target.path}'",
        got=found,
        expected="nothing there, since the mode is 'error'",
        next_step="Use --mode append or --mode overwrite, or name another --output.",
    )


def run_exists(target: Target) -> SinkConflictError:
    """Make the error for an output that has rows of this run id already, from a run that this runs folder lacks."""
    return SinkConflictError(
        code=ErrorCode.RUN_PUBLISHED,
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
                code=ErrorCode.OUTPUT_PARTITION_TYPE,
                what=f"partition column '{name}'",
                got="binary",
                expected="a type whose text names a folder",
                next_step="Partition by another column.",
            )


def check_same_columns(
    target: Target, existing: Mapping[str, str], ours: Mapping[str, str], origins: Origins = NO_ORIGINS
) -> None:
    """Compare the columns of an existing table with the result's: the same names, the same types, in any order.

    Raises:
        SinkSchemaError: with the first differences.
    """
    differences = [f"'{name}' missing in the result" for name in existing if name not in ours]
    differences += [f"'{name}' not in the table" for name in ours if name not in existing]
    drifted = [name for name, kind in ours.items() if name in existing and existing[name] != kind]
    differences += [f"'{name}' is {ours[name]} in the result and {existing[name]} in the table" for name in drifted]
    if differences:
        raise SinkSchemaError(
            code=ErrorCode.OUTPUT_SCHEMA_DIFFERS,
            what=f"the result does not fit the table '{target.path}'",
            got="; ".join(differences[:5]),
            next_step=_advice(existing, ours, origins),
        )


def _advice(existing: Mapping[str, str], ours: Mapping[str, str], origins: Origins) -> str:
    drifted = {name: existing[name] for name, kind in ours.items() if existing.get(name, kind) != kind}
    ways = origins.typing(drifted)
    unknown = [name for name in ours if name not in existing]
    if carried := [name for name in unknown if name in origins.carried]:
        ways.append(f"leave out {names(carried)} with 'output.carry', or rename with 'columns'")
    # A run always adds the columns of its lineage.
    others = {*origins.carried, *LINEAGE_SCHEMA.names}
    if returned := [name for name in unknown if origins.added.get(name, name) not in others]:
        ways.append(f"do not return {names(returned)}, which the table does not have, or rename with 'columns'")
    if lacking := [name for name in existing if name not in ours]:
        ways.append(f"carry or return {names(lacking)} ('output.carry', 'columns', the scorer)")
    return f"Name another --output{', or ' if ways else ''}{'; and '.join(ways)}."


def check_same_partitioning(target: Target, existing: Sequence[str]) -> None:
    """Compare the partition columns of an existing table with the deployment's.

    Raises:
        SinkSchemaError: they differ.
    """
    if list(existing) != list(target.partition_by):
        raise SinkSchemaError(
            code=ErrorCode.OUTPUT_PARTITIONS_DIFFER,
            what=f"the table '{target.path}'",
            got=f"partition columns {names(existing) or 'none'}",
            expected=names(target.partition_by) or "none",
            next_step="Set 'output.partition_by' as the table has it, or name another --output.",
        )
