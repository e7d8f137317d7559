"""Commit staged files to a Delta table with delta-rs, without writing any row again. Runs on the driver."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.types import StructType

from sparkscore.errors import names
from sparkscore.sinks.delta_links import LOG, forget_links, link_files, note_links, noted_links
from sparkscore.sinks.delta_open import (
    CannotCommitError,
    commit_file,
    forget_table,
    has_commits,
    look_at_table,
    open_table,
    text_of,
    uri_of,
    why_no_delta_rs,
)
from sparkscore.sinks.delta_plain import why_not_plain, why_not_plain_columns
from sparkscore.sinks.delta_stats import stats_of
from sparkscore.sinks.partition_types import FOLDER_TYPES
from sparkscore.sinks.staged_rows import partition_values
from sparkscore.sinks.target import StagedResult, Target
from sparkscore.spark.schema import to_arrow
from sparkscore.stage import StagedFile
from sparkscore.stage.layout import within_task_attempt
from sparkscore.stage.store import Entry
from sparkscore.stage.surroundings import here, open_store

if TYPE_CHECKING:
    from deltalake import DeltaTable, Schema
    from deltalake.transaction import AddAction

logger = logging.getLogger("sparkscore")

#: The version of a run's transaction. A run makes only one transaction.
VERSION: Final = 1
_PLAIN_WRITER_VERSION: Final = 2
# Delta's default for `delta.checkpointInterval`.
_COMMITS_PER_CHECKPOINT: Final = 10


@dataclass(frozen=True)
class Commit:
    """The commit that adds a run's staged files to a Delta table.

    Attributes:
        target: the output.
        staged: the staged rows.
    """

    target: Target
    staged: StagedResult

    @property
    def app_id(self) -> str:
        """The application id of the run's transaction, the same as in a commit by Spark."""
        return app_id_of(self.target)

    @property
    def files(self) -> tuple[StagedFile, ...]:
        """The staged files that have rows."""
        return tuple(file for file in self.staged.files if file.rows)

    def make(self) -> int | None:
        """Link the files into the table's folder and commit them, and return the version of the table.

        A table that does not exist is created. After a crash, the table has the whole commit or none of it, and the
        call can be repeated.

        Returns:
            the version, or None if the table's log already has a transaction of this run.

        Raises:
            CannotCommitError: the table is not plain, another commit came in between, or a file is not as its writer
                reported it.
        """
        try:
            return self._make(open_table(self.target.path))
        finally:
            # delta-rs changes the opened table when it commits, and its list of files takes memory.
            forget_table(self.target.path)

    def _make(self, table: DeltaTable | None) -> int | None:
        if table is not None and table.transaction_version(self.app_id) is not None:
            return None
        self._check(table)
        version, interval = 0, None
        if table is not None:
            version = table.version() + 1
            interval = table.metadata().configuration.get("delta.checkpointInterval")
        try:
            note_links(self.staged.folder, self.target.part, self.target.path, self.app_id, self.files)
            linked = link_files(self.staged.folder, self.target.path, self.files)
        except OSError as error:
            raise CannotCommitError(f"a staged file cannot be linked into the table: {text_of(error)}") from error
        self._commit(table, list(self._adds(linked)), version)
        with suppress(OSError):  # the links are files of the table now
            forget_links(self.staged.folder, self.target.part)
        _write_due_checkpoint(self.target.path, version, interval)
        return version

    def _check(self, table: DeltaTable | None) -> None:
        reason = why_not_columns(self.staged.schema, self.target.partition_by) or (
            table and why_not_table(self.target, table)
        )
        if reason:
            raise CannotCommitError(reason)

    def _adds(self, linked: Sequence[Entry]) -> Iterator[AddAction]:
        """Yield the log entry of each file, with the statistics from the file's footer."""
        from deltalake.transaction import AddAction  # noqa: PLC0415 - optional, and slow to import

        partition_by = self.target.partition_by
        expected = to_arrow(StructType([field for field in self.staged.schema if field.name not in partition_by]))
        for file, entry in zip(self.files, linked, strict=True):
            path, values = within_task_attempt(file.path), partition_values(file.path)
            if tuple(values) != partition_by:
                raise CannotCommitError("a staged file is not in the folders of its partition")
            try:
                with open_store(self.target.path).open(path) as opened:
                    footer = pq.read_metadata(opened)
            except (OSError, pa.ArrowException) as error:
                raise CannotCommitError(f"a staged file cannot be read: {text_of(error)}") from error
            _check_columns(footer, expected)
            milliseconds = int(entry.written_at * 1000)
            yield AddAction(path, entry.size_bytes, values, milliseconds, data_change=True, stats=stats_of(footer))

    def _commit(self, table: DeltaTable | None, adds: list[AddAction], version: int) -> None:
        from deltalake.exceptions import DeltaError  # noqa: PLC0415 - optional, and slow to import

        try:
            place = str(commit_file(self.target.path, version))
            here().take("commit", place, partial(self._write, table, adds))
        except (DeltaError, OSError, ValueError) as error:
            # The commit may have landed although an error was raised.
            if is_in_commit(self.target.path, version, self.app_id, len(adds)):
                return
            is_conflict = commit_file(self.target.path, version).exists()
            raise CannotCommitError(f"delta-rs: {text_of(error)}", is_conflict=is_conflict) from error
        if not is_in_commit(self.target.path, version, self.app_id, len(adds)):
            raise CannotCommitError("delta-rs made another commit than it was asked for", is_conflict=True)

    def _write(self, table: DeltaTable | None, adds: list[AddAction]) -> None:
        from deltalake import CommitProperties, PostCommitHookProperties, Transaction  # noqa: PLC0415 - as above
        from deltalake.transaction import create_table_with_add_actions  # noqa: PLC0415 - as above

        # Without retries, no other commit can come between the version that was checked and this commit.
        properties = CommitProperties(self._info(), 0, [Transaction(self.app_id, VERSION)])
        hooks = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
        if table is not None:
            table.create_write_transaction(
                list(adds),
                "append",
                table.schema(),
                list(self.target.partition_by),
                commit_properties=properties,
                post_commithook_properties=hooks,
            )
            return
        create_table_with_add_actions(
            uri_of(self.target.path),
            _delta_schema(self.staged.schema),
            adds,
            partition_by=list(self.target.partition_by),
            commit_properties=properties,
            post_commithook_properties=hooks,
        )

    def _info(self) -> dict[str, Any]:
        """Return the entries that ``DESCRIBE HISTORY`` shows for the commit, in the form in which Spark writes them."""
        numbers = {
            "numFiles": len(self.files),
            "numOutputRows": self.staged.row_count,
            "numOutputBytes": sum(file.size_bytes for file in self.files),
        }
        return {
            "userMetadata": user_metadata_of(self.target, self.staged.commit_info),
            "operationMetrics": {name: str(number) for name, number in numbers.items()},
            "isBlindAppend": True,
        }


def app_id_of(target: Target) -> str:
    """Return the application id of a run's transaction in a Delta table."""
    return f"sparkscore:{target.run_id}:{target.part}"


def user_metadata_of(target: Target, commit_info: Mapping[str, object]) -> str:
    """Return the ``userMetadata`` of a run's commit: JSON with the run id and the model."""
    return json.dumps({"run_id": target.run_id, **commit_info})


def unlink_uncommitted(stage: Path) -> None:
    """Remove the links to a stage's files from a Delta table's folder, unless the run may have committed them.

    If it is not known whether the run has committed, the links are kept. Readers ignore links that no commit names, and
    VACUUM removes them.

    Raises:
        OSError: a link cannot be removed. The stage must be kept until all links are removed.
    """
    try:
        for links in noted_links(stage):
            if _has_no_commit_of(links.table, links.app_id):
                links.remove()
    except (ValueError, KeyError, TypeError, CannotCommitError) as error:
        logger.warning("files of the stage '%s' are still linked into a Delta table (%s)", stage, text_of(error))


def _has_no_commit_of(table: Path, app_id: str) -> bool:
    if not has_commits(table):
        return True
    opened = None if why_no_delta_rs(table) else open_table(table)
    return opened is not None and opened.transaction_version(app_id) is None


def why_not_commit(target: Target, schema: StructType) -> str | None:
    """Return why the staged files of a run cannot become files of its Delta table, or None if they can.

    Args:
        target: the output.
        schema: the columns of the result.
    """
    return why_not_target(target) or why_not_columns(schema, target.partition_by)


def why_not_target(target: Target) -> str | None:
    """Return why no files can become files of a Delta table, whatever their columns, or None if they may.

    No Spark session is needed.

    Args:
        target: the output.
    """
    if target.writer == "spark":
        return "output.writer is spark"
    if reason := why_no_delta_rs(target.path):
        return reason
    try:
        table = look_at_table(target.path)
    except CannotCommitError as error:
        return error.reason
    return None if table is None else why_not_table(target, table)


def is_plain_table(target: Target, schema: StructType) -> bool:
    """Return whether a table exists and certainly accepts rows with these columns, so that Spark need not check them.

    The table must be plain, because a plain table has no rules for its rows.

    Args:
        target: the output.
        schema: the columns of the result.
    """
    if target.writer == "spark" or why_no_delta_rs(target.path):
        return False
    try:
        table = look_at_table(target.path)
    except CannotCommitError:
        return False
    if table is None or (why_not_table(replace(target, mode="append"), table) is not None):
        return False
    is_append_only = str(table.metadata().configuration.get("delta.appendOnly")).lower() == "true"
    there, ours = json.loads(table.schema().to_json()), _nullable(schema.jsonValue())
    return _types_of(there) == _types_of(ours) and not (is_append_only and target.mode == "overwrite")


def _types_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in schema["fields"]}


def why_not_table(target: Target, table: DeltaTable) -> str | None:
    """Return why files may not be committed to an existing table, or None if they may be."""
    if target.mode != "append":
        return f"mode {target.mode} replaces rows"
    if tuple(table.metadata().partition_columns) != target.partition_by:
        return "the table has other partition columns"
    return why_not_plain(table)


def why_not_columns(schema: StructType, partition_by: Sequence[str] = ()) -> str | None:
    """Return why delta-rs may not write a table with these columns, or None if it may."""
    others = [name for name in partition_by if not isinstance(schema[name].dataType, FOLDER_TYPES)]
    if others:
        return f"the types of the partition columns {names(others)} have several texts for a value"
    return why_not_plain_columns(_nullable(schema.jsonValue()))


def is_in_commit(table: Path, version: int, app_id: str, files: int) -> bool:
    """Return whether a version's commit has the given transaction and no other, and adds this number of files.

    Args:
        table: the table's folder.
        version: number of the version.
        app_id: application id of the transaction.
        files: number of files.
    """
    try:
        lines = commit_file(table, version).read_text(encoding="utf-8").splitlines()
        actions = [json.loads(line) for line in lines if line]
    except (OSError, ValueError):
        return False
    transactions = [action["txn"]["appId"] for action in actions if "txn" in action]
    return transactions == [app_id] and sum("add" in action for action in actions) == files


def _write_due_checkpoint(path: Path, version: int, interval: str | None) -> None:
    """Write a checkpoint of a table if one is due, as Spark does, so that readers need not read each commit.

    A failure is only logged, because the rows are already published and a later writer can write the checkpoint. Tables
    with a writer version above 2 get no checkpoint here.

    Args:
        path: the table's folder.
        version: the version that was just committed.
        interval: the table's property ``delta.checkpointInterval``, or None if it is not set.
    """
    from deltalake.exceptions import DeltaError  # noqa: PLC0415 - optional, and slow to import

    try:
        if version == 0 or version % max(int(interval or _COMMITS_PER_CHECKPOINT), 1):
            return
        table = open_table(path)
        if table is not None and table.version() == version and _is_plain_writer(table):
            here().take("checkpoint", str(path / LOG), table.create_checkpoint)
    except (CannotCommitError, DeltaError, OSError, ValueError) as error:
        logger.warning("no checkpoint of the Delta table '%s' was written: %s", path, text_of(error))


def _is_plain_writer(table: DeltaTable) -> bool:
    return table.protocol().min_writer_version <= _PLAIN_WRITER_VERSION


def _check_columns(footer: pq.FileMetaData, expected: pa.Schema) -> None:
    found = footer.schema.to_arrow_schema()
    others = [
        field.name for field in expected if field.name not in found.names or found.field(field.name).type != field.type
    ]
    others += [name for name in found.names if name not in expected.names]
    if others:
        raise CannotCommitError(f"a staged file has other types than the table in columns {names(others)}")


def _delta_schema(schema: StructType) -> Schema:
    """Return the schema of a new table. Each column may have NULLs, as in a table that Spark creates."""
    from deltalake import Schema  # noqa: PLC0415 - optional, and slow to import

    return Schema.from_json(json.dumps(_nullable(schema.jsonValue())))


def _nullable(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_nullable(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    flags = {"nullable", "containsNull", "valueContainsNull"}
    return {key: True if key in flags else _nullable(value) for key, value in tree.items()}
