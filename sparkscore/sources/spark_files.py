"""List the files of a CSV, JSON or Parquet input, and read their rows with Spark. Runs on the driver.

This module has the code that the three formats share. The code for each format is in ``csv_source``, ``json_source``
or ``parquet_source``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, names
from sparkscore.location import folder_text, spark_path
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.object_store import ObjectStore
from sparkscore.plan import InputFile, Snapshot, digest_of_files
from sparkscore.sources.agreement import (
    check_against_files,
    check_column_names,
    partition_keys,
    refuse_delta_table,
    refuse_patterns_in_names,
)
from sparkscore.sources.folder_keys import as_texts, check_key_values, key_values, with_key_values
from sparkscore.sources.listing import EMPTY, HIDDEN, Listing, is_hidden, list_files
from sparkscore.sources.object_listing import list_objects
from sparkscore.sources.reader_options import find_option
from sparkscore.sources.rows import check_wanted, select_columns
from sparkscore.sources.samples import with_samples
from sparkscore.spark.jvm_names import refuse_unreadable_names
from sparkscore.spark.settings import read_from
from sparkscore.survey.declared_texts import UTC

#: A function that gets column names. It returns them in the order of the files, and the reason why that order is
#: uncertain (an empty string if it is certain).
FindOrder = Callable[[list[str]], tuple[list[str], str]]


@dataclass(frozen=True)
class SparkFiles:
    """The files of an input, with the information that Spark needs to read them.

    Attributes:
        spark: the session.
        file_format: Spark's name for the format.
        options: options for Spark's reader.
        files: the files.
        keys: the names of the partition columns, from the ``key=value`` folders that contain the files.
        folder: the folder that contains the partition folders, or None if there are no partition columns.
    """

    spark: SparkSession
    file_format: str
    options: Mapping[str, str]
    files: tuple[InputFile, ...]
    keys: tuple[str, ...]
    folder: Path | None

    @property
    def zone(self) -> str:
        """The time zone for timestamps without a time zone: the 'timeZone' option, or UTC by default."""
        return find_option(self.options, "timeZone") or UTC

    def key_values(self, path: str) -> tuple[str | None, ...]:
        """Return the values of the partition columns for a file path. None stands for NULL."""
        return () if self.folder is None else key_values(path, self.folder, self.keys)

    def infer_schema(self) -> StructType:
        """Return the schema that Spark infers from the files, without the partition columns.

        Raises:
            SourceError: 'multiLine' is true, and a file path contains a glob character.
        """
        if find_option(self.options, "multiLine") == "true":
            refuse_patterns_in_names(self.files)
        return read_from(self.spark, self.file_format, self.options).load(_paths(self.files)).schema

    def load(self, schema: StructType, files: Sequence[InputFile] | None = None) -> DataFrame:
        """Return the rows of the files, read with a schema.

        Args:
            schema: the columns to read.
            files: the files to read, or None for all files of this object.
        """
        options = {**self.options, "inferSchema": "false"}
        if self.folder is not None:
            options["basePath"] = folder_text(self.folder)
        return read_from(self.spark, self.file_format, options).schema(schema).load(_paths(files or self.files))

    def read_rows(
        self, declared: StructType | None, of_files: StructType, read: Callable[[StructType], DataFrame]
    ) -> DataFrame:
        """Return the rows of the files, with their partition columns and hidden columns.

        Args:
            declared: the columns that 'input.schema' declares, or None if it is not set.
            of_files: the columns of the files. Their types are used if no columns are declared.
            read: a function that reads the rows with a given schema and adds the hidden columns. In this schema, the
                partition columns are strings.

        Raises:
            SourceSchemaError: see `whole_schema`.
        """
        return self.load_rows(self.whole_schema(declared, of_files), read)

    def whole_schema(self, declared: StructType | None, of_files: StructType) -> StructType:
        """Return the columns of the input, including its partition columns, and check them.

        Args:
            declared: the columns that 'input.schema' declares, or None if it is not set.
            of_files: the columns of the files. Their types are used if no columns are declared.

        Raises:
            SourceSchemaError: the declared columns, the partition columns and the columns of the files do not match; a
                value of a partition column does not fit its declared type; or a column name is not allowed, see
                `check_column_names`.
        """
        schema = self._with_keys(declared, of_files)
        if declared is not None and self.folder is not None:
            check_key_values(self.files, self.folder, schema, self.keys, self.zone)
        check_column_names(schema.names, self.file_format)
        return schema

    def load_rows(self, schema: StructType, read: Callable[[StructType], DataFrame]) -> DataFrame:
        """Return the rows of the files, with their partition columns and hidden columns.

        Args:
            schema: the columns of the input, from `whole_schema`.
            read: a function that reads the rows with a given schema, as for `read_rows`.
        """
        return with_key_values(read(as_texts(schema, self.keys)), schema, self.keys, self.zone)

    def select_in_order(
        self, frame: DataFrame, wanted: tuple[str, ...] | None, declared: StructType | None, find_order: FindOrder
    ) -> tuple[DataFrame, str]:
        """Return the rows with their columns in the order that `order_of` determines.

        Args:
            frame: the rows.
            wanted: the columns in 'input.columns', or None for all columns.
            declared: the columns that 'input.schema' declares, or None if it is not set.
            find_order: a function that puts column names into the order of the files.

        Returns:
            the rows, and the reason why their column order is uncertain (an empty string if it is certain).

        Raises:
            SourceSchemaError: a column in 'input.columns' does not exist.
        """
        present = [name for name in frame.columns if name not in HIDDEN_COLUMNS]
        order, doubt = self.order_of(present, wanted, declared, find_order)
        return select_columns(frame, None if order == present else tuple(order), self.file_format), doubt

    def order_of(
        self, present: Sequence[str], wanted: tuple[str, ...] | None, declared: StructType | None, find: FindOrder
    ) -> tuple[list[str], str]:
        """Return the columns in the order of 'input.columns', 'input.schema' or the files.

        The first of these that is available decides. Without 'input.columns', undeclared partition columns come last.

        Args:
            present: the columns of the input.
            wanted: the columns in 'input.columns', or None for all columns.
            declared: the columns that 'input.schema' declares, or None if it is not set.
            find: a function that puts column names into the order of the files.

        Returns:
            the columns, and the reason why their order is uncertain (an empty string if it is certain).

        Raises:
            SourceSchemaError: a column in 'input.columns' does not exist.
        """
        if wanted:
            check_wanted(present, wanted, self.file_format)
            return list(wanted), ""
        if declared is None:
            order, doubt = find([name for name in present if name not in self.keys])
        else:
            order, doubt = [name for name in declared.names if name in present], ""
        last = [name for name in present if name not in order]
        return [*order, *last], doubt or doubt_of_keys(last)

    def _with_keys(self, declared: StructType | None, of_files: StructType) -> StructType:
        """Return the schema of the input, with the undeclared partition columns last, as strings.

        The other columns are the declared columns or, if none are declared, the columns of the files. The types of
        undeclared partition columns are not inferred, because the folder names '01', '1' and '1.0' would all become the
        same number.

        Args:
            declared: the columns that 'input.schema' declares, or None to use the columns of the files.
            of_files: the columns of the files.

        Raises:
            SourceSchemaError: a partition column is also in the files, or a declared column does not exist.
        """
        check_against_files(self.keys, None if declared is None else declared.names, of_files.names, self.file_format)
        columns = of_files if declared is None else declared
        keys = [StructField(key, StringType()) for key in self.keys if key not in columns.names]
        return StructType([*columns.fields, *keys])


def doubt_of_keys(keys: Sequence[str]) -> str:
    """Return the reason why partition columns make the column order uncertain.

    Partition columns are not in the files, so they have no position among the files' columns. If there are no partition
    columns, return an empty string.

    Args:
        keys: the names of the undeclared partition columns.
    """
    return f"{names(keys)} is the key of folders, which has no position among the columns of the files" if keys else ""


def open_files(spark: SparkSession, listing: Listing, file_format: str, options: Mapping[str, str]) -> SparkFiles:
    """Return the listed files, with the information that Spark needs to read them.

    Args:
        spark: the session.
        listing: the files, as returned by `list_readable_files`.
        file_format: Spark's name for the format.
        options: options for Spark's reader.

    Raises:
        SourceError: a file is in the folder of a Delta table.
        SourceSchemaError: the files have different partition columns, or a partition column occurs twice in a path.
    """
    refuse_delta_table(listing.files)
    keys = partition_keys(listing.files, listing.folder)
    return SparkFiles(spark, file_format, options, listing.files, keys, listing.folder if keys else None)


def list_readable_files(spark: SparkSession, locations: Sequence[str], store: ObjectStore | None = None) -> Listing:
    """List the files of an input that Spark's readers do not skip.

    Hidden and empty files are left out. Each remaining file gets the digest of a sample of its bytes, unless it is in a
    store; see `with_samples`.

    Args:
        spark: the session.
        locations: the locations of the input.
        store: the store that contains all of them, or None if they are local.

    Raises:
        SourceNotFoundError: a location does not exist, and no file matches it as a glob.
        SourceError: Spark cannot open a file because of its name, or the files cannot be listed; see `list_files`.
        ConfigError: a location is remote; or the path of a file is not ASCII, and Spark's JVM cannot open it.
    """
    listing = list_files(locations) if store is None else list_objects(store, locations)
    files, skipped = _without_skipped(listing.files, listing.skipped)
    refuse_unreadable_names(spark, (file.path for file in files))
    return Listing(with_samples(files) if store is None else files, skipped, listing.folder)


def snapshot_of_files(
    config: Input, listing: Listing, file_format: str, *, items: int | None, order_doubt: str
) -> Snapshot:
    """Return the snapshot of a CSV, JSON or Parquet input, whose items are rows.

    Args:
        config: the deployment's 'input' section.
        listing: the files of the input.
        file_format: the format of the files.
        items: the number of rows, or None if it is not known yet.
        order_doubt: why the column order is uncertain, or an empty string if it is certain.
    """
    return Snapshot(
        format=file_format,
        location=config.location[0] if len(config.location) == 1 else list(config.location),
        version=digest_of_files(listing.files),
        size_bytes=sum(file.size_bytes for file in listing.files),
        items=items,
        files=listing.files,
        skipped=listing.skipped,
        order_doubt=order_doubt,
    )


def _paths(files: Sequence[InputFile]) -> list[str]:
    return [spark_path(file.path) for file in files]


def _name(file: InputFile) -> str:
    return file.path.rpartition("/")[2]


def _without_skipped(
    files: tuple[InputFile, ...], skipped: dict[str, int]
) -> tuple[tuple[InputFile, ...], dict[str, int]]:
    """Leave out hidden and empty files, which Spark would skip.

    Returns:
        the other files, and the number of files that are left out, by reason.

    Raises:
        SourceError: a file that is not left out has a colon in its name, so that Spark cannot open it.
    """
    hidden = {file.path for file in files if is_hidden(_name(file))}
    empty = {file.path for file in files if not file.size_bytes} - hidden
    left = tuple(file for file in files if file.path not in hidden | empty)
    unreadable = [file.path for file in left if ":" in _name(file)]
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
