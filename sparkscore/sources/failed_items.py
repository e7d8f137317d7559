"""The sources of a run over what failed in an earlier one: its quarantine says which items (driver)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col

from sparkscore.config import Input
from sparkscore.errors import SourceNotFoundError
from sparkscore.minibatch import SOURCE_FILE_COLUMN
from sparkscore.plan import Snapshot
from sparkscore.sources.file_list import FileListSource
from sparkscore.sources.listing import files_named
from sparkscore.spark_errors import SPARK_ERRORS, explain_read_error
from sparkscore.spark_schema import schema_of, to_arrow
from sparkscore.worker.quarantine import read_rows

logger = logging.getLogger("sparkscore")


@dataclass(frozen=True)
class FailedItems:
    """The items that failed in a run.

    Attributes:
        run_id: that run.
        location: its quarantine table.
        table_format: the table's format.
        columns: columns of the input with Spark's names of their types; None where the items were files.
    """

    run_id: str
    location: str
    table_format: str
    columns: Mapping[str, str] | None


def open_failed(spark: SparkSession, failed: FailedItems) -> FileListSource | FailedRowsSource:
    """Find the failed items in the quarantine.

    Raises:
        SourceNotFoundError: none of them has a name, or a file is gone.
        SourceError: the quarantine cannot be read.
    """
    named = "source_file" if failed.columns is None else "row"
    try:
        table = spark.read.format(failed.table_format).load(failed.location).where(col("run_id") == failed.run_id)
        found = table.select("source_file", "row").collect()
    except SPARK_ERRORS as error:
        raise explain_read_error(error, "quarantine") from error
    items = [row for row in found if row[named] is not None]
    if len(items) < len(found):
        logger.warning(
            "%d failed items of run '%s' have no name: its script returned fewer elements than files",
            len(found) - len(items),
            failed.run_id,
        )
    if not items:
        raise SourceNotFoundError(
            code="NOTHING_FAILED",
            what=f"quarantine '{failed.location}' of run '{failed.run_id}'",
            got="no failed item with a name",
            expected="items that can be scored again",
            next_step="Score the whole input again.",
        )
    if failed.columns is None:
        files = sorted({str(row["source_file"]) for row in items})
        return FileListSource(spark, Input(format="files"), files_named(files), failed.location)
    return FailedRowsSource(spark, failed, [(row["row"], row["source_file"]) for row in items])


class FailedRowsSource:
    """Rows from a quarantine, with the types and the files that they had; they come from the driver."""

    def __init__(self, spark: SparkSession, failed: FailedItems, rows: list[tuple[str, str | None]]) -> None:
        columns = schema_of(failed.columns or {})
        table = read_rows([text for text, _ in rows], to_arrow(columns))
        whole = columns.add(SOURCE_FILE_COLUMN, "string")
        table = table.append_column(SOURCE_FILE_COLUMN, [[file for _, file in rows]])
        self._frame = spark.createDataFrame(table, whole)
        self._snapshot = Snapshot("quarantine", failed.location, failed.run_id, table.nbytes, table.num_rows)

    @property
    def snapshot(self) -> Snapshot:
        """What was pinned."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Give the rows, each with its file."""
        return self._frame

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:  # noqa: ARG002 - the same for every source
        """Know of none."""
        return {}

    def check_contents(self) -> None:
        """Do nothing: nothing can be misread."""

    def check_unchanged(self) -> None:
        """Do nothing: the rows are here."""
