"""Chunks: what a task has scored and says so durably, so that nobody scores it again.

A chunk is some consecutive mini-batches of a work unit. When they are staged, the worker writes their reports as one
file into the stage. Whoever tries the unit again, another attempt at the task or the next driver, takes them up.
"""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from sparkscore.errors import SinkError
from sparkscore.removal import remove_file
from sparkscore.stage.checksums import read_sealed, sealed
from sparkscore.stage.layout import CHUNKS
from sparkscore.stage.report import REPORT_SCHEMA, MiniBatchReport, read_reports, write_reports

logger = logging.getLogger("sparkscore")

_NAME: Final = re.compile(r"(\d+)-(\d+)")


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
    path = _path(stage_folder, unit, first)
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, REPORT_SCHEMA) as writer:
        writer.write_batch(write_reports(reports))
    with unfinished.open("wb") as file:
        file.write(sealed(buffer.getvalue().to_pybytes()))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(unfinished, path)
    remove_file(unfinished)


def read_chunk(stage_folder: str, unit: int, first: int) -> list[MiniBatchReport]:
    """Give the reports of the chunk that begins there, as long as its files are; nothing where there is none.

    Raises:
        SinkError: the reports are not as they were written; the chunk is forgotten, so that it is scored again.
    """
    path = _path(stage_folder, unit, first)
    if not path.exists():
        return []
    reports = _read(path)
    files = [file for report in reports for file in (*report.staged, *report.quarantined)]
    if all(_is_whole(Path(stage_folder) / file.path, file.size_bytes) for file in files):
        return reports
    remove_file(path)
    return []


def _read(path: Path) -> list[MiniBatchReport]:
    try:
        with pa.ipc.open_file(read_sealed(path)) as reader:
            return read_reports(reader.read_all())
    except SinkError:
        remove_file(path)
        raise


def forget_chunks_of(stage_folder: Path, files: Collection[str]) -> None:
    """Forget the chunks that name one of these staged files: their mini-batches are scored again (driver)."""
    for path in (stage_folder / CHUNKS).glob("[0-9]*"):
        with suppress(SinkError):
            reports = _read(path)
            named = {file.path for report in reports for file in (*report.staged, *report.quarantined)}
            if named & set(files):
                remove_file(path)


def forget_chunk(stage_folder: str, unit: int, first: int) -> None:
    """Remove a chunk that does not belong to the rows that came: they are scored when the task is tried again."""
    remove_file(_path(stage_folder, unit, first))


def count_chunks(stage_folder: Path) -> int:
    """Tell how many chunks are done (driver)."""
    return sum(1 for _ in (stage_folder / CHUNKS).glob("[0-9]*"))


def read_done_units(stage_folder: Path, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
    """Give the reports of the units whose mini-batches are all done (driver).

    Args:
        stage_folder: the run's stage.
        planned: number of mini-batches by unit.
    """
    begun = {int(name[1]) for path in (stage_folder / CHUNKS).glob("[0-9]*") if (name := _NAME.fullmatch(path.name))}
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


def _path(stage_folder: str, unit: int, first: int) -> Path:
    return Path(stage_folder) / CHUNKS / f"{unit}-{first}"


def _is_whole(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes
