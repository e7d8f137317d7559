"""The protocols of a run's stage: `TaskStage` for the tasks and `RunStage` for the driver (driver and worker).

`sparkscore.stage.stage_folder` implements both with files. No code outside of `sparkscore.stage` and `sparkscore.sinks`
needs the path of a stage. Each method says what it promises after a crash of its process, and after a *lost answer*: an
`OSError` for a call that took effect.
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
    """The names of the decisions that the first attempt at a run makes and that all later attempts follow."""

    PROBE = PROBE
    NULLS = NULLS


class ChunkWriter(Protocol):
    """Writes the rows of one chunk. Rows count only if a report names their file.

    After a crash or a lost answer, rows may be left in the stage that no report names. They do not count.
    """

    def write(self, rows: pa.Table) -> None:
        """Add rows of the result."""

    def quarantine(self, rows: pa.Table) -> None:
        """Add rows of the quarantine."""

    def finish(self) -> tuple[tuple[StagedFile, ...], tuple[StagedFile, ...]]:
        """Write all rows that were added, and return the files of the result and those of the quarantine."""


class TaskProgress(Protocol):
    """Tells the driver how many items a task has done. The methods never raise, because no result depends on them.

    Attributes:
        is_stopped: whether the driver asked all tasks to stop, as far as this task knows.
    """

    is_stopped: bool

    def add(self, items: int, failed: int) -> None:
        """Count a mini-batch that is done."""

    def close(self) -> None:
        """Publish the last count."""


class TaskStage(Protocol):
    """The part of a stage that tasks use. It can be pickled, because Spark sends it to the workers.

    Several attempts at one task may use it at the same time.
    """

    def planned(self, units: Iterable[int]) -> Iterator[MiniBatch]:
        """Return the planned mini-batches of these work units, in the order of the plan."""

    def done_chunk(self, unit: int, first: int) -> list[MiniBatchReport]:
        """Return the reports of the chunk that begins with this mini-batch, or an empty list if it is not done.

        A chunk is done only if all its files have the sizes that were reported. Otherwise the chunk is removed. Calling
        this again after a crash or a lost answer is safe.

        Args:
            unit: the work unit.
            first: number of the mini-batch within its unit.

        Raises:
            SinkError: the reports were changed since they were written. The chunk is removed.
        """

    def open_chunk(self, unit: int) -> AbstractContextManager[ChunkWriter]:
        """Return a writer for the rows of one chunk, which no other task attempt shares."""

    def keep_chunk(self, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
        """Note that a chunk is done. If several attempts at a task do so, the first note stays.

        After a crash or a lost answer the whole chunk is done, or nothing of it. The driver publishes the files that
        are named by the reports which Spark returns; these may be the files of another attempt than the noted one.

        Args:
            unit: the work unit.
            first: number of the chunk's first mini-batch within its unit.
            reports: the reports of its mini-batches, in order. The last one names the chunk's files.
        """

    def forget_chunk(self, unit: int, first: int) -> None:
        """Remove the note that a chunk is done, so that it is scored again. Calling this again is safe."""

    def progress_of(self, unit: int) -> TaskProgress:
        """Return an object that counts the items which this task has done."""

    def find_changed(self, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
        """Return the paths of the files that differ from what their writer reported, each with the difference.

        Args:
            files: the files, as their writers reported them.
            reads_all: whether to read each file and compare its checksum. Otherwise only its size and its footer.
        """


class RunStage(Protocol):
    """The part of a stage that the driver uses. One driver at a time uses it: the one that holds the stage's lock.

    Everything in a stage survives a crash of the driver, so that the next attempt at the run can continue from there.
    """

    @property
    def location(self) -> str:
        """The location of the stage, for messages and for the run record."""

    def is_there(self) -> bool:
        """Whether the stage exists."""

    def for_tasks(self, partition_by: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> TaskStage:
        """Return the part of the stage that the tasks use.

        Args:
            partition_by: columns that are written as folders ``name=value``, not into the files.
            left_out: further columns that are not written, because the published location tells their values.
        """

    def keep_plan(self, mini_batches: pa.Table) -> dict[int, int]:
        """Write the planned mini-batches, or check that the plan of an earlier attempt has the same mini-batches.

        After a crash or a lost answer the stage has the whole plan, or none.

        Returns:
            the number of planned mini-batches by work unit. The work units are those of the first attempt.

        Raises:
            SinkError: the plan in the stage was changed, or it has other mini-batches.
            LineageError: another version of sparkscore wrote the plan in the stage in another format.
        """

    def kept(self, decision: Decision) -> bytes | None:
        """Return the content of a decision that an earlier attempt made, or None if none did.

        Raises:
            SinkError: the content was changed since it was written.
        """

    def keep(self, decision: Decision, content: bytes) -> None:
        """Write a decision, for later attempts at the run.

        After a crash or a lost answer the old content is there, or the new content.
        """

    def keep_model(self, files: Path, sha256: str) -> Path:
        """Copy a model into the stage, unless the copy exists, and return the path of the copy for the workers.

        After a crash or a lost answer the whole copy exists, or nothing under its name.

        Args:
            files: the model's file or folder.
            sha256: its digest.
        """

    def keep_archive(self, archive: Path) -> Path:
        """Copy a packed environment into the stage as `keep_model` does, and return the path of the copy."""

    @property
    def work_folder(self) -> str:
        """The folder in which workers unpack scripts, each into a folder with a random name."""

    def done_units(self, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
        """Return the reports of the work units of which all mini-batches are in chunks that are done.

        Args:
            planned: number of mini-batches by work unit.
        """

    def count_chunks(self) -> int:
        """Return how many chunks are done."""

    def forget_chunks_of(self, files: Collection[str]) -> None:
        """Remove the chunks that name one of these files, so that they are scored again. Calling this again is safe."""

    def read_progress(self) -> ItemsDone:
        """Return how many items all tasks have done so far. The numbers may be a little out of date."""

    def forget_progress(self, kept: Collection[int]) -> None:
        """Remove the progress of an earlier attempt, except for work units that are done, and its request to stop.

        Args:
            kept: the work units that are done.
        """

    def ask_to_stop(self) -> None:
        """Ask all tasks to make no more calls. Never raises: each task also stops by its own failures."""
