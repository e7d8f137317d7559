"""A run's stage as a folder of files that the driver and all workers can read and write.

Runs on the driver and the workers.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.parquet import FilePart
from sparkscore.stage import chunks, layout
from sparkscore.stage.checksums import changed_note, find_changed, read_sealed, sealed
from sparkscore.stage.copies import copy_once
from sparkscore.stage.joining import join_groups
from sparkscore.stage.parts_file import read_parts, read_planned_parts, write_parts
from sparkscore.stage.plan_file import count_files, is_plan_of, read_planned_mini_batches, write_plan
from sparkscore.stage.progress import ItemsDone, ProgressFile, ask_to_stop, forget_progress, read_progress
from sparkscore.stage.report import MiniBatchReport, StagedFile
from sparkscore.stage.run_stage import Decision
from sparkscore.stage.surroundings import here, open_store
from sparkscore.stage.writer import StageWriter


class StageFolder:
    """A stage's folder, as used by the driver: implements `sparkscore.stage.run_stage.RunStage`.

    Attributes:
        path: path of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def location(self) -> str:
        """The path of the stage's folder, as a string."""
        return str(self.path)

    def is_there(self) -> bool:
        """Return whether the stage's folder exists."""
        return self.path.is_dir()

    def for_tasks(
        self, partition_by: tuple[str, ...] = (), left_out: tuple[str, ...] = (), file_bytes: int | None = None
    ) -> TaskFolder:
        """Return the part of this stage that tasks use.

        See `sparkscore.stage.run_stage.RunStage.for_tasks` for the arguments.
        """
        return TaskFolder(str(self.path), partition_by, left_out, file_bytes)

    def keep_nonce(self) -> str:
        """Return the content of the stage's ``nonce`` file. The first call writes the file."""
        store = open_store(self.path)
        store.put_new(layout.NONCE, here().token().encode())
        return store.read(layout.NONCE).decode(errors="replace")

    def take_proof(self, name: str) -> str:
        """Return the content of a file that a worker wrote with `write_proof`, and remove the file.

        The folder of these files is removed as well if it is now empty.
        """
        store = open_store(self.path)
        content = store.read(name).decode(errors="replace")
        store.delete(name)
        store.drop(layout.HOSTS)
        return content

    def keep_plan(self, mini_batches: pa.Table) -> dict[int, int]:
        """Write the plan file if there is none, and return the number of files per work unit.

        Raises:
            SinkError: there is a plan file, but it was modified or contains different mini-batches.
            LineageError: another version of sparkscore wrote the plan file in a different format.
        """
        file = str(self.path / layout.PLAN)
        if open_store(self.path).find(layout.PLAN) is None:
            write_plan(file, mini_batches)
        elif not is_plan_of(file, mini_batches):
            raise changed_note(file)
        return count_files(file)

    def keep_parts(self, parts: pa.Table, rows_of_files: Mapping[str, int]) -> dict[int, int]:
        """Write the parts file if there is none, and return the number of rows per work unit.

        Raises:
            SinkError: there is a parts file, but it was modified or does not have the rows of the input.
            LineageError: another version of sparkscore wrote the parts file in a different format.
        """
        file = str(self.path / layout.PARTS)
        if open_store(self.path).find(layout.PARTS) is None:
            write_parts(file, parts)
        rows = read_parts(file, rows_of_files)
        if rows is None:
            raise changed_note(file)
        return rows

    def kept(self, decision: Decision) -> bytes | None:
        """Return what `keep` stored for a decision, for example the result columns, or None if it stored nothing.

        Raises:
            SinkError: the content does not match the checksum.
        """
        store = open_store(self.path)
        return None if store.find(decision) is None else read_sealed(store, decision)

    def keep(self, decision: Decision, content: bytes) -> None:
        """Store a decision of the run, for example the result columns, in a file that ends with a checksum."""
        open_store(self.path).put(decision, sealed(content))

    def keep_model(self, files: Path, sha256: str) -> Path:
        """Copy a model into the stage, unless it was copied before, and return the path of the copy.

        The copy's folder is named after the model's digest.
        """
        return copy_once(files, self.path, f"{layout.MODELS}/{sha256}")

    def keep_archive(self, archive: Path) -> Path:
        """Copy a packed Python environment into the stage and return the path of the copy.

        If the stage already contains a file with that name, the file is kept and its path is returned.
        """
        return copy_once(archive, self.path, layout.ARCHIVES)

    @property
    def work_folder(self) -> str:
        """The path of the stage's folder, in which workers create a subfolder for each script that they unpack."""
        return str(self.path)

    def done_units(self, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
        """Return the reports of each work unit whose chunks are all finished and undamaged, keyed by unit number.

        A chunk is damaged if its chunk file was modified, or if one of its data files is missing or has a different
        size. The chunk file is then removed, and the work unit is omitted.

        Args:
            planned: number of planned items per work unit, keyed by unit number.
        """
        return chunks.read_done_units(self.path, planned)

    def count_chunks(self) -> int:
        """Return the number of chunk files in the stage, without checking their contents."""
        return chunks.count_chunks(self.path)

    def forget_chunks_of(self, files: Collection[str]) -> None:
        """Remove the chunk files that list any of the given data files.

        A resumed run then scores these chunks again. Chunk files that were modified are removed as well.

        Args:
            files: paths of the data files, relative to the stage.
        """
        chunks.forget_chunks_of(self.path, files)

    def read_progress(self) -> ItemsDone:
        """Return the totals of all tasks' progress files."""
        return read_progress(str(self.path))

    def forget_progress(self, kept: Collection[int]) -> None:
        """Remove the file that asks all tasks to stop, and the progress files of an earlier execution of the run.

        Args:
            kept: numbers of the finished work units, whose progress files are kept.
        """
        forget_progress(str(self.path), kept)

    def ask_to_stop(self) -> None:
        """Create the file that asks all tasks to stop. Any `OSError` is ignored."""
        ask_to_stop(str(self.path))


@dataclass(frozen=True)
class TaskFolder:
    """A stage's folder, as used by tasks: implements `sparkscore.stage.run_stage.TaskStage`.

    Attributes:
        folder: path of the run's stage, the same on the driver and on all workers.
        partition_by: partition columns, whose values are written to folder names ``name=value`` instead of the files.
        left_out: additional columns that are not stored in the files, because the paths of the published files contain
            their values.
        file_bytes: approximate maximum size of a file, or None if files may have any size.
    """

    folder: str
    partition_by: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    file_bytes: int | None = None

    def planned(self, units: Iterable[int]) -> Iterator[MiniBatch]:
        """Return an iterator over the plan file's mini-batches for the given work units."""
        return read_planned_mini_batches(str(Path(self.folder) / layout.PLAN), units)

    def planned_parts(self, units: Iterable[int]) -> Iterator[FilePart]:
        """Return an iterator over the parts of files in the parts file for the given work units."""
        return read_planned_parts(str(Path(self.folder) / layout.PARTS), units)

    def done_chunk(self, unit: int, first: int) -> list[MiniBatchReport]:
        """Return the reports in a chunk file, or an empty list if the file does not exist.

        If one of the chunk's data files is missing, or its size differs from the reported size, the chunk file is
        removed and an empty list is returned.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.

        Raises:
            SinkError: the chunk file was modified. It is removed.
        """
        return chunks.read_chunk(self.folder, unit, first)

    @contextmanager
    def open_chunk(self, unit: int) -> Iterator[FolderChunk]:
        """Yield a writer for one chunk's rows. No other task attempt writes to the same folders.

        If `self.left_out` is not empty, quarantine rows are written without the ``run_id`` column, because the
        published Parquet files' paths contain the run id.

        Args:
            unit: number of the work unit.
        """
        of_run = ("run_id",) if self.left_out else ()
        keys, left_out, size = self.partition_by, self.left_out, self.file_bytes
        with (
            StageWriter(self.folder, unit, partition_by=keys, left_out=left_out, file_bytes=size) as result,
            StageWriter(self.folder, unit, layout.QUARANTINE, left_out=of_run, file_bytes=size) as quarantine,
        ):
            yield FolderChunk(result, quarantine)

    def keep_chunk(self, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
        """Write a chunk's reports to its chunk file, unless the file exists.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.
            reports: reports of the chunk's mini-batches, in order. The last report lists the chunk's data files.
        """
        chunks.write_chunk(self.folder, unit, first, reports)

    def forget_chunk(self, unit: int, first: int) -> None:
        """Remove a chunk file. The chunk's mini-batches are then scored again.

        Args:
            unit: number of the work unit.
            first: number of the chunk's first mini-batch within its work unit.
        """
        chunks.forget_chunk(self.folder, unit, first)

    def progress_of(self, unit: int) -> ProgressFile:
        """Return the progress file of a work unit's task."""
        return ProgressFile(self.folder, unit)

    @property
    def location(self) -> str:
        """The path of the stage's folder."""
        return self.folder

    def nonce(self) -> str:
        """Return the content of the stage's ``nonce`` file, which the driver wrote."""
        return open_store(self.folder).read(layout.NONCE).decode(errors="replace")

    def write_proof(self, content: str) -> str:
        """Write a file with this content and a random name into the stage, and return the name.

        A driver that finds the file in its stage knows that this process can write to the same stage.
        """
        name = layout.proof(here().token())
        open_store(self.folder).put(name, content.encode(), is_durable=False)
        return name

    def forget_proof(self, name: str) -> None:
        """Remove a file that `write_proof` wrote."""
        open_store(self.folder).delete(name)

    def find_changed(self, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
        """Return the staged files that differ from their writers' reports, as pairs of path and difference.

        See `sparkscore.stage.run_stage.TaskStage.find_changed` for the arguments.
        """
        return find_changed(Path(self.folder), files, reads_all=reads_all)

    def join_groups(self, groups: Sequence[Sequence[StagedFile]]) -> list[StagedFile | None]:
        """Join each group of files into one file. Return the new files, with None for a group that cannot be joined."""
        return join_groups(self.folder, groups)


@dataclass(frozen=True)
class FolderChunk:
    """The writers for the rows of a chunk that is being scored: one for the result, one for the quarantine."""

    _result: StageWriter
    _quarantine: StageWriter

    def write(self, rows: pa.Table) -> None:
        """Add result rows to the chunk."""
        self._result.write(rows)

    def quarantine(self, rows: pa.Table) -> None:
        """Add quarantine rows to the chunk: the failed items, with their reasons."""
        self._quarantine.write(rows)

    def finish(self) -> tuple[tuple[StagedFile, ...], tuple[StagedFile, ...]]:
        """Write the buffered rows, close all files, and return the result files and the quarantine files."""
        return self._result.finish(), self._quarantine.finish()


def note_run_folder(stage: Path, run_folder: Path | None) -> None:
    """Store the path of the run's folder in a stage, unless it is None or already stored there.

    With this path, ``sparkscore clean`` finds the run's record even if it is called with a different runs folder.
    """
    if run_folder is not None and noted_run_folder(stage) != run_folder:
        open_store(stage).put(layout.RUN, os.fsencode(run_folder))


def noted_run_folder(stage: Path) -> Path | None:
    """Return the path that `note_run_folder` stored in a stage, or None if it cannot be read."""
    try:
        return Path(os.fsdecode(open_store(stage).read(layout.RUN)))
    except OSError:
        return None
