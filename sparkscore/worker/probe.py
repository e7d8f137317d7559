"""Call the scorer once, before the run, to learn what it returns (worker)."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure
from sparkscore.worker.checksums import read_sealed, sealed
from sparkscore.worker.engine import EngineSpec, Probed
from sparkscore.worker.loaded import LoadedEngine, engine_of_this_process
from sparkscore.worker.report import FAILURE_TYPE

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
    """

    engine: EngineSpec
    mini_batch_id: str
    files: tuple[str, ...]
    rows: bytes | None
    declared: pa.Schema | None
    is_tolerant: bool = False


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
    """

    predictions: pa.Schema | None
    is_frame: bool
    worker: str
    loads: int
    calls: int
    warnings: tuple[str, ...]
    failure: Failure | None


def probe(spec: ProbeSpec) -> pa.RecordBatch:
    """Score one mini-batch, keep only the shape of the result, and report it as one row of `PROBE_SCHEMA`.

    Runs on the worker. Like the run itself it raises for no failure of the user's code.
    """
    loaded = engine_of_this_process(spec.engine)
    probed, calls = (Probed(failure=loaded.failure), 0) if loaded.failure is not None else _probe(loaded, spec)
    report = ProbeReport(
        probed.predictions, probed.is_frame, loaded.worker, loaded.loads, calls, loaded.warnings, probed.failure
    )
    return _row_of(report)


def _row_of(report: ProbeReport) -> pa.RecordBatch:
    predictions = None if report.predictions is None else report.predictions.serialize().to_pybytes()
    failure = None if report.failure is None else asdict(report.failure)
    row = {**vars(report), "predictions": predictions, "failure": failure}
    return pa.RecordBatch.from_pylist([row], schema=PROBE_SCHEMA)


def read_probe_report(table: pa.Table) -> ProbeReport:
    """Read on the driver what `probe` reported."""
    row = table.to_pylist()[0]
    schema = pa.ipc.read_schema(pa.py_buffer(row["predictions"])) if row["predictions"] is not None else None
    failure = Failure(**row["failure"]) if row["failure"] else None
    warnings = tuple(row["warnings"] or ())
    return ProbeReport(**{**row, "predictions": schema, "failure": failure, "warnings": warnings})


def _probe(loaded: LoadedEngine, spec: ProbeSpec) -> tuple[Probed, int]:
    rows = None if spec.rows is None else pa.ipc.open_stream(spec.rows).read_all()
    parts = deque([MiniBatch(spec.mini_batch_id, spec.files, rows)])
    first = probed = Probed()
    calls = 0
    while parts and calls < (_MOST_CALLS if spec.is_tolerant else 1) and loaded.failure is None:
        part = parts.popleft()
        probed, calls = loaded.engine.probe(part, spec.declared), calls + 1
        if probed.failure is None:
            return probed, calls
        first = probed if calls == 1 else first
        parts.extend(part.halves() if part.item_count > 1 else ())
        loaded.ensure()
    return first, calls


def write_probe_report(path: str, report: ProbeReport) -> None:
    """Keep on the driver what a probe found, so that a run that is taken up again has the same columns."""
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, PROBE_SCHEMA) as writer:
        writer.write_batch(_row_of(report))
    Path(path).write_bytes(sealed(buffer.getvalue().to_pybytes()))


def read_kept_probe(path: Path) -> ProbeReport:
    """Read on the driver what `write_probe_report` kept.

    Raises:
        SinkError: the file is not as it was written.
    """
    with pa.ipc.open_file(read_sealed(path)) as reader:
        return read_probe_report(reader.read_all())
