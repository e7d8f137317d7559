"""Record each statement with the rows that its functions were computed for. Runs on the driver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sparkscore.errors import code_of
from sparkscore.record.queries import FunctionUse, QueryRecord, append_query, make_query_id
from sparkscore.spark.errors import interrupt_behind
from sparkscore.spark.row_counts import RowCounter
from sparkscore.sql.function import SqlFunction


@dataclass
class StatementNote:
    """What the program that runs a statement notes for its record.

    Attributes:
        rows: number of rows of the result, or None if there is no result.
    """

    rows: int | None = None


@contextmanager
def recorded_statement(
    runs: Path, by: str, functions: Sequence[SqlFunction], counter: RowCounter | None, group: str | None = None
) -> Iterator[StatementNote]:
    """Add a line to the records of queries when the ``with`` block ends, which runs one statement.

    Args:
        runs: the runs folder.
        by: the program that runs the statement, such as ``shell``.
        functions: the functions that the statement can use.
        counter: what counts their rows, or None if nothing does. If the session has run other statements with it, their
            rows are left out only with ``group``.
        group: the group of Spark jobs in which the statement runs. If None, all jobs count.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    note, failure = StatementNote(), None
    try:
        yield note
    except BaseException as error:
        failure = interrupt_behind(error) or error
        raise
    finally:
        code = None if failure is None else code_of(failure)
        end = StatementEnd(_state(failure), time.monotonic() - clock, code, note.rows)
        record_statement(runs, by, started, end, Uses(functions, counter, group))


def _state(failure: BaseException | None) -> str:
    if failure is None:
        return "COMPLETE"
    return "FAIL" if isinstance(failure, Exception) else "ABORT"


@dataclass(frozen=True)
class StatementEnd:
    """How a statement has ended.

    Attributes:
        state: COMPLETE, FAIL or ABORT.
        seconds: how long it took.
        error: code of the error, or None.
        rows: number of rows of the result, or None if there is no result or it is not known.
    """

    state: str
    seconds: float
    error: str | None
    rows: int | None = None


@dataclass(frozen=True)
class Uses:
    """The functions that a statement could use.

    Attributes:
        functions: the functions.
        counter: what counts their rows, or None if nothing does.
        group: the group of Spark jobs in which the statement ran. If None, all jobs count.
    """

    functions: Sequence[SqlFunction]
    counter: RowCounter | None
    group: str | None = None


def record_statement(runs: Path, by: str, started: datetime, end: StatementEnd, uses: Uses) -> None:
    """Add a line to the records of queries for a statement that has ended.

    Args:
        runs: the runs folder.
        by: the program that ran the statement.
        started: when the statement began, in UTC.
        end: how it has ended.
        uses: its functions.
    """
    record = QueryRecord(
        query_id=make_query_id(started),
        by=by,
        state=end.state,
        started_at=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        seconds=round(end.seconds, 3),
        rows=end.rows,
        error=end.error,
        functions=[_use_of(function, uses.counter, uses.group) for function in uses.functions],
    )
    append_query(runs, record)


def _use_of(function: SqlFunction, counter: RowCounter | None, group: str | None) -> FunctionUse:
    counts: dict[str, Any] = {}
    if counter is not None:
        counts["rows"], counts["failed"] = counter.counts(function.name, group)
    model, version = function.prepared.lineage_model
    return FunctionUse(function.name, model, version, **counts)
