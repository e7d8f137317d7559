"""Call the scorer before the run, to learn what it returns: once, and again where the count may be chance (worker)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure
from sparkscore.stage.checksums import read_sealed, sealed
from sparkscore.stage.report import FAILURE_TYPE, failure_row, read_failure
from sparkscore.stage.surroundings import open_store
from sparkscore.worker.engine import EngineSpec, Probed
from sparkscore.worker.loaded import LoadedEngine, engine_of_this_process

# Parts of the first mini-batch that are tried until one is scored.
_MOST_CALLS: Final = 20

PROBE_SCHEMA = pa.schema(
    [
        ("predictions", pa.binary()),
        ("is_frame", pa.bool_()),
        ("worker", pa.string()),
        ("loads", pa.int64()),
        ("calls", pa.int64()),
        ("warnings", pa.list_(pa.string())),
        ("failure", FAILURE_TYPE),
        ("is_proven", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class ProbeSpec:
    """What to probe: the scorer, one mini-batch, and the declared columns, if there are any.

    Attributes:
        engine: what scores, under the same key as the run's, so the load is not wasted.
        mini_batch_id: name of the mini-batch.
        files: its files.
        rows: its rows as an Arrow stream; None for a mini-batch of files.
        declared: the columns that the deployment declares.
        is_tolerant: whether the run tolerates failed items; the shape is then learned from others.
        is_joined: whether what comes back is joined to input columns, row by row; None: unless it is a DataFrame.
        columns: number of columns that are handed over.
        tries: how often the mini-batch is tried as a whole.
    """

    engine: EngineSpec
    mini_batch_id: str
    files: tuple[str, ...]
    rows: bytes | None
    declared: pa.Schema | None
    is_tolerant: bool = False
    is_joined: bool | None = None
    columns: int = 0
    tries: int = 1


@dataclass(frozen=True)
class ProbeReport:
    """What the probe found.

    Attributes:
        predictions: the columns that ``run()`` gives; None when it failed.
        is_frame: whether it returned a DataFrame.
        worker: name of the worker process.
        loads: how often that process has loaded the model.
        calls: calls of ``run()``.
        warnings: what the user should know of the worker process, a sentence each.
        failure: why it failed.
        is_proven: whether it gave an element for each of several rows, and not by chance.
    """

    predictions: pa.Schema | None
    is_frame: bool
    worker: str
    loads: int
    calls: int
    warnings: tuple[str, ...]
    failure: Failure | None
    is_proven: bool = False


def probe(spec: ProbeSpec) -> pa.RecordBatch:
    """Score one mini-batch, keep only the shape of the result, and report it as one row of `PROBE_SCHEMA`.

    Runs on the worker. Like the run itself it raises for no failure of the user's code.
    """
    loaded = engine_of_this_process(spec.engine)
    calls = _Calls(loaded, spec.declared)
    probed, is_proven = Probed(failure=loaded.failure), False
    if loaded.failure is None:
        probed, part = _probe(calls, spec)
        if part is not None and _is_counted(probed, part, spec):
            probed, is_proven = _check_count(calls, probed, part, spec.columns)
    return _row_of(
        ProbeReport(
            probed.predictions,
            probed.is_frame,
            loaded.worker,
            loaded.loads,
            calls.count,
            loaded.warnings,
            probed.failure,
            is_proven,
        )
    )


def _row_of(report: ProbeReport) -> pa.RecordBatch:
    predictions = None if report.predictions is None else report.predictions.serialize().to_pybytes()
    row = {**vars(report), "predictions": predictions, "failure": failure_row(report.failure)}
    return pa.RecordBatch.from_pylist([row], schema=PROBE_SCHEMA)


def read_probe_report(table: pa.Table) -> ProbeReport:
    """Read on the driver what `probe` reported."""
    row = table.to_pylist()[0]
    schema = pa.ipc.read_schema(pa.py_buffer(row["predictions"])) if row["predictions"] is not None else None
    failure = read_failure(row["failure"])
    warnings = tuple(row["warnings"] or ())
    return ProbeReport(**{**row, "predictions": schema, "failure": failure, "warnings": warnings})


class _Calls:
    """Calls the scorer and counts the calls."""

    def __init__(self, loaded: LoadedEngine, declared: pa.Schema | None) -> None:
        self.loaded = loaded
        self.count = 0
        self._declared = declared

    def probe(self, part: MiniBatch) -> Probed:
        self.loaded.ensure()
        if self.loaded.failure is not None:
            return Probed(failure=self.loaded.failure)
        self.count += 1
        return self.loaded.engine.probe(part, self._declared)

    def try_first(self, part: MiniBatch, tries: int) -> Probed:
        """Probe the first part, again if it fails: what the run's own mini-batches may survive must not end it here."""
        probed = self.probe(part)
        while probed.failure is not None and self.count < tries and self.loaded.failure is None:
            probed = self.probe(part)
        return probed


def _probe(calls: _Calls, spec: ProbeSpec) -> tuple[Probed, MiniBatch | None]:
    """Call until something is scored; give it with the part of the mini-batch that it comes from."""
    rows = None if spec.rows is None else pa.ipc.open_stream(spec.rows).read_all()
    parts = deque([MiniBatch(spec.mini_batch_id, spec.files, rows)])
    first: Probed | None = None
    while parts and calls.count < (_MOST_CALLS if spec.is_tolerant else 1) and calls.loaded.failure is None:
        part = parts.popleft()
        probed = calls.probe(part) if calls.count else calls.try_first(part, spec.tries)
        if probed.failure is None:
            return probed, part
        first = first or probed
        parts.extend(part.halves() if part.item_count > 1 else ())
        calls.loaded.ensure()
    return first or Probed(), None


def _is_counted(probed: Probed, part: MiniBatch, spec: ProbeSpec) -> bool:
    is_joined = spec.is_joined if spec.is_joined is not None else not probed.is_frame
    return is_joined and part.rows is not None and part.item_count > 1


def _check_count(calls: _Calls, probed: Probed, part: MiniBatch, columns: int) -> tuple[Probed, bool]:
    """Call with another size where one element came back, or as many as there are columns: that may be chance.

    Any other wrong number is left to the run, which finds the rows that are missing.

    Returns:
        What came back, or why it cannot be the result; and whether there is an element for each row.
    """
    items = part.item_count
    if probed.elements not in {1, columns, probed.columns}:
        return probed, probed.elements == items
    halves = part.halves()
    counts = []
    for half in halves:
        tried = calls.probe(half)
        if tried.failure is not None:
            return probed, False
        counts.append(tried.elements)
        if probed.elements == items and tried.elements == half.item_count:
            return probed, True
    if sum(counts) == probed.elements:
        return probed, False
    told = (
        f"run() returned {probed.elements} elements for {items} rows, and {counts[0]} and {counts[1]} for their halves"
    )
    failure = Failure(
        ErrorCode.OUTPUT_ROWS,
        message=f"broken contract: {told}; expected one element per row, since input columns are carried into the "
        "result by position",
        next_step="Return one element per row, or set 'output.carry: []'.",
    )
    return Probed(failure=failure), False


def write_probe_report(path: Path, report: ProbeReport) -> None:
    """Keep on the driver what a probe found, so that a run that is taken up again has the same columns."""
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, PROBE_SCHEMA) as writer:
        writer.write_batch(_row_of(report))
    open_store(path.parent).put(path.name, sealed(buffer.getvalue().to_pybytes()))


def read_kept_probe(path: Path) -> ProbeReport:
    """Read on the driver what `write_probe_report` kept.

    Raises:
        SinkError: the file is not as it was written.
    """
    with pa.ipc.open_file(read_sealed(open_store(path.parent), path.name)) as reader:
        return read_probe_report(reader.read_all())
