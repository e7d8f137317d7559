"""Start the Spark jobs that sample the input, find the result columns, score, and check staged files.

Runs on the driver.

`partition_id` and the functions nested in `_score_function`, `_check_function` and `_probe_function` run on workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

from sparkscore.minibatch import MiniBatch, MiniBatchLimit, split_into_mini_batches
from sparkscore.plan import Plan
from sparkscore.plan import first_mini_batches as first_of_files
from sparkscore.spark.errors import SPARK_ERRORS, explain_spark_error
from sparkscore.spark.jvm_batches import unmeasured_batches
from sparkscore.spark.local_master import local_slots
from sparkscore.spark.map_in_arrow import ArrowFunction, in_jobs, run_in_arrow
from sparkscore.spark.settings import pinned_settings, setting_of
from sparkscore.spark.shipping import shipped_folder
from sparkscore.stage import REPORT_SCHEMA, MiniBatchReport, StagedFile, TaskStage, read_reports
from sparkscore.worker import ProbeReport, ProbeSpec, WorkerSpec, probe, read_probe_report, score_task
from sparkscore.worker.host import HostCheck, prove_once
from sparkscore.worker.intake import Intake, settle_types
from sparkscore.worker.probe import PROBE_SCHEMA

# Rows to sample for the probe if mini-batches are limited by bytes or are whole files: enough for one mini-batch of
# narrow rows, and not too many.
_SAMPLE_ROWS: Final = 10_000
# The probe tries at most this number of mini-batches, until the script returns rows.
_TO_PROBE: Final = 10
# Smallest number of rows to sample, so that the sample does not consist only of small files with one row each.
_LEAST_ROWS: Final = 100
_SLOTS_OF_A_CLUSTER: Final = 32
_CHANGED_SCHEMA: Final = pa.schema([("path", pa.string()), ("difference", pa.string())])
# Number of footers that the driver reads itself. Reading a footer takes about a third of a millisecond.
_MOST_FOOTERS_HERE: Final = 1000
_TASKS_OF_A_CHECK: Final = 200
_JOINED_SCHEMA: Final = pa.schema(
    {"group": pa.int64(), "path": pa.string(), "rows": pa.int64(), "size_bytes": pa.int64(), "sha256": pa.string()}
)
# Each task writes its files to a folder of its own, and the stage should have few folders.
_JOINS_PER_SLOT: Final = 4


def score_plan(spark: SparkSession, rows: DataFrame | None, spec: WorkerSpec) -> list[MiniBatchReport]:
    """Score the input in one Spark action, and return the reports on its mini-batches.

    Only reports from successful task attempts are returned. If the items are files and no work units are left to score,
    the list is empty and no Spark job is started.

    Args:
        spark: the session.
        rows: the input rows, or None if the items are files.
        spec: the settings for all tasks. If the items are files, it also lists the work units still to be scored.

    Raises:
        SourceError: Spark could not read the input, or an input value does not fit its column's type.
        ScoringError: the Spark job failed for another reason, for example because a worker process died.
        SinkError: the stage's file system is full.
        ConfigError: a Spark setting that affects the results has the wrong value and cannot be changed in this session.
    """
    # If the items are files, the DataFrame contains only numbers: one row and one partition for each work unit.
    if rows is None:
        count = len(spec.units or ())
        if not count:
            return []
        work = spark.range(0, count, 1, count)
        return read_reports(run_in_arrow(spark, work, _score_function(spec, work.columns), REPORT_SCHEMA))
    # NOTE: PySpark's mapInArrow cannot find a column whose name has a dot. The columns are renamed, and the function
    # gets their names separately.
    numbered = rows.toDF(*(f"c{number}" for number in range(len(rows.columns))))
    function = _score_function(spec, rows.columns)
    with unmeasured_batches(rows):
        return read_reports(run_in_arrow(spark, numbered, function, REPORT_SCHEMA, for_whole_files=spec.limit.is_file))


def run_probe(spark: SparkSession, spec: ProbeSpec) -> ProbeReport:
    """Score one mini-batch in a Spark job with one task, and return a report on the result columns.

    Args:
        spark: the session.
        spec: the scorer and the mini-batch to score with it.

    Raises:
        SparkscoreError: the Spark job failed, or a Spark setting that affects the results cannot be changed in this
            session.
    """
    return read_probe_report(run_in_arrow(spark, spark.range(0, 1, 1, 1), _probe_function(spec), PROBE_SCHEMA))


def find_changed_files(
    spark: SparkSession, stage: TaskStage, files: Sequence[StagedFile], check: HostCheck | None, *, reads_all: bool
) -> list[tuple[str, str]]:
    """Return the path of each staged file that has changed since it was written, with a description of the change.

    The driver itself checks the sizes and footers of up to 1000 files. If there are more files, or if whole files must
    be read, workers check them in one Spark job, or in several if there are tens of thousands of files. A missing or
    unreadable file counts as changed.

    Args:
        spark: the session.
        stage: the run's stage.
        files: the staged files to check, with the sizes, row counts and checksums reported by their writers.
        check: the conditions that each worker must meet, or None if the workers are on this host.
        reads_all: whether to read whole files and compare their checksums, rather than just sizes and footers.

    Raises:
        SinkError: a worker has no access to the stage.
        ScoringError: the Spark job failed.
        ConfigError: a Spark setting that affects the results has the wrong value and cannot be changed in this session.
    """
    if not files or (not reads_all and len(files) <= _MOST_FOOTERS_HERE):
        return stage.find_changed(files, reads_all=reads_all)
    changed = []
    for part in in_jobs(files):
        count = min(len(part), _TASKS_OF_A_CHECK)
        function = _check_function(stage, tuple(part), count, check, reads_all=reads_all)
        found = run_in_arrow(spark, spark.range(0, count, 1, count), function, _CHANGED_SCHEMA).to_pylist()
        changed += [(row["path"], row["difference"]) for row in found]
    return changed


def join_files(
    spark: SparkSession, stage: TaskStage, groups: Sequence[Sequence[StagedFile]], check: HostCheck | None
) -> list[StagedFile | None]:
    """Join the staged files of each group on the workers, and return the joined files.

    If a group cannot be joined, its element of the list is None. No job is started if there are no groups.

    Args:
        spark: the session.
        stage: the run's stage.
        groups: the files of each group.
        check: the conditions that each worker must meet, or None if the workers are on this host.

    Raises:
        SparkscoreError: the Spark job failed, or a worker has no access to the stage.
    """
    joined: list[StagedFile | None] = []
    for part in in_jobs(groups):
        count = min(len(part), _JOINS_PER_SLOT * task_slots(spark))
        function = _join_function(stage, tuple(part), count, check)
        found = run_in_arrow(spark, spark.range(0, count, 1, count), function, _JOINED_SCHEMA).to_pylist()
        files = {row.pop("group"): StagedFile(**row) for row in found}
        joined += [files.get(number) for number in range(len(part))]
    return joined


def first_mini_batches(plan: Plan, rows: DataFrame | None, limit: MiniBatchLimit) -> list[MiniBatch]:
    """Return up to ten mini-batches for the probe, which scores them one by one until the result columns are known.

    If the items are files, these are the first mini-batches of the input; see `sparkscore.plan.first_mini_batches`.
    Otherwise, a Spark job reads a sample of the rows:

    - If mini-batches have a row limit, the sample has at most that many rows. A limit below 100 counts as 100.
    - Otherwise, it has at most 10,000 rows, and may contain only part of a file.

    Mini-batches of the sample that have a single row come last.

    Args:
        plan: the run's plan.
        rows: the input rows, or None if the items are files.
        limit: the maximum size of a mini-batch.

    Raises:
        SourceError: Spark could not read the input, or an input value does not fit its column's type.
        ScoringError: the Spark job failed for another reason.
        ConfigError: a Spark setting that affects the rows has the wrong value and cannot be changed in this session.
    """
    if rows is None:
        return first_of_files(plan, _TO_PROBE)
    limit = MiniBatchLimit(items=_SAMPLE_ROWS) if limit.is_file else limit
    try:
        with pinned_settings(rows.sparkSession):
            sample = rows.limit(max(limit.items or _SAMPLE_ROWS, _LEAST_ROWS)).toArrow()
    except SPARK_ERRORS as error:
        raise explain_spark_error(error) from error
    found = list(split_into_mini_batches(map(settle_types, sample.to_batches()), limit, unit=0))
    # The result of a mini-batch with one row does not show whether the script returns one element for each row.
    return sorted(found, key=lambda each: each.item_count == 1)[:_TO_PROBE]


def task_slots(spark: SparkSession) -> int:
    """Estimate how many tasks Spark can run at the same time, based on its settings.

    With a local master, this is the number of Spark's threads. Otherwise it is the number of executors times the cores
    per executor, or 32 if one of these settings is missing.
    """
    local = local_slots(setting_of(spark, "spark.master") or "")
    if local is not None:
        return local
    executors, cores = (setting_of(spark, f"spark.executor.{name}", "") or "" for name in ("instances", "cores"))
    return int(executors) * int(cores) if executors.isdigit() and cores.isdigit() else _SLOTS_OF_A_CLUSTER


def partition_id() -> int:
    """Return the partition number of the current Spark task, or 0 outside a task."""
    context = TaskContext.get()
    return context.partitionId() if context else 0


def _score_function(spec: WorkerSpec, columns: list[str]) -> ArrowFunction:
    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score the mini-batches of one task, and yield their reports. Runs on a worker."""
        yield from score_task(map(Intake(columns).settle, batches), spec.find_files(shipped_folder), partition_id())

    return score


def _check_function(
    stage: TaskStage, files: tuple[StagedFile, ...], count: int, check: HostCheck | None, *, reads_all: bool
) -> ArrowFunction:
    def find_changed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Check this task's share of the staged files, and yield those that have changed. Runs on a worker."""
        prove_once(check)
        for batch in batches:
            for number in batch.column(0).to_pylist():
                changed = stage.find_changed(files[number::count], reads_all=reads_all)
                rows = [{"path": path, "difference": difference} for path, difference in changed]
                yield pa.RecordBatch.from_pylist(rows, schema=_CHANGED_SCHEMA)

    return find_changed


def _join_function(
    stage: TaskStage, groups: tuple[Sequence[StagedFile], ...], count: int, check: HostCheck | None
) -> ArrowFunction:
    def join(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Join the files of this task's groups, and yield the joined files. Runs on a worker."""
        prove_once(check)
        for batch in batches:
            for first in batch.column(0).to_pylist():
                numbers = range(first, len(groups), count)
                joined = zip(numbers, stage.join_groups([groups[number] for number in numbers]), strict=True)
                rows = [{"group": number, **asdict(file)} for number, file in joined if file is not None]
                yield pa.RecordBatch.from_pylist(rows, schema=_JOINED_SCHEMA)

    return join


def _probe_function(spec: ProbeSpec) -> ArrowFunction:
    def probe_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score the mini-batch in ``spec`` and yield a report on the result columns. Runs on a worker."""
        for _ in batches:
            yield probe(spec.find_files(shipped_folder))

    return probe_once
