"""Publish into a folder of Parquet files: the staged files are moved into place by one rename (driver)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import lit
from pyspark.sql.types import BooleanType, DateType, IntegralType, StringType, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkConflictError, SinkError, SinkSchemaError, names
from sparkscore.location import spark_path
from sparkscore.sinks.origins import NO_ORIGINS, Origins
from sparkscore.sinks.replacing import (
    is_of_a_run,
    list_files,
    partition_types,
    recover,
    refuse_rival,
    replace_entries,
)
from sparkscore.sinks.target import (
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
from sparkscore.stage import StagedFile
from sparkscore.stage.clearing import clear
from sparkscore.stage.layout import PUBLISHED, attempt_of, is_result_file, known_in, lock_of, within_attempt
from sparkscore.stage.store import writing
from sparkscore.stage.surroundings import open_common, open_store
from sparkscore.stage.writer import unescape_path

# Types whose text in a folder's name every reader takes back to the same value.
_PARTITION_TYPES = (StringType, IntegralType, BooleanType, DateType)


class ParquetSink:
    """A folder of Parquet files: ``<target>/run_id=<id>/…``, a folder for each run.

    Spark's own writer never points at the target: after a killed driver its next append would show the dead run's rows
    as well. One rename shows all rows of a run or none.
    """

    format = "parquet"
    lays_out_partitions = True

    def __init__(self, spark: SparkSession, target: Target) -> None:
        self._spark = spark
        self._target = target
        self._replaced: Path | None = None
        self._run_folder = target.path / f"{target.run_id_column}={target.run_id}"

    @property
    def target(self) -> Target:
        """Where the result goes and how."""
        return self._target

    def check_target(self, *, is_retried: bool = False) -> None:  # noqa: ARG002 - a rename leaves nothing by halves
        """Refuse an existing output in mode ``error``, and files that runs did not write in mode ``append``."""
        self._recover()
        if self._run_folder.exists() and self._target.mode != "error":
            raise run_exists(self._target)
        self._refuse_what_is_there("files or folders")
        check_writable(self._target)

    def columns_without_null(self) -> list[str]:
        """Name no columns: those of the files all take NULL."""
        return []

    def check_rows(self, rows: Callable[[], DataFrame], schema: StructType) -> None:
        """Refuse no rows: files have no rules."""

    def check_again(self, schema: StructType) -> None:
        """Refuse what came since; under the output's lock it stays refused or true until the rows are shown."""
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
        """Refuse to replace what sparkscore has not written: always what is no part of a table, such as code or models.

        Raises:
            SinkConflictError: it is there, and nobody has consented.
        """
        foreign = [name for name in entries if not self._is_own(name)]
        precious = [name for name in foreign if not _is_of_a_table(self._target.path / name)]
        if not foreign or (self._target.replaces_foreign and not precious):
            return
        consent = "Name another --output, or set 'output.replace: foreign' to have them moved aside."
        raise SinkConflictError(
            code=ErrorCode.OUTPUT_FOREIGN_FILES,
            what=f"output '{self._target.path}'",
            got=f"{names(precious or foreign)}, which no run of sparkscore's has listed as its own",
            expected="what earlier runs have published, which 'overwrite' replaces",
            next_step="Name another --output, or move those files away." if precious else consent,
        )

    def _is_own(self, name: str) -> bool:
        return name.startswith(f"{self._target.run_id_column}=") and is_of_a_run(self._target.path / name)

    def landed(self, schema: StructType, files: Sequence[StagedFile] = ()) -> Published | None:
        """Find this run's folder, which is there with all its rows or not at all."""
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
        return Published(self._run_folder.name, self._rows(), schema)

    def shows_rows(self) -> bool:
        """Whether readers see rows of this run: its folder has them all, or is not there."""
        return self._run_folder.is_dir() and self._has_published(())

    def _has_published(self, files: Sequence[StagedFile]) -> bool:
        """Whether the folder of this run has its files, or, where these are not certain, files of sparkscore's."""
        found = {path.name for path in self._run_folder.rglob("*.parquet")}
        if files:
            return {Path(file.path).name for file in files} <= found
        return is_of_a_run(self._run_folder) or any(map(is_result_file, found))

    def holds(self, published: Published) -> bool:
        """Tell whether the folder of this run is still there."""
        return published.version == self._run_folder.name and self._run_folder.is_dir()

    def check_schema(self, schema: StructType, origins: Origins = NO_ORIGINS) -> None:
        """Refuse partition columns of other than simple types, and columns that differ from earlier runs'."""
        for name in self._target.partition_by:
            kind = schema[name].dataType
            if name == self._target.run_id_column:
                raise SinkSchemaError(
                    code=ErrorCode.OUTPUT_PARTITION_RUN,
                    what=f"partition column '{name}'",
                    got="the run id, which is every run's own folder already",
                    next_step="Leave it out of 'output.partition_by'.",
                )
            if not isinstance(kind, _PARTITION_TYPES):
                raise SinkSchemaError(
                    code=ErrorCode.OUTPUT_PARTITION_TYPE,
                    what=f"partition column '{name}'",
                    got=kind.simpleString(),
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
        """Gather the staged files in one folder and rename it to the run's folder."""
        stage, gathered = open_store(staged.stage), staged.stage / f"{PUBLISHED}{self._target.part}"
        try:
            known = known_in(stage)
            clear(stage, lambda name: known(f"{gathered.name}/{name}"), gathered.name)  # of an attempt that died here
            stage.drop(gathered.name)
            stage.make(gathered.name)
            for file in staged.files:
                stage.link(file.path, f"{gathered.name}/{within_attempt(file.path)}")
            if not staged.row_count and not self._target.partition_by:
                self._write_empty(gathered, staged.schema)
            list_files(
                gathered, {name: staged.schema[name].dataType.simpleString() for name in self._target.partition_by}
            )
            with turn_at(self._target) as check_turn:
                self.check_again(staged.schema)
                check_turn()
                self._replaced = self._show(gathered, staged.stage)
        except OSError as error:
            # A store may lose the answer to a rename that it made: then the folder of the run is there, and ours.
            if stage.find(gathered.name) is not None or not self._run_folder.is_dir():
                raise SinkError(
                    code=ErrorCode.PUBLISH_FAILED,
                    what=f"publishing to '{self._run_folder}'",
                    got=error.strerror or type(error).__name__,
                    state="The output is as it was before the run.",
                    next_step=how_to_publish(self._target),
                ) from error
        return self._proof(staged)

    def has_same_rows(self, published: Published, staged: StagedResult, columns: Sequence[str]) -> bool:  # noqa: ARG002
        """Compare the rows of the files."""
        there = _count_rows(self._run_folder.rglob("*.parquet"), columns)
        return there == _count_rows((staged.stage / file.path for file in staged.files), columns)

    def read_staged(self, staged: StagedResult) -> DataFrame:
        """Read the staged files, those of each task attempt with the partitions that their folders name."""
        stored = StructType([field for field in staged.schema if field.name != self._target.run_id_column])
        rows = self._spark.createDataFrame([], stored)
        attempts = groupby(staged.files, key=lambda file: attempt_of(file.path))
        for attempt, files in attempts:
            place = {"basePath": spark_path(staged.stage / attempt)}
            paths = [spark_path(staged.stage / file.path) for file in files]
            rows = rows.unionByName(read_from(self._spark, "parquet", place).schema(stored).load(paths))
        return rows.withColumn(self._target.run_id_column, lit(self._target.run_id)).select(
            *map(column, staged.schema.names)
        )

    def read(self, published: Published) -> DataFrame:
        """Give this run's rows. Types come from the run, so that partition columns keep theirs."""
        reader = read_from(self._spark, "parquet", {"basePath": str(self._target.path)}).schema(published.schema)
        return reader.load(spark_path(self._run_folder))

    def _show(self, gathered: Path, stage: Path) -> Path | None:
        """Show the gathered files; give the folder to which others' files were moved, if there were any."""
        open_store(self._target.path).make()
        disk, (source, run_folder) = open_common(gathered, self._run_folder)
        if self._target.mode != "overwrite":
            disk.rename(source, run_folder)
            return None
        self._recover()
        refuse_rival(self._target.path, self._run_folder.name)
        entries = self._target.entries()
        self._refuse_foreign(entries)
        lock, show = stage.with_name(lock_of(stage.name)), partial(disk.rename, source, run_folder)
        return replace_entries(self._target.path, entries, self._run_folder, lock, show)

    def _recover(self) -> None:
        """Take up what a driver has left that died while it replaced rows, also this run's own."""
        try:
            recover(self._target.path, self._run_folder.name)
        except OSError as error:
            raise SinkError(
                code=ErrorCode.OUTPUT_UNRECOVERED,
                what=f"the output '{self._target.path}', whose rows a driver that died was replacing",
                got=error.strerror or type(error).__name__,
                state="Its rows are there or in its folder '_replaced_by_…'.",
                next_step="Correct the cause and run 'sparkscore clean'.",
            ) from error

    def _proof(self, staged: StagedResult) -> Published:
        """Count the published rows from the files' footers."""
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
        return Published(
            self._run_folder.name, rows, staged.schema, None if self._replaced is None else str(self._replaced)
        )

    def _rows(self) -> int:
        try:
            return sum(pq.read_metadata(file).num_rows for file in self._run_folder.rglob("*.parquet"))
        except OSError as error:
            raise SinkError(
                code=ErrorCode.TABLE_UNREADABLE,
                what=f"the published folder '{self._run_folder}'",
                got=error.strerror or type(error).__name__,
                state="It is there; how many rows it has could not be read.",
                next_step="Correct the cause and run the same run id again.",
            ) from error

    def _write_empty(self, folder: Path, schema: StructType) -> None:
        kept = StructType([field for field in schema if field.name not in self._outside_of_files()])
        with writing(open_store(folder), "part-00000-empty.parquet") as file:
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
