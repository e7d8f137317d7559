"""The loop of a Spark task: take mini-batches, score them, stage their rows, report (worker)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError, SinkError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit, split_into_mini_batches
from sparkscore.stage.chunks import ChunkLimit, forget_chunk, read_chunk, write_chunk
from sparkscore.stage.progress import ProgressFile
from sparkscore.stage.report import MiniBatchReport, ScoredMiniBatch, make_report, write_reports
from sparkscore.stage.writer import StageSpec, StageWriter
from sparkscore.worker.calls import Calls
from sparkscore.worker.engine import EngineSpec
from sparkscore.worker.loaded import LoadedEngine, engine_of_this_process
from sparkscore.worker.planned import read_planned_mini_batches
from sparkscore.worker.quarantine import quarantined_rows
from sparkscore.worker.result import ResultSpec
from sparkscore.worker.rules import FailureRules


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
        chunk: when a chunk ends before its unit does.
    """

    engine: EngineSpec
    limit: MiniBatchLimit
    plan_file: str | None
    result: ResultSpec
    stage: StageSpec
    rules: FailureRules = field(default_factory=FailureRules)
    units: tuple[int, ...] | None = None
    chunk: ChunkLimit = field(default_factory=ChunkLimit)


def score_task(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[pa.RecordBatch]:
    """Score everything that one Spark task gets, chunk by chunk; chunks that are done already are taken up.

    Runs on the worker, once per task attempt; may run again, or twice at once, for the same unit. No failure of the
    user's code raises here: failures are reported and their items quarantined. A task whose own failures are more than
    the run tolerates makes no more calls, because the run cannot succeed any more.

    Args:
        batches: the task's input, consumed once; may be empty, and then the scorer is not loaded.
        spec: what to do.
        unit: number of the task.

    Yields:
        Record batches of `REPORT_SCHEMA`, one for each chunk, a row for each mini-batch; a chunk's last row names its
        files.
    """
    if spec.units is not None:
        unit = spec.units[unit]
    task = _Task(spec, unit)
    mini_batches = iter(_mini_batches(batches, spec, unit))
    for first in mini_batches:
        reports = task.take_up(first, mini_batches) or task.score(first, mini_batches)
        yield write_reports(reports)
        if task.is_hopeless:
            break
    task.close()


def _mini_batches(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[MiniBatch]:
    if spec.plan_file is not None:
        return read_planned_mini_batches(spec.plan_file, [unit] * sum(batch.num_rows for batch in batches))
    return split_into_mini_batches(batches, spec.limit, unit)


class _Task:
    """What one task attempt has done so far.

    Attributes:
        is_hopeless: whether more calls are of no use: the scorer did not load, or too much has failed.
    """

    def __init__(self, spec: WorkerSpec, unit: int) -> None:
        self.is_hopeless = False
        self._spec = spec
        self._unit = unit
        self._done = self._failed = self._failed_mini_batches = 0
        self._progress = ProgressFile(spec.stage.folder, unit)
        self._warnings: tuple[str, ...] = ()

    def close(self) -> None:
        """Say the last of the progress."""
        self._progress.close()

    def take_up(self, first: MiniBatch, rest: Iterator[MiniBatch]) -> list[MiniBatchReport]:
        """Give the reports of the chunk that begins with a mini-batch and is done; nothing where there is none.

        Raises:
            ScoringError: its other mini-batches are not those that come; it is forgotten, so trying again helps.
        """
        folder = self._spec.stage.folder
        try:
            reports = read_chunk(folder, self._unit, self._done)
        except SinkError as error:
            self._warnings = (f"{error.sentence}; its mini-batches were scored again",)
            return []
        if not reports or first.place is None or reports[0].place != first.place:
            return []
        for report in reports[1:]:
            found = next(rest, None)
            if found is None or found.place != report.place:
                forget_chunk(folder, self._unit, self._done)
                raise _other_order(self._unit)
        for report in reports:
            self._count(report)
        return reports

    def score(self, first: MiniBatch, rest: Iterator[MiniBatch]) -> list[MiniBatchReport]:
        """Score mini-batches until the chunk is full or nothing is left, stage them, and keep the chunk."""
        spec, start = self._spec, self._done
        began, items = time.monotonic(), 0
        reports: list[MiniBatchReport] = []
        of_quarantine = StageWriter(spec.stage.for_quarantine(), self._unit)
        with StageWriter(spec.stage, self._unit) as writer, of_quarantine as quarantine:
            for mini_batch in chain([first], rest):
                reports.append(self._score_one(mini_batch, writer, quarantine))
                items += mini_batch.item_count
                is_full = time.monotonic() - began >= spec.chunk.seconds or items >= (spec.chunk.items or items + 1)
                if is_full or self.is_hopeless:
                    break
            warnings, self._warnings = (*reports[-1].warnings, *self._warnings), ()
            files = writer.finish(), quarantine.finish()
            reports[-1] = replace(reports[-1], staged=files[0], quarantined=files[1], warnings=warnings)
        if not self.is_hopeless and first.place is not None:
            write_chunk(spec.stage.folder, self._unit, start, reports)
        return reports

    def _score_one(self, mini_batch: MiniBatch, writer: StageWriter, quarantine: StageWriter) -> MiniBatchReport:
        scored, loaded = _score(mini_batch, self._spec)
        outcome = scored.outcome
        if outcome.table is not None:
            writer.write(outcome.table)
        lineage = self._spec.result.lineage
        rows = quarantined_rows(mini_batch, outcome, lineage, scored.tries, scored.scored_at)
        if rows is not None:
            quarantine.write(rows)
        report = make_report(self._unit, mini_batch, scored, loaded.describe())
        self._count(report)
        # Without raising: Spark would try a task again that cannot succeed.
        self.is_hopeless |= loaded.failure is not None
        return report

    def _count(self, report: MiniBatchReport) -> None:
        self._done += 1
        self._failed += report.failed
        self._failed_mini_batches += bool(report.failed)
        self._progress.add(report.items, report.failed)
        is_passed = self._spec.rules.tolerance.is_passed(self._failed, self._failed_mini_batches)
        self.is_hopeless |= is_passed or self._progress.is_stopped


def _score(mini_batch: MiniBatch, spec: WorkerSpec) -> tuple[ScoredMiniBatch, LoadedEngine]:
    loaded = engine_of_this_process(spec.engine)
    scored_at, start = datetime.now(UTC), time.perf_counter()
    calls = Calls(loaded, spec.result, spec.rules, scored_at)
    outcome = calls.score(mini_batch)
    return ScoredMiniBatch(outcome, tuple(calls.reports), time.perf_counter() - start, scored_at), loaded


def _other_order(unit: int) -> ScoringError:
    return ScoringError(
        code=ErrorCode.CHUNK_DIFFERS,
        what=f"the rows of work unit {unit} come in another order than to an earlier attempt at the run",
        expected="the same files in the same order, as from the same settings of Spark",
        state="Nothing was published; what was scored before is scored again.",
        next_step="Run the same run id again.",
    )
