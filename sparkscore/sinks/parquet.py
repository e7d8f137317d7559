"""Publish to a folder of Parquet files: a single rename makes the staged files visible. Runs on the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import lit
from pyspark.sql.types import StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError, SinkError, SinkSchemaError, names
from sparkscore.location import spark_path
from sparkscore.sinks.origins import NO_ORIGINS, Origins
from sparkscore.sinks.partition_types import FOLDER_TYPES
from sparkscore.sinks.replacing import (
    MOVED_ROWS,
    is_of_a_run,
    list_files,
    partition_types,
    recover,
    refuse_rival,
    replace_entries,
    state_after_error,
)
from sparkscore.sinks.staged_rows import read_files
from sparkscore.sinks.target import (
    Layout,
    Published,
    StagedResult,
    Target,
    check_same_columns,
    check_same_partitioning,
    check_writable,
    how_to_publish,
    nothing_published,
    output_exists,
    run_exists,
)
from sparkscore.sinks.turns import forget_dead_turn, turn_at
from sparkscore.spark.schema import column, columns_of, from_arrow, to_arrow
from sparkscore.spark.settings import read_from
from sparkscore.stage import RunStage, StagedFile
from sparkscore.stage.clearing import clear
from sparkscore.stage.layout import (
    EMPTY_PART,
    PUBLISHED,
    is_result_file,
    known_in,
    lock_of,
    within_task_attempt,
)
from sparkscore.stage.store import writing
from sparkscore.stage.surroundings import open_common, open_store
from sparkscore.stage.writer import unescape_path


class ParquetSink:
    """A sink for a folder of Parquet files, with one subfolder per run: ``<target>/run_id=<id>/…``.

    Spark's own writer is not used for this folder: if a driver was killed while Spark was writing, Spark's next append
    could also make rows of the killed run visible. Here, all rows of a run become visible in a single rename.
    """

    format = "parquet"
    moves_files = True

    def __init__(self, spark: SparkSession, target: Target) -> None:
        self._spark = spark
        self._target = target
        self._replaced: Path | None = None
        self._run_folder = target.path / f"{target.run_id_column}={target.run_id}"

    @property
    def target(self) -> Target:
        """The location and settings of the output."""
        return self._target

    def check_target(self, *, is_retried: bool = False) -> None:
        """Check that the output folder is writable, has no folder of this run, and contains only what the mode allows.

        - ``error`` allows no files or folders in the output folder.
        - ``append`` allows only folders named like a run's folder: ``run_id=…``.
        - ``overwrite`` allows only run folders that contain sparkscore's list of files. With ``output.replace:
          foreign``, it also allows other files and folders that can be part of a table.

        No mode allows a Delta table. If a driver died while replacing rows, the replacement is completed or undone
        first.
        """
        del is_retried  # publishing is one rename, which leaves no other files behind
        self._recover()
        if self._run_folder.exists() and self._target.mode != "error":
            raise run_exists(self._target)
        self._refuse_what_is_there("files or folders")
        check_writable(self._target)

    def lay_out(self, schema: StructType, stage: RunStage) -> Layout:
        """Return the layout of the staged files: a folder per partition, and no run id column in the files.

        The name of the run's folder contains the run id.
        """
        del schema, stage
        return Layout(self._target.partition_by, (self._target.run_id_column,), self._target.file_bytes)

    def columns_without_null(self) -> list[str]:
        """Return an empty list, because columns of Parquet files are never declared NOT NULL."""
        return []

    def check_rows(self, rows: Callable[[], DataFrame], schema: StructType) -> None:
        """Do nothing, because Parquet files have no rules for rows."""

    def check_again(self, schema: StructType) -> None:
        """Repeat the checks of the mode, the existing files and the columns, because the output may have changed."""
        with nothing_published(self._target.run_id):
            self._refuse_what_is_there("files or folders that came while the run was scoring")
            self.check_schema(schema)

    def _refuse_what_is_there(self, what: str) -> None:
        entries = self._target.entries()
        if entries and self._target.mode == "error":
            raise output_exists(self._target, f"{len(entries)} {what}")
        if "_delta_log" in entries:
            raise SinkConflictError(
                code=ErrorCode.OUTPUT_NOT_PARQUET,
                what=f"output '{self._target.path}'",
                got="a Delta table",
                expected="a folder of Parquet files",
                next_step="Use --output-format delta, or name another --output.",
            )
        if self._target.mode == "overwrite":
            self._refuse_foreign(entries)
        foreign = [name for name in entries if not name.startswith(f"{self._target.run_id_column}=")]
        if foreign and self._target.mode == "append":
            raise SinkConflictError(
                code=ErrorCode.OUTPUT_FOREIGN_FILES,
                what=f"output '{self._target.path}'",
                got=f"{names(foreign)} beside the folders of runs, which readers would then pass over without warning",
                expected=f"only folders '{self._target.run_id_column}=…'",
                next_step="Name another --output, or move those files away.",
            )

    def _refuse_foreign(self, entries: list[str]) -> None:
        """Check that ``overwrite`` may replace all files in the output.

        Files that sparkscore wrote may be replaced. With ``output.replace: foreign``, other files that can be part of a
        table may be replaced as well: they are moved to another folder. Nothing else, such as code, may be replaced.

        Raises:
            SinkConflictError: the output contains files that may not be replaced.
        """
        foreign = [name for name in entries if not self._is_own(name)]
        precious = [name for name in foreign if not _is_of_a_table(self._target.path / name)]
        if not foreign or (self._target.replaces_foreign and not precious):
            return
        consent = "Name another --output, or set 'output.replace: foreign' to have them moved aside."
        raise SinkConflictError(
            code=ErrorCode.OUTPUT_FOREIGN_FILES,
            what=f"output '{self._target.path}'",
            got=f"{names(precious or foreign)}, which no run of sparkscore has listed as its own",
            expected="files of earlier runs, which 'overwrite' replaces",
            next_step="Name another --output, or move those files away." if precious else consent,
        )

    def _is_own(self, name: str) -> bool:
        return name.startswith(f"{self._target.run_id_column}=") and is_of_a_run(self._target.path / name)

    def landed(self, schema: StructType, files: Sequence[StagedFile] = ()) -> Published | None:
        """Return the name and row count of this run's folder, or None if the folder does not exist.

        If the folder exists and the driver that held the output's lock has died, the lock is removed. ``files`` are the
        staged files that the run published, if known.

        Raises:
            SinkConflictError: some of ``files`` are not in the folder or, if ``files`` is empty, the folder contains no
                file that sparkscore wrote.
            SinkError: the folder cannot be read, or an unfinished replacement of rows cannot be completed or undone.
        """
        self._recover()
        if not self._run_folder.is_dir():
            return None
        if not self._has_published(files):
            raise SinkConflictError(
                code=ErrorCode.OUTPUT_FOREIGN_FILES,
                what=f"folder '{self._run_folder}', where this run's rows would be",
                got="other files than this run would publish",
                expected="nothing there, or this run's rows",
                state="Nothing was published; what was scored is staged.",
                next_step=f"Move that folder away. {how_to_publish(self._target)}",
            )
        forget_dead_turn(self._target)
        return Published(self._run_folder.name, self._rows(), schema, writer="worker")

    def shows_rows(self) -> bool:
        """Return whether this run's folder exists and contains files that sparkscore published."""
        return self._run_folder.is_dir() and self._has_published(())

    def _has_published(self, files: Sequence[StagedFile]) -> bool:
        """Return whether this run's folder contains files with the names of all given files.

        If no files are given, return whether sparkscore wrote any file in the folder.
        """
        found = {path.name for path in self._run_folder.rglob("*.parquet")}
        if files:
            return {Path(file.path).name for file in files} <= found
        return is_of_a_run(self._run_folder) or any(map(is_result_file, found))

    def holds(self, published: Published) -> bool:
        """Return whether the folder that this run published still exists."""
        return published.version == self._run_folder.name and self._run_folder.is_dir()

    def check_schema(self, schema: StructType, origins: Origins = NO_ORIGINS) -> None:
        """Check the partition columns' types and, in ``append`` mode, compare all columns with those of an earlier run.

        A partition column must be a string, an integer, a boolean or a date, and must not be the run id column. Only
        one file of the earlier run is read for the comparison.
        """
        for name in self._target.partition_by:
            spark_type = schema[name].dataType
            if name == self._target.run_id_column:
                raise SinkSchemaError(
                    code=ErrorCode.OUTPUT_PARTITION_RUN,
                    what=f"partition column '{name}'",
                    got="the run id, by which the folders of runs are partitioned already",
                    next_step="Remove it from 'output.partition_by'.",
                )
            if not isinstance(spark_type, FOLDER_TYPES):
                raise SinkSchemaError(
                    code=ErrorCode.OUTPUT_PARTITION_TYPE,
                    what=f"partition column '{name}'",
                    got=spark_type.simpleString(),
                    expected="text, an integer, a boolean or a date",
                    next_step="Partition by another column, or use --output-format delta.",
                )
        earlier = next((file for file in self._files_of_runs()), None)
        if earlier is None or self._target.mode != "append":
            return
        run, *folders, _ = earlier.relative_to(self._target.path).parts
        check_same_partitioning(self._target, [unescape_path(folder.partition("=")[0]) for folder in folders])
        keys = partition_types(self._target.path / run)
        existing = {**columns_of(from_arrow(pq.read_schema(earlier))), **keys}
        ours = [field for field in schema if field.name in keys or field.name not in self._outside_of_files()]
        check_same_columns(self._target, existing, columns_of(StructType(ours)), origins)

    def publish(self, staged: StagedResult) -> Published:
        """Link the staged files into a new folder, and rename it to the run's folder, which makes all rows visible.

        The output is locked during the last checks and the rename. In ``overwrite`` mode, old files are moved away
        before the rename, and those that sparkscore wrote are removed afterwards. The published folder must contain as
        many rows as were staged.
        """
        folder = staged.folder
        stage, gathered = open_store(folder), folder / f"{PUBLISHED}{self._target.part}"
        try:
            known = known_in(stage)
            clear(stage, lambda name: known(f"{gathered.name}/{name}"), gathered.name)  # left by a crash
            stage.drop(gathered.name)
            stage.make(gathered.name)
            for file in staged.files:
                stage.link(file.path, f"{gathered.name}/{within_task_attempt(file.path)}")
            if not staged.row_count and not self._target.partition_by:
                self._write_empty(gathered, staged.schema)
            list_files(
                gathered, {name: staged.schema[name].dataType.simpleString() for name in self._target.partition_by}
            )
            with turn_at(self._target) as check_turn:
                self.check_again(staged.schema)
                check_turn()
                self._replaced = self._show(gathered, folder)
        except OSError as error:
            # A store may lose the response to a successful rename. The run's folder then contains this run's files.
            if stage.find(gathered.name) is not None or not self._run_folder.is_dir():
                raise SinkError(
                    code=ErrorCode.PUBLISH_FAILED,
                    what=f"publishing to '{self._run_folder}'",
                    got=error.strerror or type(error).__name__,
                    state=state_after_error(self._target.path, self._run_folder.name),
                    next_step=how_to_publish(self._target),
                ) from error
        return self._proof(staged)

    def has_same_rows(self, published: Published, staged: StagedResult, columns: Sequence[str]) -> bool:
        """Return whether the published and staged rows have the same values in the given columns, in any order."""
        del published  # the run has one folder
        there = _count_rows(self._run_folder.rglob("*.parquet"), columns)
        return there == _count_rows((staged.folder / file.path for file in staged.files), columns)

    def read_staged(self, staged: StagedResult) -> DataFrame:
        """Return the rows of the staged files as a DataFrame."""
        stored = StructType([field for field in staged.schema if field.name != self._target.run_id_column])
        rows = read_files(self._spark, staged, stored)
        return rows.withColumn(self._target.run_id_column, lit(self._target.run_id)).select(
            *map(column, staged.schema.names)
        )

    def read(self, published: Published) -> DataFrame:
        """Return this run's rows as a DataFrame, with the types that the run published."""
        # Without a schema, Spark could infer different types for partition columns.
        reader = read_from(self._spark, "parquet", {"basePath": str(self._target.path)}).schema(published.schema)
        return reader.load(spark_path(self._run_folder))

    def _show(self, gathered: Path, stage: Path) -> Path | None:
        """Make staged files visible by renaming their folder to the run's folder.

        In ``overwrite`` mode, old files are replaced.

        Returns:
            the folder that contains old files that were moved away but not removed, or None if there are no such
            files.
        """
        open_store(self._target.path).make()
        disk, (unpublished, run_folder) = open_common(gathered, self._run_folder)
        if self._target.mode != "overwrite":
            disk.rename(unpublished, run_folder)
            return None
        self._recover()
        refuse_rival(self._target.path, self._run_folder.name)
        entries = self._target.entries()
        self._refuse_foreign(entries)
        lock, show = stage.with_name(lock_of(stage.name)), partial(disk.rename, unpublished, run_folder)
        return replace_entries(self._target.path, entries, self._run_folder, lock, show)

    def _recover(self) -> None:
        """Complete or undo replacements that earlier executions of this run, or drivers that died, left unfinished."""
        try:
            recover(self._target.path, self._run_folder.name)
        except OSError as error:
            raise SinkError(
                code=ErrorCode.OUTPUT_UNRECOVERED,
                what=f"the output '{self._target.path}', whose rows a driver was replacing when it died",
                got=error.strerror or type(error).__name__,
                state=MOVED_ROWS,
                next_step="Correct the cause and run 'sparkscore clean'.",
            ) from error

    def _proof(self, staged: StagedResult) -> Published:
        """Check the row count of the published folder and return the folder's name and row count.

        Raises:
            SinkError: the row count differs from the number of staged rows.
        """
        rows = self._rows()
        if rows != staged.row_count:
            raise SinkError(
                code=ErrorCode.PUBLISH_UNPROVEN,
                what=f"the published folder '{self._run_folder}'",
                got=f"{rows} rows",
                expected=f"{staged.row_count} rows",
                state="The folder holds this run's rows as counted.",
                next_step="Remove the folder and run again.",
            )
        moved_to = None if self._replaced is None else str(self._replaced)
        return Published(self._run_folder.name, rows, staged.schema, moved_to, "worker")

    def _rows(self) -> int:
        try:
            return sum(pq.read_metadata(file).num_rows for file in self._run_folder.rglob("*.parquet"))
        except OSError as error:
            raise SinkError(
                code=ErrorCode.TABLE_UNREADABLE,
                what=f"the published folder '{self._run_folder}'",
                got=error.strerror or type(error).__name__,
                state="It exists, but its number of rows could not be read.",
                next_step="Correct the cause and run the same run id again.",
            ) from error

    def _write_empty(self, folder: Path, schema: StructType) -> None:
        kept = StructType([field for field in schema if field.name not in self._outside_of_files()])
        with writing(open_store(folder), EMPTY_PART) as file:
            pq.write_table(to_arrow(kept).empty_table(), file)

    def _outside_of_files(self) -> set[str]:
        return {self._target.run_id_column, *self._target.partition_by}

    def _files_of_runs(self) -> list[Path]:
        return sorted(self._target.path.glob(f"{self._target.run_id_column}=*/**/*.parquet"))


def _is_of_a_table(entry: Path) -> bool:
    if entry.is_dir():
        return "=" in entry.name
    return (
        entry.suffix == ".parquet"
        or entry.name in {"_SUCCESS", "_metadata", "_common_metadata"}
        or (entry.name.startswith(".") and entry.suffix == ".crc")
    )


def _count_rows(files: Iterable[Path], columns: Sequence[str]) -> Counter[tuple[object, ...]]:
    tables = (
        pq.read_table(file, columns=list(columns), partitioning=None, page_checksum_verification=True) for file in files
    )
    return Counter(tuple(row.values()) for table in tables for row in table.to_pylist())
