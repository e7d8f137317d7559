"""Chunks: mini-batches whose rows and reports are kept in the stage, so that they are not scored again.

A chunk is a sequence of mini-batches of one work unit. After their rows are staged, the worker writes their reports
into the stage as one file. A later attempt at the same work unit, in this run or after a crash of the driver, reads
that file instead of scoring the mini-batches (driver and worker).
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
    """How large a chunk gets. After a crash at most the chunk that a task was scoring is scored again.

    Attributes:
        seconds: time after which a chunk ends, counted from the beginning of its first mini-batch.
        items: number of items after which a chunk ends; None if only the time counts.
    """

    seconds: float = 30.0
    items: int | None = None


def write_chunk(stage_folder: str, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
    """Write the reports of a chunk into the stage, unless another attempt at the chunk did so first (worker).

    Args:
        stage_folder: path of the run's stage.
        unit: the work unit.
        first: number of the chunk's first mini-batch within its unit.
        reports: the reports of its mini-batches, in order. The last one names the chunk's files.
    """
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, REPORT_SCHEMA) as writer:
        writer.write_batch(write_reports(reports))
    open_store(stage_folder).put_new(layout.chunk(unit, first), sealed(buffer.getvalue().to_pybytes()))


def read_chunk(stage_folder: str, unit: int, first: int) -> list[MiniBatchReport]:
    """Return the reports of the chunk that begins with this mini-batch, or an empty list if it is not done.

    A chunk of which a file is missing or has another size is removed, so that it is scored again.

    Raises:
        SinkError: the reports were changed since they were written. The chunk is removed, so that it is scored again.
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
    """Return the names of the chunks in a stage, each with the match that has its numbers."""
    found = ((entry.name, _NAME.fullmatch(entry.name)) for entry in store.entries(layout.CHUNKS))
    return {name: numbers for name, numbers in found if numbers is not None}


def forget_chunks_of(stage_folder: Path, files: Collection[str]) -> None:
    """Remove the chunks that name one of these staged files, so that their mini-batches are scored again (driver)."""
    store = open_store(stage_folder)
    for name in _names(store):
        with suppress(SinkError):
            reports = _read(store, name)
            named = {file.path for report in reports for file in (*report.staged, *report.quarantined)}
            if named & set(files):
                store.delete(name)


def forget_chunk(stage_folder: str, unit: int, first: int) -> None:
    """Remove a chunk, so that its mini-batches are scored again. Does nothing if there is no such chunk."""
    open_store(stage_folder).delete(layout.chunk(unit, first))


def count_chunks(stage_folder: Path) -> int:
    """Return how many chunks are in a stage (driver)."""
    return len(_names(open_store(stage_folder)))


def read_done_units(stage_folder: Path, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
    """Return the reports of the work units of which all mini-batches are in chunks (driver).

    Args:
        stage_folder: path of the run's stage.
        planned: number of mini-batches by work unit.
    """
    begun = {int(numbers[1]) for numbers in _names(open_store(stage_folder)).values()}
    units = {unit: _from_its_start(stage_folder, unit) for unit in sorted(begun & set(planned))}
    return {unit: reports for unit, reports in units.items() if len(reports) == planned[unit]}


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
