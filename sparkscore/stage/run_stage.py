"""The protocols of a run's stage: `TaskStage` for the tasks and `RunStage` for the driver (driver and worker).

`sparkscore.stage.stage_folder` implements both with files. The docstrings of methods that store something say what the
stage contains after a crash of the process or after an `OSError`. A call that raises an `OSError` may have succeeded
nevertheless, for example if a network file system lost only the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.stage.layout import NULLS, PROBE
from sparkscore.stage.progress import ItemsDone
from sparkscore.stage.report import MiniBatchReport, StagedFile


class Decision(StrEnum):
    """What a run finds out once and stores in its stage, so that it stays the same when the run is resumed.

    Attributes:
        PROBE: the columns of the result, as the probe found them.
        NULLS: for integer and boolean columns of the input, whether they have a NULL.
    """

    PROBE = PROBE
    NULLS = NULLS


class ChunkWriter(Protocol):
    """Writes the rows of one chunk into the stage.

    Only files that a report lists are published. After a crash or an `OSError`, the stage may have files that no report
    lists. These files are ignored.
    """

    def write(self, rows: pa.Table) -> None:
        """Add rows of the result to the chunk."""

    def quarantine(self, rows: pa.Table) -> None:
        """Add rows for the quarantine table to the chunk: the failed items with their reasons."""

    def finish(self) -> tuple[tuple[StagedFile, ...], tuple[StagedFile, ...]]:
        """Write all rows that were added, and return the files of the result and the files of the quarantine."""


class TaskProgress(Protocol):
    """Counts how many items a task has done, and shows the numbers to the driver.

    The methods raise no `OSError`: a mini-batch that was scored must not fail because it cannot be counted.

    Attributes:
        is_stopped: whether the driver has asked all tasks to stop. The value may be out of date.
    """

    is_stopped: bool

    def add(self, items: int, failed: int) -> None:
        """Count the items of a mini-batch that is done.

        Args:
            items: number of items in the mini-batch.
            failed: number of these items that failed.
        """

    def close(self) -> None:
        """Make the final numbers of the task visible to the driver."""


class TaskStage(Protocol):
    """The part of a stage that tasks use. It can be pickled, because Spark sends it to the workers.

    Several task attempts may use it at the same time, even for the same work unit.
    """

    def planned(self, units: Iterable[int]) -> Iterator[MiniBatch]:
        """Return an iterator over the planned mini-batches of the given work units, one work unit after the other."""

    def done_chunk(self, unit: int, first: int) -> list[MiniBatchReport]:
        """Return the reports of the chunk that begins with the given mini-batch, or an empty list if there is none.

        If a file with rows of the chunk is missing or does not have the size that was reported, the stored reports of
        the chunk are removed, and the list is empty. After a crash or an `OSError`, the call can be repeated.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.

        Raises:
            SinkError: the reports were changed since they were stored. They are removed.
        """

    def open_chunk(self, unit: int) -> AbstractContextManager[ChunkWriter]:
        """Return a context manager with a writer for the rows of one chunk.

        No other task attempt writes to the files of this writer.

        Args:
            unit: number of the work unit.
        """

    def keep_chunk(self, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
        """Store the reports of a chunk, so that its mini-batches are not scored again.

        If another task attempt has already stored reports of this chunk, those reports stay. After a crash or an
        `OSError`, the reports are stored completely or not at all.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.
            reports: the reports of the chunk's mini-batches, in order. The last report lists the chunk's files.
        """

    def forget_chunk(self, unit: int, first: int) -> None:
        """Remove the stored reports of a chunk, so that its mini-batches are scored again. The call can be repeated.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.
        """

    def progress_of(self, unit: int) -> TaskProgress:
        """Return an object with which the task of a work unit shows the driver how many items are done."""

    def find_changed(self, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
        """Return the staged files that differ from what their writers reported, as pairs of path and difference.

        Args:
            files: the staged files, with the sizes, row counts and checksums that their writers reported.
            reads_all: whether to read each file and compare its checksum, in addition to its size. A file for which no
                checksum was reported then counts as different. Otherwise, the size of the file and the number of rows
                in its Parquet footer are compared.
        """


class RunStage(Protocol):
    """The part of a stage that the driver uses. A driver may change the stage only while it holds the stage's lock.

    The content of a stage survives a crash of the driver, so that the run can be resumed.
    """

    @property
    def location(self) -> str:
        """The location of the stage, for messages and for the run record."""

    def is_there(self) -> bool:
        """Return whether the stage exists."""

    def for_tasks(self, partition_by: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> TaskStage:
        """Return the part of the stage that the tasks use.

        Args:
            partition_by: partition columns. Their values are written into the names of folders ``name=value`` and not
                into the files.
            left_out: further columns that are not written, because the path of the published files contains their
                values.
        """

    def keep_plan(self, mini_batches: pa.Table) -> dict[int, int]:
        """Store the planned mini-batches, or check that a stored plan has the same mini-batches.

        After a crash or an `OSError`, the plan is stored completely or not at all.

        Returns:
            the number of planned mini-batches in each work unit, keyed by unit number. If a plan was stored before, the
            work units are those of that plan.

        Raises:
            SinkError: the stored plan was changed, or it has different mini-batches.
            LineageError: another version of sparkscore stored the plan in a different format.
        """

    def kept(self, decision: Decision) -> bytes | None:
        """Return the content that `keep` stored for a decision, or None if nothing was stored.

        Raises:
            SinkError: the content was changed since it was stored.
        """

    def keep(self, decision: Decision, content: bytes) -> None:
        """Store the content of a decision, for example the columns of the result, for when the run is resumed.

        After a crash or an `OSError`, the stage has the old content or the new content.
        """

    def keep_model(self, files: Path, sha256: str) -> Path:
        """Copy a model into the stage, unless the copy exists, and return the path of the copy.

        After a crash or an `OSError`, the stage has the complete copy, or nothing under the name of the copy.

        Args:
            files: path of the model's file or folder.
            sha256: digest of the model.
        """

    def keep_archive(self, archive: Path) -> Path:
        """Copy a packed Python environment into the stage, and return the path of the copy.

        If the stage has a file with the name of the copy, that file stays, and its path is returned. After a crash or
        an `OSError`, the stage has the complete copy, or nothing under the name of the copy.
        """

    @property
    def work_folder(self) -> str:
        """The folder in which workers unpack scripts. Each script is unpacked into a subfolder with a random name."""

    def done_units(self, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
        """Return the reports of the work units whose mini-batches are all in finished chunks, keyed by unit number.

        A chunk is damaged if its reports were changed, or if a file with its rows is missing or has a different size. A
        work unit with a damaged chunk is left out, and the reports of this chunk are removed. The later chunks of the
        work unit are not checked. If reports were changed, a warning is logged.

        Args:
            planned: number of planned mini-batches in each work unit, keyed by unit number.
        """

    def count_chunks(self) -> int:
        """Return the number of chunks whose reports are stored in the stage. The reports are not checked."""

    def forget_chunks_of(self, files: Collection[str]) -> None:
        """Remove the stored reports of each chunk with any of the given files, so that the chunk is scored again.

        Reports that were changed since they were stored are removed, too. The call can be repeated.

        Args:
            files: paths of staged files, relative to the stage.
        """

    def read_progress(self) -> ItemsDone:
        """Return how many items all tasks have done so far. The numbers may be slightly out of date."""

    def forget_progress(self, kept: Collection[int]) -> None:
        """Remove the request to stop and the progress of an earlier execution of the run.

        Args:
            kept: numbers of the work units that are done. Their progress stays.
        """

    def ask_to_stop(self) -> None:
        """Ask all tasks to stop. A task sees the request in `TaskProgress.is_stopped`. An `OSError` is ignored."""
