"""Write, read and remove chunks: mini-batches that are scored and stored in the stage.

Runs on the driver and the workers.

A chunk is a sequence of mini-batches of one work unit. Once their rows are staged, the worker writes their reports to a
chunk file in the stage. If the work unit is executed again, by another task attempt or after a driver crash, the
reports are read from this file, and the mini-batches are not scored again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from sparkscore.errors import SinkError
from sparkscore.stage import layout
from sparkscore.stage.checksums import read_sealed, sealed
from sparkscore.stage.report import REPORT_SCHEMA, MiniBatchReport, StagedFile, read_reports, write_reports
from sparkscore.stage.store import EntryType, Store
from sparkscore.stage.surroundings import open_store

logger = logging.getLogger("sparkscore")

_NAME: Final = re.compile(rf"{layout.CHUNKS}/(\d+)-(\d+)")


@dataclass(frozen=True)
class ChunkLimit:
    """The maximum duration and size of a chunk.

    The mini-batch that reaches one of the limits is the last of its chunk. Mini-batches are not divided.

    After a crash, a finished chunk is not scored again if its items' positions in the input are known. The positions of
    files are always known. The positions of rows are known only if Spark reports where it read the rows.

    Attributes:
        seconds: seconds after which a chunk ends, counted from the start of its first mini-batch.
        items: number of items after which a chunk ends, or None if only the time counts.
    """

    seconds: float = 30.0
    items: int | None = None


def write_chunk(stage_folder: str, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
    """Write a chunk's reports to its chunk file, unless the file already exists. Runs on the workers.

    The file exists if another task attempt, or an earlier execution of the run, wrote it.

    Args:
        stage_folder: path of the run's stage.
        unit: number of the work unit.
        first: number of the chunk's first mini-batch within its work unit.
        reports: reports of the chunk's mini-batches, in order. The last report lists the chunk's data files.

    Raises:
        OSError: the file cannot be written, for example because the stage was removed.
    """
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, REPORT_SCHEMA) as writer:
        writer.write_batch(write_reports(reports))
    open_store(stage_folder).put_new(layout.chunk(unit, first), sealed(buffer.getvalue().to_pybytes()))


def read_chunk(stage_folder: str, unit: int, first: int) -> list[MiniBatchReport]:
    """Return the reports of the chunk that begins with the given mini-batch, or an empty list if there is none.

    If one of the chunk's data files is missing, or its size differs from the size recorded in the reports, the chunk
    file is removed and an empty list is returned.

    Args:
        stage_folder: path of the run's stage.
        unit: number of the work unit.
        first: number of the chunk's first mini-batch within its work unit.

    Raises:
        SinkError: the chunk file was modified. It is removed, and the next call returns an empty list.
    """
    store, name = open_store(stage_folder), layout.chunk(unit, first)
    if store.find(name) is None:
        return []
    reports = _read(store, name)
    if all(_is_whole(store, file) for report in reports for file in (*report.staged, *report.quarantined)):
        return reports
    store.delete(name)
    return []


def _read(store: Store, name: str) -> list[MiniBatchReport]:
    try:
        with pa.ipc.open_file(read_sealed(store, name)) as reader:
            return read_reports(reader.read_all())
    except SinkError:
        store.delete(name)
        raise


def _names(store: Store) -> dict[str, re.Match[str]]:
    """Return the regex matches for the names of all chunk files in a stage, keyed by name.

    The groups of each match are the numbers of the work unit and of the chunk's first mini-batch.
    """
    found = ((entry.name, _NAME.fullmatch(entry.name)) for entry in store.entries(layout.CHUNKS))
    return {name: numbers for name, numbers in found if numbers is not None}


def forget_chunks_of(stage_folder: Path, files: Collection[str]) -> None:
    """Remove the chunk files that list any of the given data files. Runs on the driver.

    The mini-batches of these chunks are then scored again. Chunk files that were modified are removed as well. Data
    files are kept.

    Args:
        stage_folder: path of the run's stage.
        files: paths of the data files, relative to the stage.
    """
    store = open_store(stage_folder)
    for name in _names(store):
        with suppress(SinkError):
            reports = _read(store, name)
            named = {file.path for report in reports for file in (*report.staged, *report.quarantined)}
            if named & set(files):
                store.delete(name)


def forget_chunk(stage_folder: str, unit: int, first: int) -> None:
    """Remove a chunk file, if it exists. Data files are kept, but the chunk's mini-batches are scored again.

    Args:
        stage_folder: path of the run's stage.
        unit: number of the work unit.
        first: number of the chunk's first mini-batch within its work unit.
    """
    open_store(stage_folder).delete(layout.chunk(unit, first))


def count_chunks(stage_folder: Path) -> int:
    """Return the number of chunk files in a stage, without checking their contents. Runs on the driver."""
    return len(_names(open_store(stage_folder)))


def read_done_units(stage_folder: Path, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
    """Return the reports of each work unit whose chunks are all finished and undamaged, keyed by unit number.

    A chunk is damaged if its chunk file was modified, or if one of its data files is missing or has a different size.
    The chunk file is then removed, and the work unit is omitted. Later chunks of the work unit are not checked. A
    modified chunk file is logged as a warning.

    Args:
        stage_folder: path of the run's stage.
        planned: number of planned items per work unit, keyed by unit number.
    """
    begun = {int(numbers[1]) for numbers in _names(open_store(stage_folder)).values()}
    units = {unit: _from_its_start(stage_folder, unit) for unit in sorted(begun & set(planned))}
    items = {unit: sum(report.items for report in reports) for unit, reports in units.items()}
    return {unit: reports for unit, reports in units.items() if items[unit] == planned[unit]}


def _from_its_start(stage_folder: Path, unit: int) -> list[MiniBatchReport]:
    reports: list[MiniBatchReport] = []
    try:
        while chunk := read_chunk(str(stage_folder), unit, len(reports)):
            reports += chunk
    except SinkError as error:
        logger.warning("%s; its mini-batches are scored again", error.sentence)
    return reports


def _is_whole(store: Store, file: StagedFile) -> bool:
    found = store.find(file.path)
    return found is not None and found.type is EntryType.FILE and found.size_bytes == file.size_bytes
