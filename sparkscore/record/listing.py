"""Find the runs folder, and read the records in it. Runs on the driver.

This module imports neither PyArrow nor Spark, so that ``sparkscore runs`` responds quickly.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import RunNotFoundError
from sparkscore.record.run_ids import check_run_id, is_run_id
from sparkscore.record.run_record import RunRecord, record_in
from sparkscore.record.shape import read_json

logger = logging.getLogger("sparkscore")

RUNS_VARIABLE: Final = "SPARKSCORE_RUNS"
_LONGEST_RECORD: Final = 64 * 1024 * 1024


def runs_folder(explicit: str | Path | None = None) -> Path:
    """Return the absolute path of the runs folder.

    The path defaults to ``$SPARKSCORE_RUNS``, or to ``./sparkscore-runs`` if that variable is not set.
    """
    return Path(explicit or os.environ.get(RUNS_VARIABLE) or "sparkscore-runs").absolute()


def list_records(runs: Path) -> list[RunRecord]:
    """Return the records in a runs folder, with the most recently started run first.

    If a ``record.json`` cannot be read, or its run id is not the name of its folder, it is skipped and a warning is
    logged. If the runs folder does not exist, the list is empty.
    """
    records = []
    for path in sorted(runs.glob("*/record.json")):
        run_id = path.parent.name
        record = record_of(path.parent, run_id) if is_run_id(run_id) else None
        if record is not None:
            records.append(record)
        else:
            logger.warning("'%s' is not the record of a run; it is skipped", path)
    return sorted(records, key=lambda record: record.started_at, reverse=True)


def read_record(runs: Path, run_id: str) -> RunRecord:
    """Return the record of a run.

    Raises:
        ConfigError: the run id is not valid.
        RunNotFoundError: the runs folder has no readable record of this run.
    """
    record = record_of(runs / check_run_id(run_id), run_id)
    if record is None:
        raise RunNotFoundError(
            code=ErrorCode.RUN_NOT_FOUND,
            what=f"run '{run_id}' in '{runs}'",
            got="no record",
            state="",
            next_step="See 'sparkscore runs list', or name the folder with --runs.",
        )
    return record


def waits_for_publishing(folder: Path) -> bool | None:
    """Return whether a run is held (scored but not published), or None if the runs folder does not exist on this host.

    A run without a readable record is not held.

    Args:
        folder: the run's folder, which may not exist.

    Raises:
        ConfigError: the runs folder exists, but the name of the given folder is not a valid run id.
    """
    if not folder.parent.is_dir():
        return None
    record = record_of(folder, check_run_id(folder.name))
    return record is not None and record.waits_for_publishing


def record_of(folder: Path, run_id: str) -> RunRecord | None:
    """Return the run record from ``record.json``, or None if the file has no readable record of this run.

    Args:
        folder: the run's folder. A ``record.json`` larger than 64 MiB is not read.
        run_id: id of the run.
    """
    content = read_json(folder / "record.json", _LONGEST_RECORD)
    return None if content is None else record_in(content, run_id)
