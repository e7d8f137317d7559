"""A run's stage as a folder of files, which the driver and all workers can read and write (driver and worker)."""

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
    """The part of a stage that the driver uses, as files: implements `sparkscore.stage.run_stage.RunStage`.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def location(self) -> str:
        """The path of the stage's folder."""
        return str(self.path)

    def is_there(self) -> bool:
        """Whether the folder of the stage exists."""
        return self.path.is_dir()

    def for_tasks(self, partition_by: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> TaskFolder:
        """Return the part of this stage that tasks use."""
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
        """Return the content of a decision's file without the checksum at its end, or None if there is no such file."""
        store = open_store(self.path)
        return None if store.find(decision) is None else read_sealed(store, decision)

    def keep(self, decision: Decision, content: bytes) -> None:
        """Write the file of a decision, with a checksum at its end."""
        open_store(self.path).put(decision, sealed(content))

    def keep_model(self, files: Path, sha256: str) -> Path:
        """Copy a model into a folder of the stage that is named by the model's digest."""
        return copy_once(files, self.path, f"{layout.MODELS}/{sha256}")

    def keep_archive(self, archive: Path) -> Path:
        """Copy a packed environment into the stage's folder for environments."""
        return copy_once(archive, self.path, layout.ARCHIVES)

    @property
    def work_folder(self) -> str:
        """The path of the stage's folder, in which workers unpack scripts."""
        return str(self.path)

    def done_units(self, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
        """Return the reports of the work units that are done, from the files of their chunks."""
        return chunks.read_done_units(self.path, planned)

    def count_chunks(self) -> int:
        """Return the number of files of chunks."""
        return chunks.count_chunks(self.path)

    def forget_chunks_of(self, files: Collection[str]) -> None:
        """Remove the files of the chunks that name one of these files."""
        chunks.forget_chunks_of(self.path, files)

    def read_progress(self) -> ItemsDone:
        """Add up the tasks' progress files."""
        return read_progress(str(self.path))

    def forget_progress(self, kept: Collection[int]) -> None:
        """Remove the progress files and the file that asks tasks to stop."""
        forget_progress(str(self.path), kept)

    def ask_to_stop(self) -> None:
        """Write the file that asks tasks to stop."""
        ask_to_stop(str(self.path))


@dataclass(frozen=True)
class TaskFolder:
    """The part of a stage that tasks use, as files: implements `sparkscore.stage.run_stage.TaskStage`.

    Attributes:
        folder: path of the run's stage, the same on the driver and on all workers.
        partition_by: columns laid out as folders ``name=value``; empty if the publisher lays them out.
        left_out: columns that are not stored, because the location of the published files tells their values.
    """

    folder: str
    partition_by: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def planned(self, units: Iterable[int]) -> Iterator[MiniBatch]:
        """Return the mini-batches of these work units from the plan file."""
        return read_planned_mini_batches(str(Path(self.folder) / layout.PLAN), units)

    def done_chunk(self, unit: int, first: int) -> list[MiniBatchReport]:
        """Return the reports in the file of a chunk, after checking the sizes of the files that they name."""
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
        """Write the reports of a chunk into its file, unless the file exists."""
        chunks.write_chunk(self.folder, unit, first, reports)

    def forget_chunk(self, unit: int, first: int) -> None:
        """Remove the file of a chunk."""
        chunks.forget_chunk(self.folder, unit, first)

    def progress_of(self, unit: int) -> ProgressFile:
        """Return the progress file of this task."""
        return ProgressFile(self.folder, unit)

    def find_changed(self, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
        """Return the paths of the staged files that differ from what was reported, each with the difference."""
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
    """Write the path of the run's folder into a stage, because `clean` may be called for another folder of runs."""
    if run_folder is not None and noted_run_folder(stage) != run_folder:
        open_store(stage).put(layout.RUN, os.fsencode(run_folder))


def noted_run_folder(stage: Path) -> Path | None:
    """Return the path of the run's folder that is written in a stage, or None if there is none."""
    try:
        return Path(os.fsdecode(open_store(stage).read(layout.RUN)))
    except OSError:
        return None
