"""Say durably that a work unit is done, so that a run that is taken up again does not score it anew.

A worker writes a file for each finished unit into the stage; the driver of the next attempt reads them.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa

from sparkscore.worker.report import REPORT_SCHEMA, MiniBatchReport, read_reports, write_reports

_FOLDER: Final = "done"


def write_done(stage_folder: str, unit: int, reports: Sequence[MiniBatchReport]) -> None:
    """Keep the reports of a finished unit; of two attempts at once the first one counts (worker)."""
    path = Path(stage_folder) / _FOLDER / str(unit)
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{unit}.{uuid.uuid4().hex}")
    with unfinished.open("wb") as file:
        with pa.ipc.new_file(file, REPORT_SCHEMA) as writer:
            writer.write_batch(write_reports(reports))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(unfinished, path)
    unfinished.unlink()


def has_done(stage_folder: Path) -> bool:
    """Tell whether any unit is done (driver)."""
    return any((stage_folder / _FOLDER).glob("[0-9]*"))


def read_done(stage_folder: Path) -> dict[int, list[MiniBatchReport]]:
    """Give the reports of the units that are done, by unit, as long as all their files are there (driver)."""
    found = {}
    for path in (stage_folder / _FOLDER).glob("[0-9]*"):
        with pa.ipc.open_file(path) as reader:
            reports = read_reports(reader.read_all())
        files = [file for report in reports for file in (*report.staged, *report.quarantined)]
        if all(_is_whole(stage_folder / file.path, file.size_bytes) for file in files):
            found[int(path.name)] = reports
        else:
            path.unlink()
    return found


def _is_whole(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes
