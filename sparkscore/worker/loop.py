"""The loop of a Spark task: take mini-batches, score them, stage their rows, report (worker)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from sparkscore.minibatch import MiniBatch, MiniBatchLimit, split_into_mini_batches
from sparkscore.outcome import failed_outcome
from sparkscore.worker.engine import EngineSpec
from sparkscore.worker.loaded import LoadedEngine, engine_of_this_process
from sparkscore.worker.planned import read_planned_mini_batches
from sparkscore.worker.progress import ProgressFile
from sparkscore.worker.report import Attempt, MiniBatchReport, make_report, write_reports
from sparkscore.worker.result import ResultSpec
from sparkscore.worker.stage import StageSpec, StageWriter

_REPORTS_IN_ONE_BATCH = 1000


@dataclass(frozen=True)
class WorkerSpec:
    """Everything a task needs; plain and picklable.

    Attributes:
        engine: what scores, and where.
        limit: the size of a mini-batch of rows.
        plan_file: Parquet file of the planned mini-batches of files; None when Spark brings rows.
        result: how rows of the result are made.
        stage: where they go.
    """

    engine: EngineSpec
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
        reports.append(make_report(unit, mini_batch.mini_batch_id, attempt, loaded.describe()))
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


def _score(mini_batch: MiniBatch, spec: WorkerSpec) -> tuple[Attempt, LoadedEngine]:
    loaded = engine_of_this_process(spec.engine)
    scored_at, start = datetime.now(UTC), time.perf_counter()
    if loaded.failure is not None:
        return Attempt(failed_outcome(mini_batch.item_count, loaded.failure), 0, 0.0, scored_at), loaded
    outcome = loaded.engine.score(mini_batch, spec.result, scored_at)
    return Attempt(outcome, 1, time.perf_counter() - start, scored_at), loaded
