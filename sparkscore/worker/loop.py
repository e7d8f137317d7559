"""The loop of a Spark task: take mini-batches, score them, stage their rows, report (worker)."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from sparkscore.errors import SparkscoreError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit, split_into_mini_batches
from sparkscore.outcome import Failure, Outcome, describe_failure, failed_outcome
from sparkscore.scorers import Scorer, ScorerSpec, load_scorer
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.worker.planned import read_planned_mini_batches
from sparkscore.worker.progress import ProgressFile
from sparkscore.worker.report import Attempt, MiniBatchReport, make_report, write_reports
from sparkscore.worker.result import ResultSpec, make_outcome
from sparkscore.worker.stage import StageSpec, StageWriter

_REPORTS_IN_ONE_BATCH = 1000


@dataclass(frozen=True)
class WorkerSpec:
    """Everything a task needs; plain and picklable.

    Attributes:
        scorer_key: the key under which the worker process keeps the scorer; each attempt at a run has its own.
        scorer: the scorer to load.
        limit: the size of a mini-batch of rows.
        plan_file: Parquet file of the planned mini-batches of files; None when Spark brings rows.
        result: how rows of the result are made.
        stage: where they go.
    """

    scorer_key: str
    scorer: ScorerSpec
    limit: MiniBatchLimit
    plan_file: str | None
    result: ResultSpec
    stage: StageSpec


def score_task(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[pa.RecordBatch]:
    """Score everything that one Spark task gets.

    Runs on the worker, once per task attempt; may run again, or twice at once, for the same unit. No failure of the
    user's code raises here: failures are reported. After the first failed item the task makes no more calls, because
    the run cannot succeed any more.

    Args:
        batches: the task's input, consumed once; may be empty, and then the scorer is not loaded.
        spec: what to do.
        unit: number of the work unit.

    Yields:
        Record batches of `REPORT_SCHEMA`, a row for each mini-batch; the last row names the staged files.
    """
    with StageWriter(spec.stage, unit) as writer:
        yield from _score_into(writer, _mini_batches(batches, spec, unit), spec, unit)


def _score_into(
    writer: StageWriter, mini_batches: Iterable[MiniBatch], spec: WorkerSpec, unit: int
) -> Iterator[pa.RecordBatch]:
    progress = ProgressFile(spec.stage.folder, unit)
    reports: list[MiniBatchReport] = []
    for mini_batch in mini_batches:
        attempt, loaded = _score(mini_batch, spec)
        if attempt.outcome.table is not None:
            writer.write(attempt.outcome.table)
        if len(reports) >= _REPORTS_IN_ONE_BATCH:
            yield write_reports(reports)
            reports.clear()
        reports.append(make_report(unit, mini_batch.mini_batch_id, attempt, loaded.worker, loaded.loads))
        progress.add(attempt.outcome.items, attempt.outcome.failed)
        if attempt.outcome.failed:
            break
    progress.close()
    if reports:
        reports[-1] = replace(reports[-1], staged=writer.finish())
        yield write_reports(reports)


def _mini_batches(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[MiniBatch]:
    if spec.plan_file is not None:
        return read_planned_mini_batches(spec.plan_file, batches)
    return split_into_mini_batches(batches, spec.limit, unit)


def _score(mini_batch: MiniBatch, spec: WorkerSpec) -> tuple[Attempt, LoadedScorer]:
    loaded = scorer_of_this_process(spec.scorer_key, spec.scorer)
    scored_at, start = datetime.now(UTC), time.perf_counter()
    if loaded.scorer is None:
        outcome = failed_outcome(mini_batch.item_count, loaded.failure)
    else:
        outcome = _outcome_of(loaded.scorer, mini_batch, spec.result, scored_at)
    calls = 1 if loaded.scorer is not None else 0
    return Attempt(outcome, calls, time.perf_counter() - start, scored_at), loaded


def _outcome_of(scorer: Scorer, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
    try:
        return make_outcome(scorer.score(mini_batch), mini_batch, spec, scored_at)
    except ScorerFailedError as error:
        return failed_outcome(mini_batch.item_count, error.failure)
    except SparkscoreError as error:
        return failed_outcome(mini_batch.item_count, describe_failure(error))


_NO_FAILURE = Failure("", "", "")


@dataclass
class LoadedScorer:
    """The scorer that this worker process keeps for a run, or why there is none.

    Attributes:
        key: names the attempt at a run that it was loaded for.
        worker: name of this worker process in the run, unique also when process ids come round again.
        scorer: the loaded scorer; None when it did not load.
        failure: why it did not load; it is not tried again in this process.
        loads: how often this process has loaded it.
    """

    key: str
    worker: str
    scorer: Scorer | None
    failure: Failure
    loads: int = 1


_kept: LoadedScorer | None = None


def scorer_of_this_process(key: str, spec: ScorerSpec) -> LoadedScorer:
    """Load the scorer, or give the one that this worker process has loaded under this key.

    Source: Spark keeps worker processes between tasks (``spark.python.worker.reuse``), so a module's state lasts.
    """
    global _kept  # noqa: PLW0603 - the state of the process is what this function is about
    if _kept is not None and _kept.key == key:
        return _kept
    if _kept is not None and _kept.scorer is not None:
        _kept.scorer.close()
    _kept = _load(key, spec)
    return _kept


def _load(key: str, spec: ScorerSpec) -> LoadedScorer:
    worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    try:
        return LoadedScorer(key, worker, load_scorer(spec), _NO_FAILURE)
    except ScorerFailedError as error:
        return LoadedScorer(key, worker, None, error.failure)
    except SparkscoreError as error:
        return LoadedScorer(key, worker, None, describe_failure(error))
