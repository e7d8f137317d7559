"""Open the input of a run: list its files, or find the version of its table, before anything is scored (driver).

`open_source` detects the format of the input and returns the `Source` that reads this format. The tests in
``tests/contract/test_sources.py`` run with every source.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

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
from sparkscore.sources.reader_options import check_options

__all__ = ["FailedItems", "Source", "items_of", "open_failed", "open_source"]


class Source(Protocol):
    """The interface of an input whose list of files or table version is fixed when it is opened."""

    @property
    def snapshot(self) -> Snapshot:
        """The description of the input as it was when it was opened, with its list of files or its version."""

    def frame(self) -> DataFrame | None:
        """Return the rows of the input, or None if the items are files or the input has no files.

        The frame has the columns of the input, and hidden columns, whose names are in `HIDDEN_COLUMNS`. The hidden
        columns contain the source file of each row and, if Spark reads the files, the block of the file from which the
        row is read. The frame is lazy. Each time that Spark computes it, Spark reads only the files or the version of
        the snapshot, and gets the same rows.
        """

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the number of NULLs in each of the given columns, if the number is known without reading the rows.

        A column is left out if its NULLs were not counted. 0 means that the column has no NULL, or that it is declared
        NOT NULL. A number above 0 may be too low, because the NULLs of some files may not have been counted.
        """

    def check_contents(self) -> None:
        """Check the contents of the input for values that Spark would read incorrectly without an error.

        This method is called before scoring. It may read the whole input.

        Raises:
            SourceError: the input has contents that Spark would misread, or a value that its declared type cannot hold.
        """

    def check_unchanged(self) -> None:
        """Check that the input has not changed since it was opened.

        This method is called after scoring, before anything is published.

        Raises:
            SourceError: the input has changed.
        """


_SOURCES: dict[str, Callable[[SparkSession, Input], Source]] = {
    "files": FileListSource,
    "parquet": ParquetSource,
    "csv": CsvSource,
    "json": JsonSource,
    "delta": DeltaSource,
}


def open_source(spark: SparkSession, config: Input, *, is_files_by_default: bool, is_no_code: bool = False) -> Source:
    """Open the input of a run: detect its format, and list its files or find the version of its table.

    Args:
        spark: the session that will read the input.
        config: the section 'input' of the deployment.
        is_files_by_default: whether the items are files if the deployment does not name a format, as for Azure ML's
            scoring scripts. A Delta table is still read as rows.
        is_no_code: whether the deployment is written for Azure ML and has no scoring script. The extensions of the
            files then decide how they are read.

    Raises:
        SourceNotFoundError: the input does not exist, or it has no file or row to score.
        SourceError: the input cannot be read, or its columns or values do not match the deployment.
        ConfigError: the deployment has no input location; or a location, 'input.schema' or an option in 'input.options'
            is not valid; or Azure ML's rules do not allow the extensions of the files.
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
    """Return a phrase with the number of files that were left out of an input, by reason.

    The phrase is an empty string if no files were left out.
    """
    return ", ".join(f"{count} files left out ({reason})" for reason, count in snapshot.skipped.items())
