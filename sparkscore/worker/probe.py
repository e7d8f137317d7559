"""Score one mini-batch before the run, to find the names and types of the result columns.

Runs on the driver and the workers.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.outcome import Failure
from sparkscore.parquet import FilePart
from sparkscore.scorers.model_files import ModelFiles, read_file
from sparkscore.stage.report import FAILURE_TYPE, failure_row, read_failure
from sparkscore.worker.engine import EngineSpec, Probed
from sparkscore.worker.host import HostCheck, prove_once
from sparkscore.worker.loaded import LoadedEngine, engine_of_this_process
from sparkscore.worker.row_reader import RowReader

# After this number of failed calls, no further part of the mini-batch is tried.
_MOST_CALLS: Final = 20
_TO_CHOOSE_FROM: Final = 10

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
class RowsSample:
    """A mini-batch of rows that the worker reads itself.

    Attributes:
        reader: reads the rows.
        part: the rows from which the mini-batch is taken.
        limit: maximum size of a mini-batch.
        number: which mini-batch of the part is taken, counted from 0.
    """

    reader: RowReader
    part: FilePart
    limit: MiniBatchLimit
    number: int = 0

    @property
    def item_count(self) -> int:
        """The number of rows in the part, or 0 for later mini-batches of the part, so that no row is counted twice."""
        return 0 if self.number else self.part.row_count

    def read(self, host: HostCheck | None) -> MiniBatch | None:
        """Return the mini-batch, or None if the part has too few mini-batches. Runs on a worker.

        Only the first 10 mini-batches of the part are considered. Those with a single row are counted last.
        """
        found = list(islice(self.reader.read([self.part], self.limit, 0, host), _TO_CHOOSE_FROM))
        in_order = sorted(found, key=lambda each: each.item_count == 1)
        return in_order[self.number] if self.number < len(in_order) else None


@dataclass(frozen=True)
class ProbeSpec:
    """What a worker needs for the probe, which calls the scorer before the run to find the result columns.

    Attributes:
        engine: which scorer to load, and in which process. The run uses an `EngineSpec` with the same ``key``, so a
            worker that ran the probe need not load the scorer again.
        mini_batch_id: name of the mini-batch.
        files: the files that are the mini-batch's items, or that its rows come from.
        rows: the mini-batch's rows as an Arrow stream, or None if its items are files.
        declared: names and types of the scorer's columns as declared in the deployment or the model, or None.
        is_tolerant: whether the run tolerates failed items. If so, parts of a failed mini-batch are tried.
        is_joined: whether input columns are carried into the result by position. If None, they are carried unless
            ``run()`` returns a DataFrame, an Arrow table or an Arrow record batch.
        columns: number of input columns, or 0 if the items are files.
        tries: maximum number of calls with the whole mini-batch.
        host: the conditions that the worker must meet before the probe, for example access to the stage and the input.
            None if the workers are on the driver's host.
        sent: the file that contains `files` and `rows`, written by `pack_items`, if they are too large to be part of
            this specification. Otherwise, None.
        sample: where the worker reads the rows itself. None if the items are files or this specification has the rows.
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
    host: HostCheck | None = None
    sent: ModelFiles | None = None
    sample: RowsSample | None = None

    def find_files(self, folder: Callable[[], str]) -> ProbeSpec:
        """Return a copy of this specification in which the files sent by Spark have their paths on this host.

        Args:
            folder: function that returns the absolute path of the folder that contains the files sent by Spark.
        """
        sent = None if self.sent is None else self.sent.found_in(folder)
        return replace(self, engine=self.engine.find_files(folder), sent=sent)

    def read_mini_batch(self) -> MiniBatch | None:
        """Return the mini-batch to score, or None if there is none. Runs on a worker.

        Raises:
            ModelError: the file that contains the items cannot be read, or was changed.
            SourceError: the input file with the rows cannot be read, or was changed.
        """
        if self.sample is not None:
            return self.sample.read(self.host)
        files, rows = (self.files, self.rows) if self.sent is None else pickle.loads(read_file(self.sent))  # noqa: S301
        return MiniBatch(self.mini_batch_id, files, None if rows is None else pa.ipc.open_stream(rows).read_all())


def pack_items(files: tuple[str, ...], rows: bytes | None) -> bytes:
    """Serialize the items of a mini-batch as the content of a file, which `ProbeSpec.read_mini_batch` reads.

    Runs on the driver.
    """
    return pickle.dumps((files, rows))


@dataclass(frozen=True)
class ProbeReport:
    """The result of the probe, which calls the scorer before the run to find the result columns.

    Attributes:
        predictions: names and types of the columns that ``run()`` returned, or None if the probe failed.
        is_frame: whether ``run()`` returned a DataFrame, an Arrow table or an Arrow record batch.
        worker: name of the worker process.
        loads: number of times the process loaded the scorer, including failed loads.
        calls: number of calls of ``run()`` in the probe.
        warnings: warnings for the user, one sentence each.
        failure: why the probe failed, or None.
        is_proven: whether the calls prove that ``run()`` returns one element per row.
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
    """Score one mini-batch, and report the names and types of its result columns in a one-row record batch.

    Runs on the worker. The record batch has the schema `PROBE_SCHEMA`. The scorer may be called again after a failure,
    or with parts of the mini-batch. No exception is raised if the probe fails; the row contains the failure.
    """
    prove_once(spec.host)
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
    """Return the probe report in the first row of a table. Runs on the driver."""
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
        """Call the scorer with some items, loading the scorer first if its process has ended.

        If the scorer cannot be loaded, it is not called, and the load failure is returned.
        """
        self.loaded.ensure()
        if self.loaded.failure is not None:
            return Probed(failure=self.loaded.failure)
        self.count += 1
        return self.loaded.engine.probe(part, self._declared)

    def try_first(self, part: MiniBatch, tries: int) -> Probed:
        """Call the scorer with the whole mini-batch until a call succeeds or the maximum number of tries is reached.

        Stop early if the scorer can no longer be loaded.
        """
        probed = self.probe(part)
        while probed.failure is not None and self.count < tries and self.loaded.failure is None:
            probed = self.probe(part)
        return probed


def _probe(calls: _Calls, spec: ProbeSpec) -> tuple[Probed, MiniBatch | None]:
    """Call the scorer with the mini-batch, then with smaller and smaller parts of it, until a call succeeds.

    Parts are tried only if the run tolerates failed items. After 20 calls, no further parts are tried.

    Returns:
        the result of the successful call, and the part that was scored. If no call succeeded, the failure of the whole
        mini-batch, and None.
    """
    parts = deque(filter(None, [spec.read_mini_batch()]))
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
    """Return whether the number of elements that ``run()`` returned must be checked.

    This is the case if ``run()`` got several rows and must return one element per row.
    """
    is_joined = spec.is_joined if spec.is_joined is not None else not probed.is_frame
    return is_joined and part.rows is not None and part.item_count > 1


def _check_count(calls: _Calls, probed: Probed, part: MiniBatch, columns: int) -> tuple[Probed, bool]:
    """Check that ``run()`` returned one element per row, scoring the halves as well if the count is ambiguous.

    The count of elements is ambiguous if it is 1 or equals a number of columns: the script may return one element in
    all, or one per column. The probe fails if the element counts of the halves do not add up to that of the whole.

    The probe does not fail if the count is unambiguous but wrong, or if a half cannot be scored, because the run itself
    finds the failing rows.

    Args:
        calls: calls the scorer with the halves.
        probed: the result of the call with all rows of `part`.
        part: the rows.
        columns: number of input columns.

    Returns:
        a pair. The first element is `probed`, or a failure if the number of elements does not depend on the rows. The
        second element is whether there is proof of one element per row.
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


def packed_report(report: ProbeReport) -> bytes:
    """Serialize a probe report, which the stage stores so that a resumed run has the same columns.

    Runs on the driver.
    """
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, PROBE_SCHEMA) as writer:
        writer.write_batch(_row_of(report))
    return bytes(buffer.getvalue().to_pybytes())


def unpacked_report(content: bytes) -> ProbeReport:
    """Deserialize a probe report that `packed_report` has serialized. Runs on the driver."""
    with pa.ipc.open_file(content) as reader:
        return read_probe_report(reader.read_all())
