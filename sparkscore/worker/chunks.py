"""Chunks: what a task has scored and says so durably, so that nobody scores it again.

A chunk is some consecutive mini-batches of a work unit. When they are staged, the worker writes their reports as one
file into the stage. Whoever tries the unit again, another attempt at the task or the next driver, takes them up.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from sparkscore.worker.report import REPORT_SCHEMA, MiniBatchReport, read_reports, write_reports

_FOLDER: Final = "done"
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
    with unfinished.open("wb") as file:
        with pa.ipc.new_file(file, REPORT_SCHEMA) as writer:
            writer.write_batch(write_reports(reports))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(unfinished, path)
    unfinished.unlink()


def read_chunk(stage_folder: str, unit: int, first: int) -> list[MiniBatchReport]:
    """Give the reports of the chunk that begins there, as long as its files are; nothing where there is none."""
    path = _path(stage_folder, unit, first)
    if not path.exists():
        return []
    with pa.ipc.open_file(path) as reader:
        reports = read_reports(reader.read_all())
    files = [file for report in reports for file in (*report.staged, *report.quarantined)]
    if all(_is_whole(Path(stage_folder) / file.path, file.size_bytes) for file in files):
        return reports
    path.unlink(missing_ok=True)
    return []


def forget_chunk(stage_folder: str, unit: int, first: int) -> None:
    """Remove a chunk that does not belong to the rows that came: they are scored when the task is tried again."""
    _path(stage_folder, unit, first).unlink(missing_ok=True)


def count_chunks(stage_folder: Path) -> int:
    """Tell how many chunks are done (driver)."""
    return sum(1 for _ in (stage_folder / _FOLDER).glob("[0-9]*"))


def read_done_units(stage_folder: Path, planned: Mapping[int, int]) -> dict[int, list[MiniBatchReport]]:
    """Give the reports of the units whose mini-batches are all done (driver).

    Args:
        stage_folder: the run's stage.
        planned: number of mini-batches by unit.
    """
    begun = {int(name[1]) for path in (stage_folder / _FOLDER).glob("[0-9]*") if (name := _NAME.fullmatch(path.name))}
    units = {unit: _from_its_start(stage_folder, unit) for unit in sorted(begun & set(planned))}
    return {unit: reports for unit, reports in units.items() if len(reports) == planned[unit]}


def _from_its_start(stage_folder: Path, unit: int) -> list[MiniBatchReport]:
    reports: list[MiniBatchReport] = []
    while chunk := read_chunk(str(stage_folder), unit, len(reports)):
        reports += chunk
    return reports


def _path(stage_folder: str, unit: int, first: int) -> Path:
    return Path(stage_folder) / _FOLDER / f"{unit}-{first}"


def _is_whole(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes
