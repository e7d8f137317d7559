"""Run a Spark task: read mini-batches, score them, write their rows to the stage, report to the driver (worker)."""

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
from sparkscore.stage.chunks import ChunkLimit
from sparkscore.stage.report import MiniBatchReport, ScoredMiniBatch, make_report, write_reports
from sparkscore.stage.run_stage import ChunkWriter, TaskStage
from sparkscore.worker.calls import Calls
from sparkscore.worker.engine import EngineSpec
from sparkscore.worker.loaded import LoadedEngine, engine_of_this_process
from sparkscore.worker.quarantine import quarantined_rows
from sparkscore.worker.result import ResultSpec
from sparkscore.worker.rules import FailureRules


@dataclass(frozen=True)
class WorkerSpec:
    """Everything that a task needs. It is pickled and sent to the workers.

    Attributes:
        engine: which scorer to load, and in which process.
        limit: maximum size of a mini-batch of rows.
        is_planned: whether the items are files, so that the mini-batches are in the plan. Otherwise Spark reads the
            input as rows.
        result: how to build the rows of the result.
        stage: where to read the plan, and where to write the rows of the result.
        rules: how to handle items that fail.
        units: numbers of the work units that the tasks score, in the order of the tasks. None if each task scores the
            work unit that has the same number as the task.
        chunk: the number of items and the number of seconds after which a chunk ends.
    """

    engine: EngineSpec
    limit: MiniBatchLimit
    is_planned: bool
    result: ResultSpec
    stage: TaskStage
    rules: FailureRules = field(default_factory=FailureRules)
    units: tuple[int, ...] | None = None
    chunk: ChunkLimit = field(default_factory=ChunkLimit)


def score_task(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[pa.RecordBatch]:
    """Score the mini-batches of one Spark task, chunk by chunk, and yield their reports.

    Runs on the worker, once for each task attempt. A chunk is not scored again if the stage has its reports and files
    from an earlier execution of the task, and its mini-batches have the same items. Its stored reports are yielded
    instead.

    A failure of the user's code raises no exception here: it is reported. The task stops early if the run can no longer
    succeed, for example because the task has more failures than the run tolerates.

    Args:
        batches: input of the task, which is iterated once: the rows to score, or if the items are files, a single row
            whose values are not used. If there is no row, the scorer is not loaded.
        spec: everything that the task needs.
        unit: number of the task.

    Yields:
        Record batches of `REPORT_SCHEMA`, one for each chunk, with one row for each mini-batch. The last row of a chunk
        also lists the files of the chunk.

    Raises:
        ScoringError: the rows are in another order than when an earlier execution scored a chunk, or Spark split a file
            that must be one mini-batch.
        OSError: a file of the stage cannot be read or written.
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
    """Return the mini-batches of a task: those of the plan if the items are files, or else parts of the task's rows."""
    if spec.is_planned:
        return spec.stage.planned([unit] * sum(batch.num_rows for batch in batches))
    return split_into_mini_batches(batches, spec.limit, unit)


class _Task:
    """One task attempt, with the counts of its mini-batches and failures so far.

    Attributes:
        is_hopeless: whether the task must stop, because the scorer could not be loaded, too many items or mini-batches
            failed, or the driver asked all tasks to stop.
    """

    def __init__(self, spec: WorkerSpec, unit: int) -> None:
        self.is_hopeless = False
        self._spec = spec
        self._unit = unit
        self._done = self._failed = self._failed_mini_batches = 0
        self._progress = spec.stage.progress_of(unit)
        self._warnings: tuple[str, ...] = ()

    def close(self) -> None:
        """Write the final counts of this task to its progress file for the driver, if any items were counted."""
        self._progress.close()

    def take_up(self, first: MiniBatch, rest: Iterator[MiniBatch]) -> list[MiniBatchReport]:
        """Return the stored reports of the next chunk, or an empty list if the next mini-batches must be scored.

        If the stored reports were changed since they were written, they are not used, and a warning is reported.

        Args:
            first: the next mini-batch. A stored chunk is used only if it begins with the same items.
            rest: iterator over the mini-batches after it. Those of the stored chunk are skipped.

        Raises:
            ScoringError: the stored chunk begins with the same mini-batch, but one of its other mini-batches differs or
                is missing now. The reports of the chunk are removed, so that the next task attempt scores the
                mini-batches.
        """
        stage = self._spec.stage
        try:
            reports = stage.done_chunk(self._unit, self._done)
        except SinkError as error:
            self._warnings = (f"{error.sentence}; its mini-batches were scored again",)
            return []
        if not reports or first.input_position is None or reports[0].place != first.input_position:
            return []
        for report in reports[1:]:
            found = next(rest, None)
            if found is None or found.input_position != report.place:
                stage.forget_chunk(self._unit, self._done)
                raise _other_order(self._unit)
        for report in reports:
            self._count(report)
        return reports

    def score(self, first: MiniBatch, rest: Iterator[MiniBatch]) -> list[MiniBatchReport]:
        """Score the mini-batches of one chunk, write their rows to the stage, and return their reports.

        The reports are also stored in the stage, so that the chunk is not scored again. They are not stored if the task
        must stop or if the position of the items in the input is not known.

        Args:
            first: the first mini-batch of the chunk.
            rest: iterator over the mini-batches after it. Those that are scored here are taken from it.
        """
        spec, start = self._spec, self._done
        began, items = time.monotonic(), 0
        reports: list[MiniBatchReport] = []
        with spec.stage.open_chunk(self._unit) as chunk:
            for mini_batch in chain([first], rest):
                reports.append(self._score_one(mini_batch, chunk))
                items += mini_batch.item_count
                is_full = time.monotonic() - began >= spec.chunk.seconds or items >= (spec.chunk.items or items + 1)
                if is_full or self.is_hopeless:
                    break
            warnings, self._warnings = (*reports[-1].warnings, *self._warnings), ()
            staged, quarantined = chunk.finish()
            reports[-1] = replace(reports[-1], staged=staged, quarantined=quarantined, warnings=warnings)
        if not self.is_hopeless and first.input_position is not None:
            spec.stage.keep_chunk(self._unit, start, reports)
        return reports

    def _score_one(self, mini_batch: MiniBatch, chunk: ChunkWriter) -> MiniBatchReport:
        """Score one mini-batch, write its rows and its failed items to the stage, and return its report."""
        scored, loaded = _score(mini_batch, self._spec)
        outcome = scored.outcome
        if outcome.table is not None:
            chunk.write(outcome.table)
        lineage = self._spec.result.lineage
        rows = quarantined_rows(mini_batch, outcome, lineage, scored.tries, scored.scored_at)
        if rows is not None:
            chunk.quarantine(rows)
        report = make_report(self._unit, mini_batch, scored, loaded.describe())
        self._count(report)
        # No exception is raised here, since Spark would try the task again although it cannot succeed.
        self.is_hopeless |= loaded.failure is not None
        return report

    def _count(self, report: MiniBatchReport) -> None:
        """Add a mini-batch to the counts of this task, and decide whether the task must stop."""
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
        what=f"the rows of work unit {unit} are in another order than when an earlier chunk was scored",
        expected="the same files in the same order, for which Spark needs the same settings as before",
        state="Nothing was published; what was scored before is scored again.",
        next_step="Run the same run id again.",
    )
