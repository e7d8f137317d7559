"""Reports: small rows, one per mini-batch, that workers send to the driver. Runs on the driver and the workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa

from sparkscore.error_classes import error_class_of
from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome
from sparkscore.redaction import redact


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A Parquet file in the stage, as its writer reported it.

    Attributes:
        path: path relative to the stage.
        rows: number of rows.
        size_bytes: size in bytes.
        sha256: checksum of the file. Empty if an earlier version of sparkscore wrote the file.
    """

    path: str
    rows: int
    size_bytes: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call of the model or script, with all or part of a mini-batch.

    Attributes:
        items: number of items that were passed to the call.
        scored: number of these items whose rows are in the result. 0 if the call's rows were dropped.
        is_part: whether the call got only part of the mini-batch.
        seconds: wall-clock time of the call.
        error_code: code of the error that made items fail in this call. Empty if no item failed.
        error_class: name of the error's class. Empty if no item failed.
    """

    items: int
    scored: int
    is_part: bool
    seconds: float
    error_code: str
    error_class: str


@dataclass(frozen=True, slots=True)
class MiniBatchReport:
    """A worker's report to the driver about one mini-batch.

    Attributes:
        unit: number of the mini-batch's work unit.
        mini_batch: name of the mini-batch.
        place: string that identifies the mini-batch's items in the input, or None if unknown.
        items, scored, failed: numbers of items; ``items = scored + failed``.
        rows: number of result rows that were staged.
        calls: number of calls of the model or script.
        seconds: wall-clock time of scoring the mini-batch. It includes all calls, the conversion of the returned
            values, and reloading the model if its child process ended.
        scored_at: when scoring of the mini-batch began, in UTC.
        worker: name of the worker process, unique within the run.
        loads: number of times the worker process has loaded the model for this run so far, including failed loads.
        warnings: warnings for the user, for example about the worker process, one sentence each.
        models: digests of the model files, as computed by the worker process.
        is_loaded: whether the scorer was loaded, and reloaded successfully after each end of its child process. If
            not, the task stopped.
        failure: why items failed, or None if no item failed.
        scored_in_parts: number of items that were scored by calls with part of the mini-batch.
        is_contract_broken: whether the mini-batch failed as a whole because the scorer does not return one element per
            item, or returns the elements in the wrong order. No single item is to blame.
        attempts: the calls, in order.
        staged: files that contain the chunk's result rows. Listed only in the last report of a chunk.
        quarantined: files that contain the chunk's quarantine rows. Listed only in the last report of a chunk.
        unseen: pairs of a column and the number of its values that are not among the model's categories.
    """

    unit: int
    mini_batch: str
    place: str | None
    items: int
    scored: int
    failed: int
    rows: int
    calls: int
    seconds: float
    scored_at: datetime
    worker: str
    loads: int
    warnings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    is_loaded: bool = True
    failure: Failure | None = None
    scored_in_parts: int = 0
    is_contract_broken: bool = False
    attempts: tuple[CallReport, ...] = ()
    staged: tuple[StagedFile, ...] = ()
    quarantined: tuple[StagedFile, ...] = ()
    unseen: tuple[tuple[str, int], ...] = ()


#: Arrow type of a failure in a report.
FAILURE_TYPE = pa.struct(
    [
        ("code", pa.string()),
        ("error_class", pa.string()),
        ("message", pa.string()),
        ("place", pa.string()),
        ("traceback_text", pa.string()),
        ("next_step", pa.string()),
    ]
)
#: Columns that describe a call, in reports and in ``attempts.parquet``.
CALL_SCHEMA = pa.schema(
    [
        ("items", pa.int64()),
        ("scored", pa.int64()),
        ("is_part", pa.bool_()),
        ("seconds", pa.float64()),
        ("error_code", pa.string()),
        ("error_class", pa.string()),
    ]
)
_STAGED = pa.list_(
    pa.struct([("path", pa.string()), ("rows", pa.int64()), ("size_bytes", pa.int64()), ("sha256", pa.string())])
)

REPORT_SCHEMA = pa.schema(
    [
        ("unit", pa.int64()),
        ("mini_batch", pa.string()),
        ("place", pa.string()),
        ("items", pa.int64()),
        ("scored", pa.int64()),
        ("failed", pa.int64()),
        ("rows", pa.int64()),
        ("calls", pa.int64()),
        ("seconds", pa.float64()),
        ("scored_at", pa.timestamp("us", "UTC")),
        ("worker", pa.string()),
        ("loads", pa.int64()),
        ("warnings", pa.list_(pa.string())),
        ("models", pa.list_(pa.string())),
        ("is_loaded", pa.bool_()),
        ("failure", FAILURE_TYPE),
        ("scored_in_parts", pa.int64()),
        ("is_contract_broken", pa.bool_()),
        ("attempts", pa.list_(pa.struct(list(CALL_SCHEMA)))),
        ("staged", _STAGED),
        ("quarantined", _STAGED),
        ("unseen", pa.map_(pa.string(), pa.int64())),
    ]
)
_ROWS_AT_A_TIME: Final = 1000


@dataclass(frozen=True)
class ScoredMiniBatch:
    """The outcome of one mini-batch, and the calls that led to it.

    Attributes:
        outcome: the typed result rows, and the failure if items failed.
        calls: the calls, in order.
        seconds: wall-clock time of scoring the mini-batch. It includes all calls, the conversion of the returned
            values, and reloading the model if its child process ended.
        scored_at: when scoring of the mini-batch began, in UTC.
    """

    outcome: Outcome
    calls: tuple[CallReport, ...]
    seconds: float
    scored_at: datetime

    @property
    def tries(self) -> int:
        """The number of calls of the scorer with the whole mini-batch, not counting calls with a part of it."""
        return tries_of(self.calls)


def tries_of(calls: Iterable[CallReport]) -> int:
    """Return the number of calls with a whole mini-batch rather than part of one."""
    return sum(not call.is_part for call in calls)


def add_counts(counts: Iterable[Iterable[tuple[str, int]]]) -> tuple[tuple[str, int], ...]:
    """Add up several sequences of (column, count) pairs, and return the sum for each column, sorted by column.

    Args:
        counts: the sequences, for example one per mini-batch. A column occurs at most once in each sequence.
    """
    total: Counter[str] = Counter()
    for each in counts:
        total.update(dict(each))
    return tuple(sorted(total.items()))


@dataclass(frozen=True)
class WorkerState:
    """The part of a report that describes the worker process.

    Attributes:
        worker: name of the worker process, unique within the run.
        loads: number of times the worker process has loaded the model for this run so far, including failed loads.
        warnings: warnings for the user from loading the scorer, one sentence each.
        models: digests of the model files, as computed by the worker process.
        is_loaded: whether the scorer was loaded, and reloaded successfully after each end of its child process.
    """

    worker: str
    loads: int
    warnings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    is_loaded: bool = True


def make_report(unit: int, mini_batch: MiniBatch, scored: ScoredMiniBatch, state: WorkerState) -> MiniBatchReport:
    """Return the report for one mini-batch, with secrets masked in the failure's message and traceback.

    The report lists no staged files. The task adds them to the last report of each chunk.

    Args:
        unit: number of the work unit.
        mini_batch: the mini-batch.
        scored: the mini-batch's outcome, and the calls that led to it.
        state: the part of the report that describes the worker process.
    """
    outcome = scored.outcome
    return MiniBatchReport(
        unit=unit,
        mini_batch=mini_batch.mini_batch_id,
        place=mini_batch.input_position,
        items=outcome.items,
        scored=outcome.scored,
        failed=outcome.failed,
        rows=0 if outcome.table is None else outcome.table.num_rows,
        calls=len(scored.calls),
        seconds=scored.seconds,
        scored_at=scored.scored_at,
        worker=state.worker,
        loads=state.loads,
        warnings=state.warnings,
        models=state.models,
        is_loaded=state.is_loaded,
        failure=None if outcome.failure is None else _without_secrets(outcome.failure),
        scored_in_parts=outcome.scored_in_parts,
        is_contract_broken=outcome.is_contract_broken,
        attempts=scored.calls,
        unseen=outcome.unseen,
    )


def _without_secrets(failure: Failure) -> Failure:
    # Reports are stored in the stage.
    return replace(failure, message=redact(failure.message), traceback_text=redact(failure.traceback_text))


def write_reports(reports: Sequence[MiniBatchReport]) -> pa.RecordBatch:
    """Return reports as a record batch with the schema `REPORT_SCHEMA`, for the driver or for a chunk file."""
    firsts = range(0, max(1, len(reports)), _ROWS_AT_A_TIME)
    return pa.concat_batches([_batch(reports[first : first + _ROWS_AT_A_TIME]) for first in firsts])


def _batch(reports: Sequence[MiniBatchReport]) -> pa.RecordBatch:
    # A dictionary for each report would take more time and memory than a list for each column.
    columns = {name: list(map(attrgetter(name), reports)) for name in REPORT_SCHEMA.names}
    columns["failure"] = list(map(failure_row, columns["failure"]))
    for name in ("attempts", "staged", "quarantined"):
        columns[name] = [list(map(values_of, each)) for each in columns[name]]
    return pa.record_batch(columns, schema=REPORT_SCHEMA)


def values_of(part: CallReport | StagedFile) -> dict[str, Any]:
    """Return the attributes by name. Their values are not copied, which dataclasses.asdict would do."""
    return {name: getattr(part, name) for name in part.__slots__}


def batches_of(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of many rows. As Python objects, only some of them are in memory at a time."""
    rows = iter(rows)
    while part := list(islice(rows, _ROWS_AT_A_TIME)):
        yield pa.RecordBatch.from_pylist(part, schema=schema)


def failure_row(failure: Failure | None) -> dict[str, str] | None:
    """Return a failure as a dictionary with the fields of `FAILURE_TYPE`, or None if there is no failure."""
    return None if failure is None else {field.name: getattr(failure, field.name) for field in FAILURE_TYPE}


def read_failure(row: dict[str, str] | None) -> Failure | None:
    """Convert a dictionary from `failure_row` back to a failure, or return None if the dictionary is None.

    If this version of sparkscore does not know the error code, the failure has the code ``UNEXPECTED``, and its message
    begins with the original code. `Failure.missing_module` is empty, because reports do not contain it.
    """
    if row is None:
        return None
    is_known = row["code"] in ErrorCode.__members__
    code = ErrorCode(row["code"]) if is_known else ErrorCode.UNEXPECTED
    is_own = row["error_class"] == error_class_of(code).__name__
    return Failure(
        code,
        exception="" if is_own else row["error_class"],
        message=row["message"] if is_known else f"[{row['code']}] {row['message']}",
        place=row["place"],
        traceback_text=row["traceback_text"],
        next_step=row["next_step"],
    )


def read_reports(table: pa.Table) -> list[MiniBatchReport]:
    """Convert record batches from `write_reports`, given as one table, back to reports, sorted by work unit.

    Within a work unit, the order of the reports is preserved.
    """
    reports = []
    for row in _rows_of(table):
        failure = read_failure(row["failure"])
        files = {name: tuple(StagedFile(**file) for file in row[name] or ()) for name in ("staged", "quarantined")}
        scored_at = row["scored_at"].astimezone(UTC)
        calls = tuple(CallReport(**call) for call in row["attempts"] or ())
        read = {
            "attempts": calls,
            "failure": failure,
            **files,
            "scored_at": scored_at,
            "warnings": tuple(row["warnings"] or ()),
            "models": tuple(row["models"] or ()),
            "unseen": tuple(row.get("unseen") or ()),  # earlier versions did not count them
        }
        reports.append(MiniBatchReport(**{**row, **read}))
    return sorted(reports, key=lambda report: report.unit)


def _rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    # As Python objects, the rows take more memory than the reports.
    for batch in table.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        yield from batch.to_pylist()
