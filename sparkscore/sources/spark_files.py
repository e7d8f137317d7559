"""The source whose items are the rows of Parquet or JSON files that Spark reads (driver)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, names
from sparkscore.location import spark_path
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.plan import InputFile, Snapshot, digest_of_files
from sparkscore.sources.agreement import (
    check_against_files,
    check_column_names,
    partition_keys,
    refuse_delta_table,
    refuse_patterns_in_names,
)
from sparkscore.sources.column_order import doubt_of_parquet, order_of_json
from sparkscore.sources.declaration import declared_fields
from sparkscore.sources.folder_keys import as_texts, check_key_values, with_key_values
from sparkscore.sources.footers import count_nulls
from sparkscore.sources.json_files import JsonFiles, json_options, read_json
from sparkscore.sources.json_integers import read_integers
from sparkscore.sources.listing import EMPTY, HIDDEN, is_hidden, list_files
from sparkscore.sources.parquet_files import (
    Footer,
    ParquetPlan,
    names_of,
    plan_parquet,
    read_footers,
    refuse_cut_times,
)
from sparkscore.sources.parquet_rows import read_plan
from sparkscore.sources.rows import select_columns, with_source_file
from sparkscore.sources.samples import check_files_unchanged, with_samples
from sparkscore.spark.errors import SPARK_ERRORS, explain_read_error
from sparkscore.spark.jvm_names import refuse_unreadable_names
from sparkscore.spark.settings import pinned_settings, read_from
from sparkscore.survey.declared_texts import UTC

# FAILFAST: Spark's default turns what it cannot parse into NULLs, and a lost value is worse than a stopped run.
# Of Parquet files Spark shall read all columns of all files.
_DEFAULT_OPTIONS: dict[str, dict[str, str]] = {
    "parquet": {"mergeSchema": "true"},
    "json": {"mode": "FAILFAST"},
}


class SparkFilesSource:
    """Rows of files. The file list is made here and handed to Spark, so files that come later do not get in."""

    def __init__(self, spark: SparkSession, config: Input) -> None:
        self._spark = spark
        self._format = str(config.format)
        self._options = _DEFAULT_OPTIONS.get(self._format, {}) | config.options
        if self._format == "json":
            self._options = json_options(self._options)
        self._zone = {key.lower(): value for key, value in config.options.items()}.get("timezone", UTC)
        listing = list_files(config.location)
        readable, skipped = _readable(listing.files, listing.skipped)
        refuse_unreadable_names(spark, (file.path for file in readable))
        readable = with_samples(readable)
        self._files = readable
        self._order_doubt = ""
        self._json: JsonFiles | None = None
        self._footers: list[Footer | None] = []
        self._plan: ParquetPlan | None = None
        self._without_null: frozenset[str] = frozenset()
        self._frame = self._read(spark, config, listing.folder) if readable else None
        self._snapshot = Snapshot(
            format=self._format,
            location=config.location[0] if len(config.location) == 1 else list(config.location),
            version=digest_of_files(readable),
            size_bytes=sum(file.size_bytes for file in readable),
            items=self._count(),
            files=readable,
            skipped=skipped,
            order_doubt=self._order_doubt,
        )

    @property
    def snapshot(self) -> Snapshot:
        """What was pinned."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Give the rows, each with its file."""
        return self._frame

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Count as far as JSON records and the footers of Parquet files tell; declared NOT NULL, columns have none."""
        declared = dict.fromkeys(self._without_null & set(columns), 0)
        others = set(columns) - self._without_null
        if self._json is not None:
            return declared | (self._json.count_nulls(others) if self._json.are_all_read else {})
        if self._format != "parquet":
            return declared
        return declared | count_nulls([file.path for file in self._files], others)

    def check_contents(self) -> None:
        """Look for what Spark would cut off in Parquet's old times."""
        if self._format == "parquet" and self._frame is not None:
            refuse_cut_times(self._spark, self._files, self._footers, self._frame.columns)

    def check_unchanged(self) -> None:
        """Compare the files with the listing."""
        check_files_unchanged(self._files)

    def _read(self, spark: SparkSession, config: Input, folder: Path | None) -> DataFrame:
        refuse_delta_table(self._files)
        keys = partition_keys(self._files, folder)
        try:
            with pinned_settings(spark):
                schema = self._schema(spark, config, keys)
                if folder is not None and config.schema_ddl:
                    check_key_values(self._files, folder, schema, keys, self._zone)
                frame = self._rows(spark, schema, keys, folder if keys else None)
                check_column_names(schema.names, self._format)
                # Spark moves the keys of folders behind all others, whatever the schema says.
                present = [name for name in frame.columns if name not in HIDDEN_COLUMNS]
                wanted = config.columns or self._order(present, config, keys)
                return select_columns(frame, wanted, self._format)
        except SPARK_ERRORS as error:
            raise explain_read_error(error, self._format) from error

    def _order(self, present: list[str], config: Input, keys: tuple[str, ...]) -> tuple[str, ...] | None:
        """Give the columns in the order that the user or the files give them, and note where there is none.

        None where Spark has them in that order.
        """
        order = of_files = [name for name in present if name not in keys]
        if config.schema_ddl:
            declared = [field.name for field in declared_fields(config.schema_ddl)]
            order = [name for name in declared if name in present]
        elif self._format == "json":
            order, self._order_doubt = order_of_json(self._files, self._options, of_files)
        elif self._format == "parquet":
            self._order_doubt = doubt_of_parquet(self._files, names_of(self._footers))
        if behind := [name for name in present if name not in order]:
            told = f"{names(behind)} is the key of folders, which has no place among the columns of the files"
            self._order_doubt = self._order_doubt or told
        return None if [*order, *behind] == present else (*order, *behind)

    def _schema(self, spark: SparkSession, config: Input, keys: tuple[str, ...]) -> StructType:
        """Decide the columns: as declared, or as the files have them, and the folders' keys, which are texts.

        The rows are then read with that schema, so that nothing is guessed a second time: Spark Connect would guess
        again at each action, and takes '01', '1' and '1.0' in folders' names for one number.
        """
        declared = config.schema_ddl
        told = StructType(declared_fields(declared) if declared else [])
        self._without_null = frozenset(field.name for field in told if not field.nullable)
        of_files = self._schema_of_files(spark, told if declared else None, config.columns)
        check_against_files(keys, told.names if declared else None, of_files.names, self._format)
        if not declared:
            told = of_files
        folders = [StructField(key, StringType()) for key in keys if key not in told.names]
        return StructType([*told.fields, *folders])

    def _rows(
        self, spark: SparkSession, schema: StructType, keys: tuple[str, ...], partitioned: Path | None
    ) -> DataFrame:
        texts = as_texts(schema, keys)
        if self._plan is None:
            respelled = frozenset() if self._json is None else self._json.respelled
            frame = read_integers(lambda read: with_source_file(self._load(spark, read, partitioned)), texts, respelled)
        else:
            load = partial(self._load, spark, partitioned=partitioned)
            frame = read_plan(self._plan, texts, keys, lambda stored, files: load(stored, files=files))
        return with_key_values(frame, schema, keys, self._zone)

    def _schema_of_files(
        self, spark: SparkSession, declared: StructType | None, wanted: tuple[str, ...] | None
    ) -> StructType:
        if self._format == "json":
            self._json = read_json(spark, self._files, self._options, declared, wanted)
            if self._json.schema is not None:
                return self._json.schema
        if self._format == "parquet":
            self._footers = read_footers(self._files)
            self._plan = plan_parquet(self._files, self._footers, declared, wanted)
            if self._plan is not None:
                return self._plan.schema
        return self._load(spark, None, None).schema

    def _load(
        self,
        spark: SparkSession,
        schema: StructType | None,
        partitioned: Path | None,
        files: Sequence[InputFile] | None = None,
    ) -> DataFrame:
        if schema is None and self._options.get("multiLine") == "true":
            refuse_patterns_in_names(self._files)
        places = {} if partitioned is None else {"basePath": str(partitioned)}
        guess = {} if schema is None else {"inferSchema": "false"}
        reader = read_from(spark, self._format, self._options | guess | places)
        if schema is not None:
            reader = reader.schema(schema)
        return reader.load([spark_path(file.path) for file in files or self._files])

    def _count(self) -> int | None:
        """Count the rows where that is known without another pass."""
        if self._frame is None:
            return 0
        if self._json is not None and self._json.are_all_read:
            return self._json.rows
        if self._format != "parquet":
            return None
        try:
            with pinned_settings(self._spark):
                return self._frame.count()
        except SPARK_ERRORS as error:
            raise explain_read_error(error, self._format) from error


def _readable(files: tuple[InputFile, ...], skipped: dict[str, int]) -> tuple[tuple[InputFile, ...], dict[str, int]]:
    """Set aside what Spark would pass over without warning, and refuse what it cannot open."""
    hidden = {file.path for file in files if is_hidden(Path(file.path).name)}
    empty = {file.path for file in files if not file.size_bytes} - hidden
    left = tuple(file for file in files if file.path not in hidden | empty)
    unreadable = [file.path for file in left if ":" in Path(file.path).name]
    if unreadable:
        raise SourceError(
            code=ErrorCode.INPUT_NAME,
            what=f"input file '{unreadable[0]}'",
            got="a ':' in its name, with which Hadoop's file system cannot open it",
            next_step="Rename the file, or read the input with --input-format files.",
        )
    counts = dict(skipped)
    for reason, paths in ((HIDDEN, hidden), (EMPTY, empty)):
        if paths:
            counts[reason] = counts.get(reason, 0) + len(paths)
    return left, counts
