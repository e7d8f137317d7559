"""Sources: where items come from, pinned before the first model call (driver).

`open_source` decides the format and gives a source; one contract suite in the tests runs against every implementation.
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
    """A pinned input."""

    @property
    def snapshot(self) -> Snapshot:
        """What was pinned."""

    def frame(self) -> DataFrame | None:
        """Give the rows, each with its file and block in `HIDDEN_COLUMNS`; None where the items are the files.

        The frame is lazy, reads only what was pinned, and gives the same rows each time.
        """

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Count the NULLs of columns as far as they are known without reading rows; no job is started.

        A column is left out where nobody has counted: 0 says that there is none. Where some are known and others may
        be there, they are fewer than there are.
        """

    def check_contents(self) -> None:
        """Refuse contents that would be misread without warning; may read the input. Called before scoring.

        Raises:
            SourceError: there are such contents.
        """

    def check_unchanged(self) -> None:
        """Compare the input with what was pinned. Called after scoring, before anything is published.

        Raises:
            SourceError: the input has changed under the run.
        """


_SOURCES: dict[str, Callable[[SparkSession, Input], Source]] = {
    "files": FileListSource,
    "parquet": ParquetSource,
    "csv": CsvSource,
    "json": JsonSource,
    "delta": DeltaSource,
}


def open_source(spark: SparkSession, config: Input, *, is_files_by_default: bool, is_no_code: bool = False) -> Source:
    """Find and pin the input.

    Runs on the driver.

    Args:
        spark: the session that will read it.
        config: the deployment's input.
        is_files_by_default: whether the items are files unless the deployment says otherwise, as for Azure's scripts.
        is_no_code: whether it is Azure's deployment without a script, which reads files by their endings.

    Raises:
        SourceNotFoundError: nothing is there, or nothing to score.
        SourceError: it cannot be read.
        ConfigError: no location is given, or an option would leave something out.
    """
    if not config.location:
        raise ConfigError(
            code=ErrorCode.INPUT_MISSING,
            what="the run has no input",
            next_step="Name it with --input LOCATION or 'input.location' in the deployment.",
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
