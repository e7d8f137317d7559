"""Choose who writes the files of a Delta table: the workers, or Spark. Runs on the driver."""

from __future__ import annotations

import json
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from sparkscore.errors import SinkError
from sparkscore.sinks.delta_commit import why_not_commit
from sparkscore.sinks.delta_errors import cannot_write
from sparkscore.sinks.delta_open import has_commits
from sparkscore.sinks.file_number import why_too_many
from sparkscore.sinks.staged_rows import is_laid_out
from sparkscore.sinks.target import Layout, StagedResult, Target
from sparkscore.spark.delta_statements import check_delta
from sparkscore.spark.jobs import task_slots
from sparkscore.spark.settings import has_defaults_for_tables
from sparkscore.stage import Decision, RunStage
from sparkscore.stage.surroundings import is_one_file_system


def decide_layout(spark: SparkSession, target: Target, schema: StructType, stage: RunStage) -> Layout:
    """Return the layout of the staged files, with a folder per partition if they may become files of the table.

    The layout and the writer of the table are stored in the stage. A resumed run stores its rows in the same layout,
    and Spark writes them if that was decided; see `why_not_table`.

    Raises:
        ConfigError: ``output.writer`` is ``worker``, and Spark would have to write the rows.
        MissingDependencyError: Spark would have to write the rows, and the session has no Delta.
        SinkError: the decision in the stage was modified.
    """
    reason = why_not_table(spark, target, schema, stage)
    if reason is None and not is_one_file_system(Path(stage.location), target.path):
        reason = "the stage is on another file system"
    is_begun = stage.count_chunks() > 0
    # What is scored already is published in any case, by Spark if it must be.
    if reason and target.writer == "worker" and not is_begun:
        raise cannot_write(target, reason)
    if reason:
        require_delta(spark, target)
    # Earlier versions of sparkscore stored no writer, and decided only when they published.
    if stage.kept(Decision.WRITER) is None and not is_begun:
        stage.keep(Decision.WRITER, json.dumps(["spark" if reason else "worker", reason or ""]).encode())
    if not target.partition_by:
        return Layout()
    kept = stage.kept(Decision.LAYOUT)
    if kept is None:
        # The stage may contain files that an earlier version of sparkscore wrote without partition folders.
        is_with_folders = reason is None and not is_begun
        kept = json.dumps(target.partition_by if is_with_folders else ()).encode()
        stage.keep(Decision.LAYOUT, kept)
    return Layout(tuple(json.loads(kept)))


def require_delta(spark: SparkSession, target: Target) -> None:
    """Check that a session has Delta, before Spark reads or writes an output. delta-rs does not need it.

    Raises:
        MissingDependencyError: the session has no Delta.
    """
    check_delta(spark, f"output '{target.path}'", "Write Parquet with --output-format parquet.")


def why_spark(spark: SparkSession, target: Target, staged: StagedResult) -> str | None:
    """Return why Spark must write the staged rows, or None if the staged files can become files of the table.

    Args:
        spark: the session.
        target: the output.
        staged: the staged rows.
    """
    files = [file for file in staged.files if file.rows]
    if not files:
        return "the result has no rows"
    if reason := why_not_table(spark, target, staged.schema, staged.stage):
        return reason
    if not is_laid_out(files, target.partition_by):
        return "the rows are staged without folders of partitions"
    # There may be too many files if they could not be joined, or if an earlier version staged them.
    is_wished = target.writer == "worker" or target.file_bytes is not None
    return None if is_wished else why_too_many(files, task_slots(spark))


def why_not_table(spark: SparkSession, target: Target, schema: StructType, stage: RunStage) -> str | None:
    """Return why no staged files can become files of the table, whatever rows they have, or None if they may.

    If the run was begun with Spark as the writer, Spark remains the writer, for the same reason. If it was begun with
    the workers, the table is looked at again, because it may have changed.

    Args:
        spark: the session.
        target: the output.
        schema: the columns of the result.
        stage: the run's stage.
    """
    if reason := _kept_reason(target, stage) or why_not_commit(target, schema):
        return reason
    is_changed = not has_commits(target.path) and has_defaults_for_tables(spark)
    return "the session has properties for new tables" if is_changed else None


def _kept_reason(target: Target, stage: RunStage) -> str | None:
    """Return why Spark writes the predictions, as decided when the run was begun, or None if Spark need not."""
    # The quarantine's table is another one. Who writes it is decided when it is published.
    if target.part != "predictions":
        return None
    try:
        kept = stage.kept(Decision.WRITER)
    except (OSError, SinkError):  # no reason not to publish: both writers publish the same rows
        return None
    return None if kept is None else str(json.loads(kept)[1]) or None
