"""Write one line for each SQL statement into the runs folder, and list these lines. Runs on the driver.

The lines are in ``queries.jsonl``, which several processes may write at the same time. This module imports neither
PyArrow nor Spark.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sparkscore.rotating_log import make_room

logger = logging.getLogger("sparkscore")

_FILE: Final = "queries.jsonl"


@dataclass(frozen=True)
class FunctionUse:
    """A function that a statement could use.

    Attributes:
        name: name of the function.
        model_name: name of its model, or None.
        model_version: version of its model, or None.
        rows: number of rows that the function was computed for. None if it is not known, as over Spark Connect. Tasks
            that failed or were stopped early are not in it, and tasks that were repeated may be in it twice.
        failed: number of these rows with an error.
    """

    name: str
    model_name: str | None = None
    model_version: str | None = None
    rows: int | None = None
    failed: int | None = None


@dataclass(frozen=True)
class QueryRecord:
    """What is recorded about one SQL statement. The statement itself is not, because it may contain data.

    Attributes:
        query_id: id of the statement.
        by: which program ran the statement: ``shell`` or ``sql-server``.
        state: COMPLETE, FAIL or ABORT.
        started_at: when the statement began, in UTC, such as ``2026-01-02T03:04:05.678Z``.
        seconds: how long it took, without the start of Spark.
        rows: number of rows of the result, or None if it has no result.
        error: code of the error, or None.
        functions: the functions that the statement could use.
    """

    query_id: str
    by: str
    state: str
    started_at: str
    seconds: float
    rows: int | None = None
    error: str | None = None
    functions: Sequence[FunctionUse] = field(default=())


def make_query_id(now: datetime | None = None) -> str:
    """Return a new id of the form ``query-DATE-TIME-DIGITS``, with six random hexadecimal digits."""
    return f"query-{(now or datetime.now(UTC)):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def append_query(runs: Path, record: QueryRecord) -> None:
    """Add a line to the file of queries. If it cannot be written, a warning is logged.

    Args:
        runs: the runs folder, which is created if it does not exist.
        record: the record of the statement.
    """
    path = runs / _FILE
    line = json.dumps(asdict(record), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        make_room(path)
        # One write at the end of the file, so that lines of several processes do not mix.
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            size = os.fstat(file).st_size
            is_cut = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            os.write(file, b"\n" + line if is_cut else line)
        finally:
            os.close(file)
    except OSError as error:
        logger.warning("the query is not recorded in '%s': %s", path, error.strerror)


def list_queries(runs: Path) -> list[QueryRecord]:
    """Return the records of statements in a runs folder, with the most recently started one first.

    Lines that cannot be read are skipped, and a warning is logged. A full file is kept as ``queries.jsonl.before``,
    whose lines are listed too.
    """
    found, broken = [], 0
    for path in (runs / f"{_FILE}.before", runs / _FILE):
        for line in _lines(path):
            record = _read(line)
            found += [] if record is None else [record]
            broken += record is None
    if broken:
        logger.warning("%d lines of '%s' are not records of queries; they are skipped", broken, runs / _FILE)
    return sorted(found, key=lambda record: record.started_at, reverse=True)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _read(line: bytes) -> QueryRecord | None:
    try:
        content: dict[str, Any] = json.loads(line)
        functions = tuple(FunctionUse(**_known(FunctionUse, use)) for use in content.pop("functions"))
        record = QueryRecord(**_known(QueryRecord, content), functions=functions)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return record if isinstance(record.started_at, str) else None


def _known(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    """Leave out the entries of a later version."""
    return {name: value for name, value in content.items() if name in {each.name for each in fields(kind)}}
