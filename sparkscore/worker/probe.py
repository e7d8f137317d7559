"""Call the scorer once, before the run, to learn what it returns (worker)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pyarrow as pa

from sparkscore.errors import SparkscoreError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, describe_failure
from sparkscore.scorers import ScorerSpec
from sparkscore.scorers.failed import PartlyScored, ScorerFailedError
from sparkscore.signature import Returned
from sparkscore.worker.loop import LoadedScorer, scorer_of_this_process
from sparkscore.worker.report import FAILURE_TYPE
from sparkscore.worker.result import read_returned

PROBE_SCHEMA = pa.schema(
    [
        ("predictions", pa.binary()),
        ("is_frame", pa.bool_()),
        ("worker", pa.string()),
        ("loads", pa.int64()),
        ("calls", pa.int64()),
        ("failure", FAILURE_TYPE),
    ]
)


@dataclass(frozen=True)
class ProbeSpec:
    """What to probe: the scorer, one mini-batch, and the declared columns, if there are any.

    Attributes:
        scorer_key: key of the scorer in the worker process, the same as the run's, so the load is not wasted.
        scorer: the scorer.
        mini_batch_id: name of the mini-batch.
        files: its files.
        rows: its rows as an Arrow stream; None for a mini-batch of files.
        declared: the columns that the deployment declares.
    """

    scorer_key: str
    scorer: ScorerSpec
    mini_batch_id: str
    files: tuple[str, ...]
    rows: bytes | None
    declared: pa.Schema | None


@dataclass(frozen=True)
class ProbeReport:
    """What the probe found.

    Attributes:
        predictions: the columns that ``run()`` gives; None when it failed.
        is_frame: whether it returned a DataFrame.
        worker: name of the worker process.
        loads: how often that process has loaded the model.
        calls: calls of ``run()``.
        failure: why it failed.
    """

    predictions: pa.Schema | None
    is_frame: bool
    worker: str
    loads: int
    calls: int
    failure: Failure | None


def probe(spec: ProbeSpec) -> pa.RecordBatch:
    """Score one mini-batch, keep only the shape of the result, and report it as one row of `PROBE_SCHEMA`.

    Runs on the worker. Like the run itself it raises for no failure of the user's code.
    """
    loaded = scorer_of_this_process(spec.scorer_key, spec.scorer)
    result, failure = _try(loaded, spec)
    row = {
        "predictions": None if result is None else result.table.schema.serialize().to_pybytes(),
        "is_frame": result is not None and result.is_frame,
        "worker": loaded.worker,
        "loads": loaded.loads,
        "calls": int(loaded.scorer is not None),
        "failure": None if failure is None else asdict(failure),
    }
    return pa.RecordBatch.from_pylist([row], schema=PROBE_SCHEMA)


def read_probe_report(table: pa.Table) -> ProbeReport:
    """Read on the driver what `probe` reported."""
    row = table.to_pylist()[0]
    schema = pa.ipc.read_schema(pa.py_buffer(row["predictions"])) if row["predictions"] is not None else None
    failure = Failure(**row["failure"]) if row["failure"] else None
    return ProbeReport(**{**row, "predictions": schema, "failure": failure})


def _try(loaded: LoadedScorer, spec: ProbeSpec) -> tuple[Returned | None, Failure | None]:
    if loaded.scorer is None:
        return None, loaded.failure
    rows = None if spec.rows is None else pa.ipc.open_stream(spec.rows).read_all()
    try:
        returned = loaded.scorer.score(MiniBatch(spec.mini_batch_id, spec.files, rows))
        if isinstance(returned, PartlyScored):
            return None, returned.failures[0].failure
        return read_returned(returned, spec.declared), None
    except ScorerFailedError as error:
        return None, error.failure
    except SparkscoreError as error:
        return None, describe_failure(error)
