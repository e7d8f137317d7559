"""The loop of a Spark task: take mini-batches, score them, stage their rows, report (worker)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa

from sparkscore.minibatch import MiniBatch, MiniBatchLimit, split_into_mini_batches
from sparkscore.worker.attempts import Attempts, FailureRules
from sparkscore.worker.done import write_done
from sparkscore.worker.engine import EngineSpec
from sparkscore.worker.loaded import LoadedEngine, engine_of_this_process
from sparkscore.worker.planned import read_planned_mini_batches
from sparkscore.worker.progress import ProgressFile
from sparkscore.worker.quarantine import quarantined_rows
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
        rules: what happens to what fails.
        units: the work units that are to be scored, by the number of the task; None where tasks are units.
    """

    engine: EngineSpec
    limit: MiniBatchLimit
    plan_file: str | None
    result: ResultSpec
    stage: StageSpec
    rules: FailureRules = field(default_factory=FailureRules)
    units: tuple[int, ...] | None = None


def score_task(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[pa.RecordBatch]:
    """Score everything that one Spark task gets.

    Runs on the worker, once per task attempt; may run again, or twice at once, for the same unit. No failure of the
    user's code raises here: failures are reported and their items quarantined. A task whose own failures are more than
    the run tolerates makes no more calls, because the run cannot succeed any more.

    Args:
        batches: the task's input, consumed once; may be empty, and then the scorer is not loaded.
        spec: what to do.
        unit: number of the task.

    Yields:
        Record batches of `REPORT_SCHEMA`, a row for each mini-batch; the last row names the finished files.
    """
    if spec.units is not None:
        unit = spec.units[unit]
    with StageWriter(spec.stage, unit) as writer:
        yield from _score_into(writer, _mini_batches(batches, spec, unit), spec, unit)


def _score_into(
    writer: StageWriter, mini_batches: Iterable[MiniBatch], spec: WorkerSpec, unit: int
) -> Iterator[pa.RecordBatch]:
    progress = ProgressFile(spec.stage.folder, unit)
    reports: list[MiniBatchReport] = []
    sent: list[MiniBatchReport] = []
    failed = failed_mini_batches = 0
    is_whole = True
    with StageWriter(replace(spec.stage, kind="quarantine", partition_by=(), left_out=()), unit) as quarantine:
        for mini_batch in mini_batches:
            attempt, loaded = _score(mini_batch, spec)
            outcome = attempt.outcome
            if outcome.table is not None:
                writer.write(outcome.table)
            rows = quarantined_rows(mini_batch, outcome, spec.result.lineage, attempt.tries, attempt.scored_at)
            if rows is not None:
                quarantine.write(rows)
            if len(reports) >= _REPORTS_IN_ONE_BATCH:
                yield write_reports(reports)
                sent += reports
                reports.clear()
            reports.append(make_report(unit, mini_batch.mini_batch_id, attempt, loaded.describe()))
            progress.add(outcome.items, outcome.failed)
            failed, failed_mini_batches = failed + outcome.failed, failed_mini_batches + bool(outcome.failed)
            # Without raising: Spark would try a task again that cannot succeed.
            if loaded.failure is not None or spec.rules.are_broken_by(failed, failed_mini_batches):
                is_whole = False
                break
        progress.close()
        if reports:
            reports[-1] = replace(reports[-1], staged=writer.finish(), quarantined=quarantine.finish())
            if is_whole and spec.units is not None:
                write_done(spec.stage.folder, unit, [*sent, *reports])
            yield write_reports(reports)


def _mini_batches(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[MiniBatch]:
    if spec.plan_file is not None:
        return read_planned_mini_batches(spec.plan_file, [unit] * sum(batch.num_rows for batch in batches))
    return split_into_mini_batches(batches, spec.limit, unit)


def _score(mini_batch: MiniBatch, spec: WorkerSpec) -> tuple[Attempt, LoadedEngine]:
    loaded = engine_of_this_process(spec.engine)
    scored_at, start = datetime.now(UTC), time.perf_counter()
    attempts = Attempts(loaded, spec.result, spec.rules, scored_at)
    outcome = attempts.score(mini_batch)
    return Attempt(outcome, tuple(attempts.calls), time.perf_counter() - start, scored_at), loaded
