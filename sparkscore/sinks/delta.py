"""Publish to a Delta table in one commit: link the staged files, or let Spark write their rows. Runs on the driver."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from pyspark.sql import DataFrame, DataFrameWriter, Row, SparkSession
from pyspark.sql.types import StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError
from sparkscore.location import spark_path
from sparkscore.sinks.delta_choice import decide_layout, require_delta, why_spark
from sparkscore.sinks.delta_commit import (
    VERSION,
    Commit,
    app_id_of,
    is_plain_table,
    unlink_uncommitted,
    user_metadata_of,
    why_not_target,
)
from sparkscore.sinks.delta_errors import not_a_table, note_failed, publish_failed, unreadable
from sparkscore.sinks.delta_history import HISTORY_COLUMNS, RunCommit, commits_among, commits_of_run
from sparkscore.sinks.delta_links import LOG
from sparkscore.sinks.delta_names import refuse_names
from sparkscore.sinks.delta_open import CannotCommitError, has_commits
from sparkscore.sinks.delta_rules import TableRules
from sparkscore.sinks.file_number import files_of_size, rows_of_size
from sparkscore.sinks.origins import NO_ORIGINS, Origins
from sparkscore.sinks.partition_types import refuse_binary_partitions
from sparkscore.sinks.stage import first_commit_began, note_first_commit
from sparkscore.sinks.staged_rows import is_laid_out, read_files
from sparkscore.sinks.target import (
    Layout,
    Published,
    StagedResult,
    Target,
    check_same_columns,
    check_writable,
    nothing_published,
    output_exists,
    run_exists,
)
from sparkscore.spark.delta_log import read_columns
from sparkscore.spark.delta_statements import READ_ELSEWHERE, check_delta, describe
from sparkscore.spark.errors import SPARK_ERRORS, condition_of
from sparkscore.spark.schema import column, columns_of
from sparkscore.spark.settings import pinned_settings, read_from, write_to_delta
from sparkscore.stage import RunStage, StagedFile

logger = logging.getLogger("sparkscore")

_MODES = {"append": "append", "overwrite": "overwrite", "error": "error"}
# Conflict errors that a retry can resolve. Source: https://docs.delta.io/latest/concurrency-control.html.
_CURED_BY_A_RETRY = re.compile(
    "DELTA_(PROTOCOL_CHANGED|METADATA_CHANGED|CONCURRENT_WRITE|CONCURRENT_APPEND|PATH_EXISTS)"
    "|(ProtocolChanged|MetadataChanged|ConcurrentWrite|ConcurrentAppend)Exception"
)
_TRIES = 5
_PAUSE_S = 0.5


class DeltaSink:
    """A sink for a Delta table, which is identified by its path.

    Each commit has the options ``txnAppId`` and ``txnVersion``, so that Delta skips a commit that the run has already
    made. The run id is stored in the commit's ``userMetadata``, so that the commit can be found in the table's history.
    """

    format = "delta"
    moves_files = False

    def __init__(self, spark: SparkSession, target: Target) -> None:
        self._spark = spark
        self._target = target

    @property
    def target(self) -> Target:
        """The location and settings of the output."""
        return self._target

    def check_target(self, *, is_retried: bool = False) -> None:
        """Check that the mode allows the current state of the output, and that its folder can be written to.

        The history of an existing Delta table must not contain a commit of this run. If there is no table, the output
        must contain no files, unless an earlier execution of this run began to create the table (``is_retried``).
        """
        foreign = [] if is_retried else self._target.entries()
        if self._refuse_what_is_there("a Delta table", foreign) and self._commits():
            raise run_exists(self._target)
        check_writable(self._target, self._target.path / LOG)
        if why_not_target(self._target):
            self._require_delta()

    def check_schema(self, schema: StructType, origins: Origins = NO_ORIGINS) -> None:
        """Check that Delta can store the result columns, and that an existing table has the same columns.

        Partition columns must not be binary. If the table exists, its partitioning, table features and constraints are
        also checked, as far as this is possible without reading rows.
        """
        refuse_names(schema, origins)
        refuse_binary_partitions(self._target, schema)
        # Settings are pinned for a new table as well. A setting that cannot be changed is then reported before scoring.
        with pinned_settings(self._spark, for_writing=True):
            if not self._exists() or is_plain_table(self._target, schema):
                return
            check_same_columns(self._target, columns_of(self._table().schema), columns_of(schema), origins)
            self._rules().check(schema)

    def check_rows(self, rows: Callable[[], DataFrame], schema: StructType) -> None:
        """Check that the rows break no rule of an existing table, for example NOT NULL or CHECK.

        Rules about columns that are not in the rows are skipped.
        """
        if self._exists() and not is_plain_table(self._target, schema):
            with pinned_settings(self._spark):
                self._rules().check_rows(rows, schema)

    def _rules(self) -> TableRules:
        return TableRules(self._spark, self._target, self._describe("DETAIL").first() or Row())

    def _require_delta(self) -> None:
        require_delta(self._spark, self._target)

    def _describe(self, what: str) -> DataFrame:
        self._require_delta()
        return describe(self._spark, what, str(self._target.path))

    def _table(self) -> DataFrame:
        self._require_delta()
        return read_from(self._spark, "delta").load(str(self._target.path))

    def lay_out(self, schema: StructType, stage: RunStage) -> Layout:
        """Return how the staged files are laid out: in partition folders if they may become files of the table.

        Raises:
            ConfigError: ``output.writer`` is ``worker``, but Spark would have to write the rows.
            SinkError: the decision in the stage was modified.
        """
        return decide_layout(self._spark, self._target, schema, stage)._replace(file_bytes=self._target.file_bytes)

    def columns_without_null(self) -> list[str]:
        """Return the names of the table's NOT NULL columns, or an empty list if there is no table yet."""
        if not self._exists():
            return []
        columns = read_columns(self._target.path / LOG)
        if columns:
            return [each["name"] for each in columns if not each["nullable"]]
        return [field.name for field in self._table().schema if not field.nullable]

    def check_again(self, schema: StructType) -> None:
        """Repeat the checks of the mode, the existing files and the columns, because the output may have changed."""
        with nothing_published(self._target.run_id):
            self._refuse_what_is_there("a Delta table that came while the run was scoring", self._foreign())
            if not is_plain_table(self._target, schema):
                self.check_schema(schema)

    def _refuse_what_is_there(self, what: str, foreign: Sequence[str]) -> bool:
        """Return whether the output is a Delta table, or raise an error if the run may not publish to it.

        The run may not publish in ``error`` mode if the output is a Delta table, or in any mode if the output contains
        other files but no table.

        Args:
            what: description of the existing table, for the error.
            foreign: names of the other files at the output.
        """
        if self._exists():
            if self._target.mode == "error":
                raise output_exists(self._target, what)
            return True
        if foreign:
            raise not_a_table(self._target)
        return False

    def _foreign(self) -> list[str]:
        """Return the names of the files and folders at the output that Delta cannot have written.

        If there is no ``_delta_log`` folder, all files and folders at the output are returned.
        """
        # If there is a log folder without commits, another run may be making the first commit at this moment.
        entries = self._target.entries()
        return [name for name in entries if not _is_of_delta(name)] if LOG in entries else entries

    def publish(self, staged: StagedResult) -> Published:
        """Append the staged rows to the table, or create or overwrite the table with them, in one commit.

        The staged files are added to the table as they are, if possible. Otherwise, Spark writes their rows again; see
        `why_spark` for the reasons. The commit must have as many rows as were staged. After a conflict with another
        process's commit, publishing may be retried up to four times.
        """
        refused = why_spark(self._spark, self._target, staged)
        if refused is None:
            try:
                return replace(self._commit_files(staged), writer="worker")
            except CannotCommitError as error:
                refused = error.reason
        logger.info("Spark writes the table '%s': %s", self._target.path, refused)
        return replace(self._publish_by_spark(staged), writer="spark", writer_reason=refused)

    def _commit_files(self, staged: StagedResult) -> Published:
        """Commit the staged files as files of the table. If this fails, remove their links from the table's folder.

        Raises:
            CannotCommitError: Spark must write the rows instead. Nothing was committed.
            SinkError: the run may no longer publish to the table.
        """
        try:
            return self._try_to_commit_files(staged)
        except (CannotCommitError, SinkError):
            with suppress(OSError):  # links that remain are removed with the stage
                unlink_uncommitted(staged.folder)
            raise

    def _try_to_commit_files(self, staged: StagedResult) -> Published:
        for tries_left in reversed(range(_TRIES)):
            self.check_again(staged.schema)
            self._check_first_commit(staged.stage)
            try:
                version = Commit(self._target, staged).make()
            except CannotCommitError as error:
                if not (error.is_conflict and tries_left):
                    raise
                _pause()
                continue
            return self._proof(staged) if version is None else Published(version, staged.row_count, staged.schema)
        raise RuntimeError("the last try returns or raises")

    def _publish_by_spark(self, staged: StagedResult) -> Published:
        for tries_left in reversed(range(_TRIES)):
            # This comes before the checks: if there is no table now, the commit must create one, and must not write to
            # one that another process creates in the meantime.
            is_first = not self._exists()
            self.check_again(staged.schema)
            self._require_delta()
            if is_first:
                self._check_first_commit(staged.stage)
            try:
                with pinned_settings(self._spark, for_writing=True):
                    self._writer(staged, is_first=is_first).save(str(self._target.path))
                break
            except SPARK_ERRORS as error:
                # The commit may have succeeded even though Spark raised an error, so check the table's history.
                if self.landed(staged.schema) is not None:
                    break
                if not tries_left or not self._is_cured_by_a_retry(error, is_first=is_first):
                    raise publish_failed(self._target, error) from error
                _pause()
        return self._proof(staged)

    def _is_cured_by_a_retry(self, error: Exception, *, is_first: bool) -> bool:
        """Return whether publishing may be retried because the commit conflicted with that of another process.

        In ``overwrite`` mode, only a commit that would have created the table may be retried. Retrying any other
        commit would overwrite the rows that the other process has just committed.

        Args:
            error: the exception that Spark raised.
            is_first: whether the commit would have created the table.
        """
        is_conflict = _CURED_BY_A_RETRY.search(f"{condition_of(error)} {type(error).__name__} {error}") is not None
        return is_conflict and (is_first or self._target.mode != "overwrite")

    def read(self, published: Published) -> DataFrame:
        """Return this run's rows as a DataFrame, from the table version that the run committed."""
        check_delta(self._spark, f"result '{self._target.path}'", READ_ELSEWHERE, state="The run has published it.")
        table = read_from(self._spark, "delta", {"versionAsOf": str(published.version)}).load(str(self._target.path))
        return table.where(column(self._target.run_id_column) == self._target.run_id)

    def has_same_rows(self, published: Published, staged: StagedResult, columns: Sequence[str]) -> bool:
        """Return whether the published and staged rows have the same values in the given columns, in any order."""
        with pinned_settings(self._spark):
            there, ours = (rows.select(*columns) for rows in (self.read(published), self.read_staged(staged)))
            return bool(there.exceptAll(ours).isEmpty() and ours.exceptAll(there).isEmpty())

    def read_staged(self, staged: StagedResult) -> DataFrame:
        """Return the rows of the staged files as a DataFrame."""
        files = [spark_path(staged.folder / file.path) for file in staged.files if file.rows]
        if files and self._target.partition_by and is_laid_out(staged.files, self._target.partition_by):
            return read_files(self._spark, staged, staged.schema).select(*map(column, staged.schema.names))
        if not files:
            return self._spark.createDataFrame([], staged.schema)
        return read_from(self._spark, "parquet").schema(staged.schema).load(files)

    def _writer(self, staged: StagedResult, *, is_first: bool) -> DataFrameWriter:
        mode = "error" if is_first else _MODES[self._target.mode]
        options = {
            "txnAppId": app_id_of(self._target),
            "txnVersion": str(VERSION),
            "userMetadata": user_metadata_of(self._target, staged.commit_info),
        }
        rows, size = self.read_staged(staged), self._target.file_bytes
        if size is not None:
            options["maxRecordsPerFile"] = str(rows_of_size(staged.files, size))
        if self._target.partition_by and (size or is_laid_out(staged.files, self._target.partition_by)):
            # Each task reads files of several partitions. Without this, it would write a file for each of them.
            rows = rows.hint("rebalance", *map(column, self._target.partition_by))
        elif size is not None:
            rows = rows.coalesce(files_of_size(staged.files, size))
        writer = write_to_delta(rows, options).mode(mode)
        return writer.partitionBy(*self._target.partition_by)

    def landed(self, schema: StructType, files: Sequence[StagedFile] = ()) -> Published | None:
        """Return the version and row count of this run's commit, or None if there is no table or no such commit.

        The commit is looked up in the table's history by the run id. If the history has no row count for it, the rows
        of the staged files are counted.
        """
        commits = self._commits() if self._exists() else []
        if not commits:
            return None
        version, rows, writer = commits[0]
        return Published(version, sum(file.rows for file in files) if rows is None else rows, schema, writer=writer)

    def shows_rows(self) -> bool:
        """Return whether the table's current version contains rows of this run."""
        if not self._exists():
            return False
        try:
            with pinned_settings(self._spark):
                return not self._table().where(column(self._target.run_id_column) == self._target.run_id).isEmpty()
        except SPARK_ERRORS as error:
            raise unreadable(self._target, error) from error

    def holds(self, published: Published) -> bool:
        """Return whether the table's history still contains this run's commit."""
        return self._exists() and any(each.version == published.version for each in self._commits())

    def _commits(self) -> list[RunCommit]:
        """Return this run's commits in the table's history."""
        found = commits_of_run(self._target)
        if found is not None:
            return found
        try:
            with pinned_settings(self._spark):
                history = self._describe("HISTORY").select(*HISTORY_COLUMNS).collect()
        except SPARK_ERRORS as error:
            raise unreadable(self._target, error) from error
        return commits_among([row.asDict() for row in history], self._target.run_id)

    def _proof(self, staged: StagedResult) -> Published:
        """Check the row count of this run's commit and return the commit's version and row count.

        If the history has no row count for the commit, the number of staged rows is returned.

        Raises:
            SinkError: the table's history does not contain exactly one commit of this run, or the commit's row count
                differs from the number of staged rows.
        """
        ours = self._commits()
        rows = [staged.row_count if each.rows is None else each.rows for each in ours]
        if rows != [staged.row_count]:
            raise SinkError(
                code=ErrorCode.PUBLISH_UNPROVEN,
                what=f"the history of the Delta table '{self._target.path}' for run '{self._target.run_id}'",
                got=f"{len(ours)} commits" if len(ours) != 1 else f"{rows[0]} rows",
                expected=f"one commit of {staged.row_count} rows",
                state="The table may hold this run's rows.",
                next_step="Look at DESCRIBE HISTORY, and restore the version before if necessary.",
            )
        return Published(ours[0].version, staged.row_count, staged.schema)

    def _exists(self) -> bool:
        """Return whether the output has a Delta log with commits."""
        return has_commits(self._target.path)

    def _check_first_commit(self, stage: RunStage) -> None:
        """Check that the run may create the table, and note in the stage that it is about to do so.

        A failed first commit may leave files that are not in Delta's log. Delta ignores them, so they are not removed.
        If the run is retried, the note shows that such files may come from its own failed commit. If the table or the
        note already exists, nothing is checked or written.

        Raises:
            SinkConflictError: the output contains files that Delta cannot have written.
            SinkError: the note cannot be written.
        """
        if self._exists() or first_commit_began(stage, self._target):
            return
        if self._foreign():
            raise not_a_table(self._target)
        try:
            note_first_commit(stage, self._target)
        except OSError as error:
            raise note_failed(self._target, error) from error


def _is_of_delta(name: str) -> bool:
    return name == LOG or "=" in name or name.startswith("part-") or name.endswith(".crc")


def _pause() -> None:
    time.sleep(_PAUSE_S * random.random())  # noqa: S311 - not cryptographic: it avoids the next conflict
