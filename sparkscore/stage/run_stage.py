"""What a run asks of its stage, in the run's own terms: one protocol for the tasks, one for the driver.

`sparkscore.stage.stage_folder` implements both with files. No code outside of `sparkscore.stage` and `sparkscore.sinks`
needs the path of a stage. Each method says what it promises after a crash of its process, and after a *lost answer*: an
`OSError` for a call that took effect (driver and worker).
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
    """A decision that the first attempt at a run makes and that all later attempts follow."""

    PROBE = PROBE
    NULLS = NULLS


class ChunkWriter(Protocol):
    """Writes the rows of one chunk. No row counts before a report names its file.

    After a crash or a lost answer, rows may be left in the stage. No report names them, so they do not count.
    """

    def write(self, rows: pa.Table) -> None:
        """Add rows of the result."""

    def quarantine(self, rows: pa.Table) -> None:
        """Add rows of the quarantine."""

    def finish(self) -> tuple[tuple[StagedFile, ...], tuple[StagedFile, ...]]:
        """Write all rows that were added, and return the files of the result and those of the quarantine."""


class TaskProgress(Protocol):
    """Tells the driver how many items a task has done. Never raises: progress decides nothing.

    Attributes:
        is_stopped: whether the driver asked all tasks to stop, as far as this task knows.
    """

    is_stopped: bool

    def add(self, items: int, failed: int) -> None:
        """Count a mini-batch that is done."""

    def close(self) -> None:
        """Publish the last count."""


class TaskStage(Protocol):
    """The part of a stage that tasks use. A plain value that can be pickled: it travels to the workers.

    Several attempts at one task may use it at the same time.
    """

    def planned(self, units: Iterable[int]) -> Iterator[MiniBatch]:
        """Return the planned mini-batches of work units, in the order of the plan. Only reads."""

    def done_chunk(self, unit: int, first: int) -> list[MiniBatchReport]:
        """Return the reports of the chunk that begins with this mini-batch, or nothing if it is not done.

        A chunk counts as done only if all its files still have the size that was reported. A chunk that is not whole is
        forgotten. Calling this again after a crash or a lost answer is safe.

        Raises:
            SinkError: the reports were changed since they were written; the chunk is forgotten.
        """

    def open_chunk(self, unit: int) -> AbstractContextManager[ChunkWriter]:
        """Return a writer for the rows of one chunk, which no other task attempt shares."""

    def keep_chunk(self, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
        """Note that a chunk is done. If several attempts do, the first one counts.

        After a crash or a lost answer the chunk is done or it is not; it is never done in part. An attempt whose chunk
        does not count may report its own files to the driver all the same: those are the rows that it publishes.

        Args:
            unit: the work unit.
            first: number of the chunk's first mini-batch within its unit.
            reports: the reports of its mini-batches, in order. The last one names the chunk's files.
        """

    def forget_chunk(self, unit: int, first: int) -> None:
        """Make a chunk count as not done, so that its mini-batches are scored again. Calling this again is safe."""

    def progress_of(self, unit: int) -> TaskProgress:
        """Return the counter of the items that this task has done."""

    def find_changed(self, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
        """Return the paths of the files that differ from what their writer reported, each with the difference.

        Args:
            files: the files, as their writers reported them.
            reads_all: whether to read each file and compare its checksum. Otherwise only its size and its footer.
        """


class RunStage(Protocol):
    """The part of a stage that the driver uses. One driver at a time does, because it holds the stage's lock.

    What was kept here survives a crash of the driver: the next attempt at the run finds it, and goes on from there.
    """

    @property
    def location(self) -> str:
        """Where the stage is, for messages and for the run record."""

    def is_there(self) -> bool:
        """Whether there is a stage here."""

    def for_tasks(self, partition_by: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> TaskStage:
        """Return the part of the stage that the tasks use.

        Args:
            partition_by: columns that are written as folders ``name=value``, not into the files.
            left_out: further columns that are not written, because the published location tells their values.
        """

    def keep_plan(self, mini_batches: pa.Table) -> dict[int, int]:
        """Keep the planned mini-batches, or check that the plan of an earlier attempt has the same mini-batches.

        After a crash or a lost answer the plan is kept as a whole, or not at all.

        Returns:
            the number of planned mini-batches by work unit. The units are those of the first attempt.

        Raises:
            SinkError: the kept plan was changed, or it has other mini-batches.
            LineageError: another version of sparkscore wrote the kept plan in another format.
        """

    def kept(self, decision: Decision) -> bytes | None:
        """Return what an earlier attempt decided, or None if none did.

        Raises:
            SinkError: it was changed since it was written.
        """

    def keep(self, decision: Decision, content: bytes) -> None:
        """Keep what was decided. After a crash or a lost answer the old content is there, or the new content."""

    def keep_model(self, files: Path, sha256: str) -> Path:
        """Copy a model into the stage, unless it is there, and return where workers find it.

        After a crash or a lost answer the copy is there as a whole, or not at all under this name.

        Args:
            files: the model's file or folder.
            sha256: its digest.
        """

    def keep_archive(self, archive: Path) -> Path:
        """Copy a packed environment into the stage, unless it is there; the same promises as `keep_model`."""

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
        """Make the chunks count as not done that name one of these files. Calling this again is safe."""

    def read_progress(self) -> ItemsDone:
        """Return how many items all tasks have done so far. It may lag behind, and decides nothing."""

    def forget_progress(self, kept: Collection[int]) -> None:
        """Forget the progress of an earlier attempt, except for the work units that are done, and its request to stop.

        Args:
            kept: the work units that are done.
        """

    def ask_to_stop(self) -> None:
        """Ask all tasks to make no more calls. Never raises: each task also stops by its own failures."""
