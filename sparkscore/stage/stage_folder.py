"""A stage as files in a folder that the driver and all workers see: `RunStage` and `TaskStage` (driver and worker)."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.stage import chunks, layout
from sparkscore.stage.checksums import changed_note, find_changed, read_sealed, sealed
from sparkscore.stage.copies import copy_once
from sparkscore.stage.plan_file import count_mini_batches, is_plan_of, read_planned_mini_batches, write_plan
from sparkscore.stage.progress import ItemsDone, ProgressFile, ask_to_stop, forget_progress, read_progress
from sparkscore.stage.report import MiniBatchReport, StagedFile
from sparkscore.stage.run_stage import Decision
from sparkscore.stage.surroundings import open_store
from sparkscore.stage.writer import StageWriter


class StageFolder:
    """The driver's part: `sparkscore.stage.run_stage.RunStage` in files.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def location(self) -> str:
        """The path of the folder."""
        return str(self.path)

    def is_there(self) -> bool:
        """Whether the folder exists."""
        return self.path.is_dir()

    def for_tasks(self, partition_by: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> TaskFolder:
        """Return the folder as tasks use it."""
        return TaskFolder(str(self.path), partition_by, left_out)

    def keep_plan(self, mini_batches: pa.Table) -> dict[int, int]:
        """Write the plan file if there is none, and return the number of mini-batches by work unit."""
        file = str(self.path / layout.PLAN)
        if open_store(self.path).find(layout.PLAN) is None:
            write_plan(file, mini_batches)
        elif not is_plan_of(file, mini_batches):
            raise changed_note(file)
        return count_mini_batches(file)

    def kept(self, decision: Decision) -> bytes | None:
        """Read the file of a decision, which ends with its checksum."""
        store = open_store(self.path)
        return None if store.find(decision) is None else read_sealed(store, decision)

    def keep(self, decision: Decision, content: bytes) -> None:
        """Write the file of a decision."""
        open_store(self.path).put(decision, sealed(content))

    def keep_model(self, files: Path, sha256: str) -> Path:
        """Copy a model into a folder that is named by its digest."""
        return copy_once(files, self.path, f"{layout.MODELS}/{sha256}")

    def keep_archive(self, archive: Path) -> Path:
        """Copy a packed environment into its folder."""
        return copy_once(archive, self.path, layout.ARCHIVES)

    @property
    def work_folder(self) -> str:
        """The path of the folder itself."""
        return str(self.path)

    def done_units(self, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
        """Read the chunks of the work units that are done."""
        return chunks.read_done_units(self.path, planned)

    def count_chunks(self) -> int:
        """Count the files of chunks."""
        return chunks.count_chunks(self.path)

    def forget_chunks_of(self, files: Collection[str]) -> None:
        """Remove the files of the chunks that name one of these files."""
        chunks.forget_chunks_of(self.path, files)

    def read_progress(self) -> ItemsDone:
        """Add up the tasks' progress files."""
        return read_progress(str(self.path))

    def forget_progress(self, kept: Collection[int]) -> None:
        """Remove progress files and the request to stop."""
        forget_progress(str(self.path), kept)

    def ask_to_stop(self) -> None:
        """Make the file that asks tasks to stop."""
        ask_to_stop(str(self.path))


@dataclass(frozen=True)
class TaskFolder:
    """The tasks' part: `sparkscore.stage.run_stage.TaskStage` in files.

    Attributes:
        folder: the run's stage, under the path by which all workers and the driver reach it.
        partition_by: columns laid out as folders ``name=value``; empty if the publisher lays them out.
        left_out: columns that are not stored, because the location of the published files tells their values.
    """

    folder: str
    partition_by: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def planned(self, units: Iterable[int]) -> Iterator[MiniBatch]:
        """Read the row groups of work units from the plan file."""
        return read_planned_mini_batches(str(Path(self.folder) / layout.PLAN), units)

    def done_chunk(self, unit: int, first: int) -> list[MiniBatchReport]:
        """Read the file of a chunk, and check the sizes of the files that it names."""
        return chunks.read_chunk(self.folder, unit, first)

    @contextmanager
    def open_chunk(self, unit: int) -> Iterator[FolderChunk]:
        """Yield a writer for the rows of a chunk. Its files are in folders that no other task attempt uses."""
        of_run = ("run_id",) if self.left_out else ()
        with (
            StageWriter(self.folder, unit, partition_by=self.partition_by, left_out=self.left_out) as result,
            StageWriter(self.folder, unit, layout.QUARANTINE, left_out=of_run) as quarantine,
        ):
            yield FolderChunk(result, quarantine)

    def keep_chunk(self, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
        """Write the file of a chunk, unless it exists."""
        chunks.write_chunk(self.folder, unit, first, reports)

    def forget_chunk(self, unit: int, first: int) -> None:
        """Remove the file of a chunk."""
        chunks.forget_chunk(self.folder, unit, first)

    def progress_of(self, unit: int) -> ProgressFile:
        """Return the task's progress file."""
        return ProgressFile(self.folder, unit)

    def find_changed(self, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
        """Compare staged files with what their writers reported."""
        return find_changed(Path(self.folder), files, reads_all=reads_all)


@dataclass(frozen=True)
class FolderChunk:
    """The two writers of a chunk that is being scored: one for the result, one for the quarantine."""

    _result: StageWriter
    _quarantine: StageWriter

    def write(self, rows: pa.Table) -> None:
        """Add rows of the result."""
        self._result.write(rows)

    def quarantine(self, rows: pa.Table) -> None:
        """Add rows of the quarantine."""
        self._quarantine.write(rows)

    def finish(self) -> tuple[tuple[StagedFile, ...], tuple[StagedFile, ...]]:
        """Close all files, and return those of the result and those of the quarantine."""
        return self._result.finish(), self._quarantine.finish()


def note_run_folder(stage: Path, run_folder: Path | None) -> None:
    """Note in a stage where the run's record is, if that is known: `clean` may look in another folder of runs."""
    if run_folder is not None and noted_run_folder(stage) != run_folder:
        open_store(stage).put(layout.RUN, os.fsencode(run_folder))


def noted_run_folder(stage: Path) -> Path | None:
    """Return the path that `note_run_folder` noted, or None if there is no note."""
    try:
        return Path(os.fsdecode(open_store(stage).read(layout.RUN)))
    except OSError:
        return None
