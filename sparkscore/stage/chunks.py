"""Chunks: what a task has scored and says so durably, so that nobody scores it again.

A chunk is some consecutive mini-batches of a work unit. When they are staged, the worker writes their reports as one
file into the stage. Whoever tries the unit again, another attempt at the task or the next driver, takes them up.
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
from sparkscore.stage.store import Kind, Store
from sparkscore.stage.surroundings import open_store

logger = logging.getLogger("sparkscore")

_NAME: Final = re.compile(rf"{layout.CHUNKS}/(\d+)-(\d+)")


@dataclass(frozen=True)
class ChunkLimit:
    """When a chunk ends before its work unit does: what is scored after that costs a crash no more.

    Attributes:
        seconds: since its first mini-batch began.
        items: in its mini-batches; None for any number.
    """

    seconds: float = 30.0
    items: int | None = None


def write_chunk(stage_folder: str, unit: int, first: int, reports: Sequence[MiniBatchReport]) -> None:
    """Keep the reports of a chunk; of two attempts at once the first one counts (worker).

    Args:
        stage_folder: the run's stage.
        unit: the work unit.
        first: number of the chunk's first mini-batch in its unit.
        reports: its mini-batches, in order; the last one names the chunk's files.
    """
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, REPORT_SCHEMA) as writer:
        writer.write_batch(write_reports(reports))
    open_store(stage_folder).put_new(layout.chunk(unit, first), sealed(buffer.getvalue().to_pybytes()))


def read_chunk(stage_folder: str, unit: int, first: int) -> list[MiniBatchReport]:
    """Give the reports of the chunk that begins there, as long as its files are; nothing where there is none.

    Raises:
        SinkError: the reports are not as they were written; the chunk is forgotten, so that it is scored again.
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
    """Return the chunks that are there, each with the numbers in its name."""
    found = ((entry.name, _NAME.fullmatch(entry.name)) for entry in store.entries(layout.CHUNKS))
    return {name: numbers for name, numbers in found if numbers is not None}


def forget_chunks_of(stage_folder: Path, files: Collection[str]) -> None:
    """Forget the chunks that name one of these staged files: their mini-batches are scored again (driver)."""
    store = open_store(stage_folder)
    for name in _names(store):
        with suppress(SinkError):
            reports = _read(store, name)
            named = {file.path for report in reports for file in (*report.staged, *report.quarantined)}
            if named & set(files):
                store.delete(name)


def forget_chunk(stage_folder: str, unit: int, first: int) -> None:
    """Remove a chunk that does not belong to the rows that came: they are scored when the task is tried again."""
    open_store(stage_folder).delete(layout.chunk(unit, first))


def count_chunks(stage_folder: Path) -> int:
    """Tell how many chunks are done (driver)."""
    return len(_names(open_store(stage_folder)))


def read_done_units(stage_folder: Path, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
    """Give the reports of the units whose mini-batches are all done (driver).

    Args:
        stage_folder: the run's stage.
        planned: number of mini-batches by unit.
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
    return found is not None and found.kind is Kind.FILE and found.size_bytes == file.size_bytes
