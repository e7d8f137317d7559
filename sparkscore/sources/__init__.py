"""Open the input of a run: list its files or find its table version, before anything is scored. Runs on the driver.

`open_source` detects the format of the input and returns the matching `Source`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SourceNotFoundError
from sparkscore.plan import Snapshot
from sparkscore.sources.csv_source import CsvSource
from sparkscore.sources.delta import DeltaSource
from sparkscore.sources.failed_items import FailedItems, items_of, open_failed
from sparkscore.sources.file_list import FileListSource
from sparkscore.sources.formats import detect_format
from sparkscore.sources.json_source import JsonSource
from sparkscore.sources.parquet_source import ParquetSource
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.sources.reader_options import check_options

__all__ = ["FailedItems", "PlannedRows", "Source", "items_of", "open_failed", "open_source"]


class Source(Protocol):
    """The interface of an opened input, whose file list or table version is already fixed."""

    @property
    def snapshot(self) -> Snapshot:
        """A description of the input, including its file list or table version."""

    def columns(self) -> StructType | None:
        """Return the columns of the rows, or None if the items are files or the input has no files.

        The hidden columns are left out.
        """

    def frame(self) -> DataFrame | None:
        """Return the rows of the input, or None if the items are files or the input has no files.

        The frame also has hidden columns, named in `HIDDEN_COLUMNS`. They contain each row's source file and, if Spark
        reads the files, the block of the file that contains the row. Files and table versions added after the input was
        opened are not read.
        """

    def planned_rows(self) -> PlannedRows | str:
        """Return the rows for workers that read the files themselves, or the reason why Spark must read them."""

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the known NULL counts of the given columns.

        Columns whose NULLs were not counted are left out. A count of 0 means that the column has no NULLs or is
        declared NOT NULL. Any other count may be too low, because the NULLs of some files may not have been counted.
        """

    def check_contents(self) -> None:
        """Check the contents of the input, for example for values that Spark would silently misread.

        This may read the whole input. It does nothing if the contents were already checked when the input was opened,
        or if they need no check.

        Raises:
            SourceError: Spark would misread some of the contents, or they do not match 'input.schema'.
        """

    def check_unchanged(self) -> None:
        """Check that the input has not changed since it was opened.

        Raises:
            SourceError: the input has changed, or can no longer be read.
        """


_SOURCES: dict[str, Callable[[SparkSession, Input], Source]] = {
    "files": FileListSource,
    "parquet": ParquetSource,
    "csv": CsvSource,
    "json": JsonSource,
    "delta": DeltaSource,
}


def open_source(spark: SparkSession, config: Input, *, is_files_by_default: bool, is_no_code: bool = False) -> Source:
    """Open the input of a run: detect its format, and list its files or find its table version.

    Args:
        spark: the session that will read the input.
        config: the deployment's 'input' section.
        is_files_by_default: whether the items are files if the deployment does not name a format, as for Azure ML
            scoring scripts. A Delta table is still read as rows.
        is_no_code: whether the deployment is written for Azure ML and has no scoring script. If so, Azure ML's rules
            limit the formats of the files; see `detect_format`.

    Raises:
        SourceNotFoundError: the input does not exist, or it has no file or row to score.
        SourceError: the input cannot be read, or its columns or values do not match the deployment.
        ConfigError: the deployment has no input location; a location, 'input.schema' or an option in 'input.options'
            is invalid; or Azure ML's rules do not allow the file extensions.
    """
    if not config.location:
        raise ConfigError(
            code=ErrorCode.INPUT_MISSING,
            what="the run has no input",
            next_step="Pass --input LOCATION, or set 'input.location' in the deployment.",
        )
    chosen = detect_format(config, is_files_by_default=is_files_by_default, is_no_code=is_no_code)
    check_options(config.options, chosen)
    source = _SOURCES[chosen](spark, config.model_copy(update={"format": chosen}))
    if source.snapshot.items == 0:
        raise SourceNotFoundError(
            code=ErrorCode.INPUT_EMPTY,
            what=f"input '{', '.join(config.location)}' ({chosen}) has nothing to score",
            got=_skipped_text(source.snapshot) or "0 items",
            next_step="Check --input and 'input.format'.",
        )
    return source


def _skipped_text(snapshot: Snapshot) -> str:
    return ", ".join(f"{count} files left out ({reason})" for reason, count in snapshot.skipped.items())
