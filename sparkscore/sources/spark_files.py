"""List the files of a CSV, JSON or Parquet input, and read their rows with Spark (driver).

The three sources share this module. What is particular to a format is in ``csv_source``, ``json_source`` and
``parquet_source``.
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
from sparkscore.sources.folder_keys import as_texts, check_key_values, with_key_values
from sparkscore.sources.listing import EMPTY, HIDDEN, Listing, is_hidden, list_files
from sparkscore.sources.rows import select_columns
from sparkscore.sources.samples import with_samples
from sparkscore.spark.jvm_names import refuse_unreadable_names
from sparkscore.spark.settings import read_from
from sparkscore.survey.declared_texts import UTC

#: Takes the columns of the files. Returns them in the files' order, and why that order is in doubt, or an empty text.
FindOrder = Callable[[list[str]], tuple[list[str], str]]


@dataclass(frozen=True)
class SparkFiles:
    """The files of an input, with what Spark needs to read them.

    Attributes:
        spark: the session.
        file_format: Spark's name of the format.
        options: options for Spark's reader.
        files: the files.
        keys: the keys of the partition folders ``key=value`` that contain the files. Each key is a column.
        folder: the folder that contains the partition folders, or None if there are none.
    """

    spark: SparkSession
    file_format: str
    options: Mapping[str, str]
    files: tuple[InputFile, ...]
    keys: tuple[str, ...]
    folder: Path | None

    @property
    def zone(self) -> str:
        """The time zone of times that are written without one."""
        return {key.lower(): value for key, value in self.options.items()}.get("timezone", UTC)

    def infer_schema(self) -> StructType:
        """Return the schema that Spark infers from the files, without the keys of their folders."""
        if self.options.get("multiLine") == "true":
            refuse_patterns_in_names(self.files)
        return read_from(self.spark, self.file_format, self.options).load(_paths(self.files)).schema

    def load(self, schema: StructType, files: Sequence[InputFile] | None = None) -> DataFrame:
        """Read the files, or only the given ones, with a schema.

        The frame also has Spark's column ``_metadata``, from which `with_source_file` takes the file of each row.
        """
        options = {**self.options, "inferSchema": "false"}
        if self.folder is not None:
            options["basePath"] = str(self.folder)
        return read_from(self.spark, self.file_format, options).schema(schema).load(_paths(files or self.files))

    def read_rows(
        self, declared: StructType | None, of_files: StructType, read: Callable[[StructType], DataFrame]
    ) -> DataFrame:
        """Read the rows, each with its file and with the keys of its folders.

        Args:
            declared: the columns that 'input.schema' declares, or None if it declares none.
            of_files: the columns of the files. Their types are used if none are declared.
            read: reads the rows with a schema in which the keys are strings.

        Raises:
            SourceSchemaError: the declared columns, the columns of the files and the keys do not fit together.
        """
        schema = self._with_keys(declared, of_files)
        if declared is not None and self.folder is not None:
            check_key_values(self.files, self.folder, schema, self.keys, self.zone)
        frame = with_key_values(read(as_texts(schema, self.keys)), schema, self.keys, self.zone)
        check_column_names(schema.names, self.file_format)
        return frame

    def select_in_order(
        self, frame: DataFrame, wanted: tuple[str, ...] | None, declared: StructType | None, find_order: FindOrder
    ) -> tuple[DataFrame, str]:
        """Select the columns of an input in the order that the deployment or the files give them.

        Args:
            frame: the rows.
            wanted: 'input.columns', or None for all columns.
            declared: the columns that 'input.schema' declares, or None if it declares none.
            find_order: finds the order of columns that are not declared.

        Returns:
            the rows, and why the order of their columns is in doubt (an empty text if it is certain).
        """
        if wanted:
            return select_columns(frame, wanted, self.file_format), ""
        # Spark moves the keys of folders behind all other columns, whatever the schema says.
        present = [name for name in frame.columns if name not in HIDDEN_COLUMNS]
        if declared is None:
            order, doubt = find_order([name for name in present if name not in self.keys])
        else:
            order, doubt = [name for name in declared.names if name in present], ""
        last = [name for name in present if name not in order]
        in_order = None if [*order, *last] == present else (*order, *last)
        return select_columns(frame, in_order, self.file_format), doubt or doubt_of_keys(last)

    def _with_keys(self, declared: StructType | None, of_files: StructType) -> StructType:
        """Return the schema of the input: the columns of the files, then the keys, which are strings if undeclared.

        The rows are read with this schema, so that Spark infers nothing a second time. Spark Connect would infer the
        types again in each action, and it takes '01', '1' and '1.0' in the names of folders for the same number.
        """
        check_against_files(self.keys, None if declared is None else declared.names, of_files.names, self.file_format)
        columns = of_files if declared is None else declared
        keys = [StructField(key, StringType()) for key in self.keys if key not in columns.names]
        return StructType([*columns.fields, *keys])


def doubt_of_keys(keys: Sequence[str]) -> str:
    """Return why the position of undeclared key columns is in doubt, or an empty text if there are none."""
    return f"{names(keys)} is the key of folders, which has no position among the columns of the files" if keys else ""


def open_files(spark: SparkSession, listing: Listing, file_format: str, options: Mapping[str, str]) -> SparkFiles:
    """Return listed files, ready to be read by Spark.

    Args:
        spark: the session.
        listing: the files, as `list_readable_files` returns them.
        file_format: Spark's name of the format.
        options: options for Spark's reader.

    Raises:
        SourceError: the files belong to a Delta table.
        SourceSchemaError: the folders of the files have different keys.
    """
    refuse_delta_table(listing.files)
    keys = partition_keys(listing.files, listing.folder)
    return SparkFiles(spark, file_format, options, listing.files, keys, listing.folder if keys else None)


def list_readable_files(spark: SparkSession, locations: Sequence[str]) -> Listing:
    """List the files of an input that Spark's readers can open and do not skip.

    The list is made once and then handed to Spark, so a file that is added later is not read.

    Raises:
        SourceNotFoundError: a location names nothing.
        SourceError: Spark cannot open a file because of its name.
    """
    listing = list_files(locations)
    files, skipped = _without_skipped(listing.files, listing.skipped)
    refuse_unreadable_names(spark, (file.path for file in files))
    return Listing(with_samples(files), skipped, listing.folder)


def snapshot_of_files(
    config: Input, listing: Listing, file_format: str, *, items: int | None, order_doubt: str
) -> Snapshot:
    """Return the snapshot of an input of files whose items are rows.

    Args:
        config: the deployment's input.
        listing: the files.
        file_format: the format of the files.
        items: how many rows there are, or None if that is not known yet.
        order_doubt: why the order of the columns is in doubt, or an empty text.
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


def _without_skipped(
    files: tuple[InputFile, ...], skipped: dict[str, int]
) -> tuple[tuple[InputFile, ...], dict[str, int]]:
    """Leave out the files that Spark skips without a warning, and refuse those that it cannot open.

    Returns:
        the other files, and how many were left out, by reason.
    """
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
