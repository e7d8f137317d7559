"""Find the runs folder, and read the records in it. Runs on the driver.

This module imports neither PyArrow nor Spark, and Pydantic only to read whole records, so that ``sparkscore runs``
responds quickly.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import RunNotFoundError
from sparkscore.record.run_ids import check_run_id, is_run_id
from sparkscore.record.shape import read_json

if TYPE_CHECKING:
    from sparkscore.record.run_record import RunRecord

logger = logging.getLogger("sparkscore")

RUNS_VARIABLE: Final = "SPARKSCORE_RUNS"
_LONGEST_RECORD: Final = 64 * 1024 * 1024


class RunInBrief(NamedTuple):
    """What a list of runs shows of a run, from its record."""

    run_id: str
    state: str
    started_at: str
    scored: int
    failed: int
    location: str | None


_RecordT = TypeVar("_RecordT", "RunRecord", RunInBrief)


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
    return _newest_first(runs, record_of)


def list_in_brief(runs: Path) -> list[RunInBrief]:
    """Return what a list shows of the runs in a runs folder, with the most recently started run first.

    Of each record, only the values that are returned are checked. What cannot be read is skipped, as in `list_records`.
    """
    return _newest_first(runs, _brief_of)


def _newest_first(runs: Path, read: Callable[[Path, str], _RecordT | None]) -> list[_RecordT]:
    records = []
    for path in sorted(runs.glob("*/record.json")):
        run_id = path.parent.name
        record = read(path.parent, run_id) if is_run_id(run_id) else None
        if record is not None:
            records.append(record)
        else:
            logger.warning("'%s' is not the record of a run; it is skipped", path)
    return sorted(records, key=lambda record: record.started_at, reverse=True)


def _brief_of(folder: Path, run_id: str) -> RunInBrief | None:
    content = read_json(folder / "record.json", _LONGEST_RECORD)
    try:
        found = None if content is None else _brief_in(content)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return found if found is not None and found.run_id == run_id else None


def _brief_in(content: Mapping[str, Any]) -> RunInBrief:
    """Return what a list shows of a record.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: a value is missing or has another type.
    """
    counts, location = content["counts"], content["output"].get("location")
    datetime.fromisoformat(content["started_at"])
    found = RunInBrief(
        content["run_id"], content["state"], content["started_at"], counts["scored"], counts["failed"], location
    )
    # Not isinstance: in Python, True is an integer.
    if (
        type(found.state) is str
        and type(found.scored) is type(found.failed) is int
        and type(location) in {str, NoneType}
    ):
        return found
    raise TypeError("a value has another type")


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
    from sparkscore.record.run_record import record_in  # noqa: PLC0415 - its models take longer than a whole command

    content = read_json(folder / "record.json", _LONGEST_RECORD)
    return None if content is None else record_in(content, run_id)
