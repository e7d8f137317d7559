"""Sources read an input: they list its files or find its version once, before anything is scored (driver).

`open_source` finds the format of an input and returns its source. All sources pass the same tests, in
``tests/contract/test_sources.py``.
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
    """An input whose files or version are fixed when it is opened."""

    @property
    def snapshot(self) -> Snapshot:
        """The description of the input as it was when it was opened: its files or its version."""

    def frame(self) -> DataFrame | None:
        """Return the rows, each with its file and block in `HIDDEN_COLUMNS`, or None if the items are files.

        The frame is lazy. It reads only the files or the version of the snapshot, and has the same rows each time.
        """

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the number of NULLs in columns, as far as it is known without a Spark job.

        A column is left out if its NULLs were not counted; 0 means that it has no NULL. A number above 0 may be too
        low, if the NULLs of some files were not counted.
        """

    def check_contents(self) -> None:
        """Refuse contents that Spark would misread without a warning. Called before scoring; may read the input.

        Raises:
            SourceError: the input has such contents.
        """

    def check_unchanged(self) -> None:
        """Compare the input with its snapshot. Called after scoring, before anything is published.

        Raises:
            SourceError: the input has changed during the run.
        """


_SOURCES: dict[str, Callable[[SparkSession, Input], Source]] = {
    "files": FileListSource,
    "parquet": ParquetSource,
    "csv": CsvSource,
    "json": JsonSource,
    "delta": DeltaSource,
}


def open_source(spark: SparkSession, config: Input, *, is_files_by_default: bool, is_no_code: bool = False) -> Source:
    """Open the input of a run: find its format, and list its files or find its version.

    Args:
        spark: the session that will read the input.
        config: the deployment's input.
        is_files_by_default: whether the items are files unless the deployment names a format, as for Azure's scripts.
        is_no_code: whether the deployment is Azure's and has no script. Its files are then read by their extensions.

    Raises:
        SourceNotFoundError: the input does not exist, or it has nothing to score.
        SourceError: the input cannot be read.
        ConfigError: no location is set, or an option would leave out files or rows.
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
    """Return how many files were left out of an input, with the reasons."""
    return ", ".join(f"{count} files left out ({reason})" for reason, count in snapshot.skipped.items())
