"""Define the protocols of a run's stage: `TaskStage` for the tasks and `RunStage` for the driver.

Runs on the driver and the workers.

`sparkscore.stage.stage_folder` implements both with files. The docstrings of methods that store something say what the
stage contains after the process crashes or an `OSError` is raised. A call that raises an `OSError` may still have
succeeded, for example if a network file system lost only the response.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.parquet import FilePart
from sparkscore.stage.layout import LAYOUT, NULLS, PROBE, READER, WRITER
from sparkscore.stage.progress import ItemsDone
from sparkscore.stage.report import MiniBatchReport, StagedFile


class Decision(StrEnum):
    """A finding that a run stores in its stage, for reuse when the run is resumed.

    Attributes:
        PROBE: the result columns, as found by scoring one mini-batch before the run.
        NULLS: whether each integer and boolean input column contains a NULL.
        READER: whether Spark or the workers themselves read the rows of the input, and why.
        LAYOUT: the partition columns of a Delta table whose values name the folders of the staged files.
        WRITER: whether Spark or the workers write the files of a Delta table, and why.
    """

    PROBE = PROBE
    NULLS = NULLS
    READER = READER
    LAYOUT = LAYOUT
    WRITER = WRITER


class ChunkWriter(Protocol):
    """Writes the rows of one chunk to the stage.

    Only files listed in a report are published. After a crash or an `OSError`, the stage may contain other files, which
    are ignored.
    """

    def write(self, rows: pa.Table) -> None:
        """Add result rows to the chunk."""

    def quarantine(self, rows: pa.Table) -> None:
        """Add quarantine rows to the chunk: the failed items, with their reasons."""

    def finish(self) -> tuple[tuple[StagedFile, ...], tuple[StagedFile, ...]]:
        """Write all added rows and return the result files and the quarantine files."""


class TaskProgress(Protocol):
    """Counts how many items a task has done, and shows the numbers to the driver.

    The methods raise no `OSError`: a scored mini-batch must not fail because it cannot be counted.

    Attributes:
        is_stopped: whether the driver has asked all tasks to stop. The value may be out of date.
    """

    is_stopped: bool

    def add(self, items: int, failed: int) -> None:
        """Count the items of a finished mini-batch.

        Args:
            items: number of items in the mini-batch.
            failed: number of these items that failed.
        """

    def close(self) -> None:
        """Make the task's final item counts visible to the driver."""


class TaskStage(Protocol):
    """The part of a stage that tasks use. It can be pickled, because Spark sends it to the workers.

    Several task attempts may use it at the same time, even for the same work unit.
    """

    def planned(self, units: Iterable[int]) -> Iterator[MiniBatch]:
        """Return an iterator over the planned mini-batches of the given work units, one work unit after another."""

    def planned_parts(self, units: Iterable[int]) -> Iterator[FilePart]:
        """Return an iterator over the parts of files in the given work units, one work unit after another."""

    def done_chunk(self, unit: int, first: int) -> list[MiniBatchReport]:
        """Return the reports of the chunk that begins with the given mini-batch, or an empty list if there is none.

        If one of the chunk's data files is missing, or its size differs from the reported size, the stored reports are
        removed and an empty list is returned. After a crash or an `OSError`, the call can be repeated.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.

        Raises:
            SinkError: the stored reports were modified. They are removed.
        """

    def open_chunk(self, unit: int) -> AbstractContextManager[ChunkWriter]:
        """Return a context manager with a writer for one chunk's rows.

        No other task attempt writes to this writer's files.

        Args:
            unit: number of the work unit.
        """

    def keep_chunk(self, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
        """Store a chunk's reports, so that its mini-batches are not scored again.

        If another task attempt has already stored reports of this chunk, they are kept. After a crash or an `OSError`,
        the reports are stored completely or not at all.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.
            reports: reports of the chunk's mini-batches, in order. The last report lists the chunk's files.
        """

    def forget_chunk(self, unit: int, first: int) -> None:
        """Remove a chunk's stored reports, so that its mini-batches are scored again.

        Do nothing if the reports have already been removed.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.
        """

    def progress_of(self, unit: int) -> TaskProgress:
        """Return an object with which a work unit's task shows the driver how many items are done."""

    @property
    def location(self) -> str:
        """The location of the stage, for messages."""

    def nonce(self) -> str:
        """Return the random string that the driver stored in the stage with `RunStage.keep_nonce`.

        Raises:
            OSError: the string cannot be read, for example because this host has no access to the stage.
        """

    def write_proof(self, content: str) -> str:
        """Store a string to prove that this process can write to the stage, and return the name of its file.

        The driver passes this name to `RunStage.take_proof`.

        Raises:
            OSError: the string cannot be stored.
        """

    def forget_proof(self, name: str) -> None:
        """Remove the file that `write_proof` stored under this name.

        Raises:
            OSError: the file cannot be removed.
        """

    def find_changed(self, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
        """Return the staged files that differ from their writers' reports, as pairs of path and difference.

        Args:
            files: the staged files, with their reported sizes, row counts and checksums.
            reads_all: whether to read each file and compare its checksum, in addition to its size. Files without a
                reported checksum then count as different. Otherwise, the size and the row count in the Parquet footer
                are compared.
        """

    def join_groups(self, groups: Sequence[Sequence[StagedFile]]) -> list[StagedFile | None]:
        """Join the files of each group into a new file, with the same rows in the same order.

        The original files are kept. After a crash, the stage may contain joined files that are never used.

        Returns:
            the joined files. A file is None if its group cannot be joined, for example because a file was changed.
        """


class RunStage(Protocol):
    """The part of a stage that the driver uses. A driver may change the stage only while holding the stage's lock.

    A stage survives a driver crash, so the run can be resumed.
    """

    @property
    def location(self) -> str:
        """The location of the stage, for messages and for the run record."""

    def is_there(self) -> bool:
        """Return whether the stage exists."""

    def for_tasks(
        self, partition_by: tuple[str, ...] = (), left_out: tuple[str, ...] = (), file_bytes: int | None = None
    ) -> TaskStage:
        """Return the part of the stage that the tasks use, for rows with the given partition columns.

        Args:
            partition_by: partition columns. Their values are not written to the files but stored in the names of
                folders, such as ``name=value``.
            left_out: additional columns that are not written, because the published files' paths contain their values.
            file_bytes: approximate maximum size of a file, or None if files may have any size.
        """

    def keep_nonce(self) -> str:
        """Return a random string that identifies this stage. The first call stores it in the stage.

        A process that reads the same string has access to the driver's stage, and not to a different folder that has
        the same path on another host.
        """

    def take_proof(self, name: str) -> str:
        """Return the string that a worker stored with `TaskStage.write_proof`, and remove its file.

        Raises:
            OSError: the driver cannot read or cannot remove the file.
        """

    def keep_plan(self, mini_batches: pa.Table) -> dict[int, int]:
        """Store the planned mini-batches or, if a plan is already stored, check that it has the same mini-batches.

        After a crash or an `OSError`, the plan is stored completely or not at all.

        Returns:
            the number of planned files per work unit, keyed by unit number. A previously stored plan keeps its work
            units.

        Raises:
            SinkError: the stored plan was modified, or has different mini-batches.
            LineageError: another version of sparkscore stored the plan in a different format.
        """

    def keep_parts(self, parts: pa.Table, rows_of_files: Mapping[str, int]) -> dict[int, int]:
        """Store the planned parts of files or, if parts are already stored, check that they have the same rows.

        After a crash or an `OSError`, the parts are stored completely or not at all.

        Args:
            parts: the parts of each work unit, from `sparkscore.row_units.plan_row_units`.
            rows_of_files: the number of rows of each file of the input.

        Returns:
            the number of planned rows per work unit, keyed by unit number. Parts that were stored before keep their
            work units.

        Raises:
            SinkError: the stored parts were modified, or have different rows.
            LineageError: another version of sparkscore stored the parts in a different format.
        """

    def kept(self, decision: Decision) -> bytes | None:
        """Return a stored finding, for example the result columns, or None if `keep` has not stored it.

        Raises:
            SinkError: the stored content was modified.
        """

    def keep(self, decision: Decision, content: bytes) -> None:
        """Store a finding, for example the result columns, so that a resumed run can use it again.

        After a crash or an `OSError`, the stage contains either the old or the new content.
        """

    def keep_model(self, files: Path, sha256: str) -> Path:
        """Copy a model into the stage, unless it was copied before, and return the path of the copy.

        After a crash or an `OSError`, the copy is either complete or does not exist under its name.

        Args:
            files: path of the model's file or folder.
            sha256: digest of the model.
        """

    def keep_archive(self, archive: Path) -> Path:
        """Copy a packed Python environment into the stage and return the path of the copy.

        If the stage already contains a file with that name, the file is kept and its path is returned. After a crash or
        an `OSError`, the copy is either complete or does not exist under its name.
        """

    @property
    def work_folder(self) -> str:
        """The folder in which workers unpack scripts, each into a subfolder with a random name."""

    def done_units(self, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
        """Return the reports of each work unit whose chunks are all finished and undamaged, keyed by unit number.

        A chunk is damaged if its reports were modified, or if one of its data files is missing or has a different size.
        A work unit with a damaged chunk is omitted. The reports of its first damaged chunk are removed, and its later
        chunks are not checked. Modified reports are logged as a warning.

        Args:
            planned: number of planned items per work unit, keyed by unit number.
        """

    def count_chunks(self) -> int:
        """Return the number of chunks whose reports are stored in the stage, without checking the reports."""

    def forget_chunks_of(self, files: Collection[str]) -> None:
        """Remove the stored reports of each chunk that contains any of the given files.

        These chunks are then scored again. Reports that were modified are removed as well. The call can be repeated.

        Args:
            files: paths of staged files, relative to the stage.
        """

    def read_progress(self) -> ItemsDone:
        """Return how many items the tasks have processed so far, in total. The numbers may be slightly out of date."""

    def forget_progress(self, kept: Collection[int]) -> None:
        """Remove the stop request and the progress of an earlier execution of the run.

        Args:
            kept: numbers of the finished work units, whose progress is kept.
        """

    def ask_to_stop(self) -> None:
        """Ask all tasks to stop, which sets `TaskProgress.is_stopped`. Any `OSError` is ignored."""
