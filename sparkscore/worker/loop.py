"""Score one Spark task: read its mini-batches, stage the resulting rows, and report to the driver.

Runs on the workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError, SinkError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit, split_into_mini_batches
from sparkscore.stage.chunks import ChunkLimit
from sparkscore.stage.report import MiniBatchReport, ScoredMiniBatch, make_report, write_reports
from sparkscore.stage.run_stage import ChunkWriter, TaskStage
from sparkscore.worker.calls import Calls
from sparkscore.worker.engine import EngineSpec
from sparkscore.worker.host import HostCheck, prove_once
from sparkscore.worker.loaded import LoadedEngine, engine_of_this_process
from sparkscore.worker.quarantine import quarantined_rows
from sparkscore.worker.result import ResultSpec
from sparkscore.worker.row_reader import RowReader
from sparkscore.worker.rules import FailureRules


@dataclass(frozen=True)
class WorkerSpec:
    """Everything that a task needs. It is pickled and sent to the workers.

    Attributes:
        engine: which scorer to load, and in which process.
        limit: maximum size of a mini-batch of rows.
        is_planned: whether the mini-batches come from the plan, because the items are files.
        result: how to build the result rows.
        stage: where to read the plan and write the result rows.
        rules: how to handle failed items.
        units: work unit numbers, in task order. If None, each task scores the work unit with the task's number.
        chunk: number of items and seconds after which a chunk ends.
        host: the conditions that each worker process must meet, checked in its first task. None if the workers are on
            the driver's host.
        reader: reads the rows of the planned parts of files. If it is None and the items are rows, Spark reads the
            rows, which are split into mini-batches on the worker.
    """

    engine: EngineSpec
    limit: MiniBatchLimit
    is_planned: bool
    result: ResultSpec
    stage: TaskStage
    rules: FailureRules = field(default_factory=FailureRules)
    units: tuple[int, ...] | None = None
    chunk: ChunkLimit = field(default_factory=ChunkLimit)
    host: HostCheck | None = None
    reader: RowReader | None = None

    def find_files(self, folder: Callable[[], str]) -> WorkerSpec:
        """Return a copy of this specification in which the files sent by Spark have their paths on this host.

        Args:
            folder: function that returns the absolute path of the folder that contains the files sent by Spark.
        """
        return replace(self, engine=self.engine.find_files(folder))


def score_task(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[pa.RecordBatch]:
    """Score the mini-batches of one Spark task, chunk by chunk, and yield their reports.

    Runs on the worker, once per task attempt. A chunk that an earlier execution finished is not scored again if it
    still contains the same items. Its stored reports are yielded instead.

    If the user's code fails, the failure is reported, and no exception is raised. The task stops early if the run can
    no longer succeed, for example because more items failed than the run tolerates.

    Args:
        batches: input of the task, which is iterated once. It contains the rows to score or, if the task itself reads
            files, a single row whose values are ignored. If it is empty, the scorer is not loaded.
        spec: everything that the task needs.
        unit: number of the task.

    Yields:
        One record batch of `REPORT_SCHEMA` per chunk, with one row per mini-batch. The last row of a chunk also lists
        the chunk's files.

    Raises:
        SparkscoreError: this process cannot work on the run. See `prove_once`.
        SourceError: the task itself reads the rows, but a file cannot be read or was changed.
        ScoringError: the rows are in a different order than when a stored chunk was scored, or Spark split a file that
            must be one mini-batch.
        OSError: a staged file cannot be read or written.
    """
    prove_once(spec.host)
    if spec.units is not None:
        unit = spec.units[unit]
    task = _Task(spec, unit)
    mini_batches = _Coming(_mini_batches(batches, spec, unit))
    while mini_batches.has_next():
        reports = task.take_up(mini_batches) or task.score(mini_batches)
        yield write_reports(reports)
        if task.is_hopeless:
            break
    task.close()


def _mini_batches(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int) -> Iterator[MiniBatch]:
    """Return the task's mini-batches, from planned files, from planned parts of files, or from the task's rows."""
    if spec.is_planned:
        return spec.stage.planned([unit] * sum(batch.num_rows for batch in batches))
    if spec.reader is not None:
        parts = spec.stage.planned_parts([unit] * sum(batch.num_rows for batch in batches))
        return spec.reader.read(parts, spec.limit, unit, spec.host)
    return split_into_mini_batches(batches, spec.limit, unit)


class _Coming:
    """Iterator over mini-batches that tells where the next one is in the input. It keeps no mini-batch that it gave.

    A mini-batch's rows may be part of a record batch of many MiB, which all its parts keep in memory.
    """

    def __init__(self, mini_batches: Iterator[MiniBatch]) -> None:
        self._rest = mini_batches
        self._ahead: list[MiniBatch] = []

    def __iter__(self) -> Iterator[MiniBatch]:
        return self

    def __next__(self) -> MiniBatch:
        return self._ahead.pop() if self._ahead else next(self._rest)

    def has_next(self) -> bool:
        """Read the next mini-batch unless it has been read, and return whether there is one."""
        if not self._ahead:
            self._ahead.extend(islice(self._rest, 1))
        return bool(self._ahead)

    @property
    def place(self) -> str | None:
        """The position of the next mini-batch in the input, or None if it is not known or there is no mini-batch."""
        return self._ahead[0].input_position if self.has_next() else None


class _Task:
    """A task attempt, with counts of its finished mini-batches and failures.

    Attributes:
        is_hopeless: whether the task must stop. This is the case if the scorer could not be loaded, if too many items
            or mini-batches failed, or if the driver asked all tasks to stop.
    """

    def __init__(self, spec: WorkerSpec, unit: int) -> None:
        self.is_hopeless = False
        self._spec = spec
        self._unit = unit
        self._done = self._failed = self._failed_mini_batches = 0
        self._progress = spec.stage.progress_of(unit)
        self._warnings: tuple[str, ...] = ()

    def close(self) -> None:
        """Write the final counts to the task's progress file, unless no items were counted."""
        self._progress.close()

    def take_up(self, mini_batches: _Coming) -> list[MiniBatchReport]:
        """Return the stored reports of the next chunk, or an empty list if the next chunk must be scored.

        Stored reports that were modified are not used. A warning is reported instead.

        Args:
            mini_batches: the coming mini-batches. A stored chunk is used only if it begins with the same items as they
                do. Then, those in the chunk are skipped.

        Raises:
            ScoringError: the stored chunk begins with the same mini-batch, but a later mini-batch differs or is
                missing. The chunk's reports are removed, so the next task attempt scores its mini-batches again.
        """
        stage = self._spec.stage
        try:
            reports = stage.done_chunk(self._unit, self._done)
        except SinkError as error:
            self._warnings = (f"{error.sentence}; its mini-batches were scored again",)
            return []
        place = mini_batches.place
        if not reports or place is None or reports[0].place != place:
            return []
        for report in reports:
            found = next(mini_batches, None)
            if found is None or found.input_position != report.place:
                stage.forget_chunk(self._unit, self._done)
                raise _other_order(self._unit)
        for report in reports:
            self._count(report)
        return reports

    def score(self, mini_batches: _Coming) -> list[MiniBatchReport]:
        """Score the mini-batches of one chunk, write their rows to the stage, and return their reports.

        To avoid scoring the chunk again, the reports are also stored in the stage, unless the task must stop or the
        items' positions in the input are unknown.

        Args:
            mini_batches: the coming mini-batches. Only those that belong to this chunk are consumed.
        """
        spec, start, place = self._spec, self._done, mini_batches.place
        began, items = time.monotonic(), 0
        reports: list[MiniBatchReport] = []
        with spec.stage.open_chunk(self._unit) as chunk:
            for mini_batch in mini_batches:
                reports.append(self._score_one(mini_batch, chunk))
                items += mini_batch.item_count
                # Its rows can be freed before the next ones are read.
                del mini_batch
                is_full = time.monotonic() - began >= spec.chunk.seconds or items >= (spec.chunk.items or items + 1)
                if is_full or self.is_hopeless:
                    break
            warnings, self._warnings = (*reports[-1].warnings, *self._warnings), ()
            staged, quarantined = chunk.finish()
            reports[-1] = replace(reports[-1], staged=staged, quarantined=quarantined, warnings=warnings)
        if not self.is_hopeless and place is not None:
            spec.stage.keep_chunk(self._unit, start, reports)
        return reports

    def _score_one(self, mini_batch: MiniBatch, chunk: ChunkWriter) -> MiniBatchReport:
        """Score one mini-batch, write its result rows and failed items to the stage, and return its report."""
        scored, loaded = _score(mini_batch, self._spec)
        outcome = scored.outcome
        if outcome.table is not None:
            chunk.write(outcome.table)
        lineage = self._spec.result.lineage
        # Quarantined rows keep all their columns, including those that the scorer does not need.
        whole = mini_batch
        if outcome.failures and self._spec.reader is not None:
            whole = self._spec.reader.with_all_columns(mini_batch)
        rows = quarantined_rows(whole, outcome, lineage, scored.tries, scored.scored_at)
        if rows is not None:
            chunk.quarantine(rows)
        report = make_report(self._unit, mini_batch, scored, loaded.describe())
        self._count(report)
        # No exception is raised here, because Spark would then retry the task, which cannot succeed.
        self.is_hopeless |= loaded.failure is not None
        return report

    def _count(self, report: MiniBatchReport) -> None:
        """Add a mini-batch to the task's counts, and decide whether the task must stop."""
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
