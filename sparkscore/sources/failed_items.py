"""The sources of a run over what failed in an earlier one: its quarantine says which items (driver)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.functions import col

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceNotFoundError
from sparkscore.minibatch import SOURCE_FILE_COLUMN
from sparkscore.plan import Snapshot
from sparkscore.record.run_record import RunRecord
from sparkscore.sources.file_list import FileListSource
from sparkscore.sources.listing import files_named
from sparkscore.sources.rows import pinned_reads
from sparkscore.spark.schema import schema_of, to_arrow
from sparkscore.spark.settings import read_from
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
        first: the run in which they failed at first, where that run itself was over failed items of another.
        since: runs that have scored some of them, which are left out.
        left: how often each item that is left is there; None where none is left out.
        order_doubt: why the order of the columns was not known in that run; empty where it was.
        nulls: for integer and boolean columns whether that run counted them as columns with NULLs.
    """

    run_id: str
    location: str
    table_format: str
    columns: Mapping[str, str] | None
    first: str
    since: tuple[str, ...] = ()
    left: Counter[str | None] | None = None
    order_doubt: str = ""
    nulls: Mapping[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, record: RunRecord) -> FailedItems | None:
        """Return the failed items of a run by its record; None where it has published no quarantine."""
        location, table_format = record.quarantine.location, record.output.format
        if location is None or table_format is None:
            return None
        return cls(
            run_id=record.run_id,
            location=location,
            table_format=table_format,
            columns=record.input.columns,
            first=record.run_id if record.only_failed is None else record.only_failed.first,
            order_doubt=record.input.order_doubt or "",
            nulls=record.input.nulls or {},
        )

    @property
    def version(self) -> str:
        """What tells these items from others: the run, and the runs since that have scored some of them."""
        return f"{self.run_id} without {', '.join(self.since)}" if self.since else self.run_id


def open_failed(
    spark: SparkSession, failed: FailedItems, columns: Sequence[str] | None = None
) -> FileListSource | FailedRowsSource:
    """Find the failed items in the quarantine.

    Args:
        spark: the session.
        failed: the items.
        columns: the user's order of the columns of rows, if there is one.

    Raises:
        SourceNotFoundError: none of them has a name, or a file is gone.
        SourceError: the quarantine cannot be read.
    """
    found = _quarantined(spark, failed)
    named = _name_of(failed)
    items = [row for row in found if row[named] is not None]
    if len(items) < len(found):
        logger.warning(
            "%d failed items of run '%s' have no name: its script returned fewer elements than files",
            len(found) - len(items),
            failed.run_id,
        )
    if not items:
        raise SourceNotFoundError(
            code=ErrorCode.NOTHING_FAILED,
            what=f"quarantine '{failed.location}' of run '{failed.run_id}'",
            got="no failed item with a name",
            expected="items that can be scored again",
            next_step="Score the whole input again.",
        )
    items = _left_of(items, named, failed.left)
    if failed.columns is None:
        files = sorted({str(row["source_file"]) for row in items})
        return FileListSource(spark, Input(format="files"), files_named(files), failed.location)
    rows = [(row["row"], row["source_file"]) for row in items]
    return FailedRowsSource(spark, _in_order_of(failed, columns or ()), rows)


def _in_order_of(failed: FailedItems, columns: Sequence[str]) -> FailedItems:
    """Give the columns the user's order, where it names all of them."""
    found = failed.columns or {}
    if sorted(columns) != sorted(found):
        return failed
    return replace(failed, columns={name: found[name] for name in columns}, order_doubt="")


def items_of(spark: SparkSession, failed: FailedItems) -> Counter[str | None]:
    """Count the failed items that have a name, by it: a file's path, or a row as JSON.

    Raises:
        SourceError: the quarantine cannot be read.
    """
    named = _name_of(failed)
    counts = Counter(row[named] for row in _quarantined(spark, failed) if row[named] is not None)
    return Counter(dict.fromkeys(counts, 1)) if failed.columns is None else counts


def _name_of(failed: FailedItems) -> str:
    return "source_file" if failed.columns is None else "row"


def _quarantined(spark: SparkSession, failed: FailedItems) -> list[Row]:
    with pinned_reads(spark, "quarantine"):
        table = read_from(spark, failed.table_format).load(failed.location).where(col("run_id") == failed.run_id)
        return table.select("source_file", "row").collect()


def _left_of(items: Sequence[Row], named: str, left: Counter[str | None] | None) -> list[Row]:
    """Keep each item as often as it is left; rows that are equal are the same item."""
    if left is None:
        return list(items)
    rest = Counter(left)
    kept = []
    for item in items:
        rest[item[named]] -= 1
        if rest[item[named]] >= 0:
            kept.append(item)
    return kept


class FailedRowsSource:
    """Rows from a quarantine, with the types and the files that they had; they come from the driver."""

    def __init__(self, spark: SparkSession, failed: FailedItems, rows: list[tuple[str, str | None]]) -> None:
        columns = schema_of(failed.columns or {})
        table = read_rows([text for text, _ in rows], to_arrow(columns))
        self._nulls = {name: table.column(name).null_count for name in table.column_names}
        whole = columns.add(SOURCE_FILE_COLUMN, "string")
        table = table.append_column(SOURCE_FILE_COLUMN, pa.array([file for _, file in rows], pa.string()))
        self._frame = spark.createDataFrame(table, whole)
        self._snapshot = Snapshot(
            "quarantine",
            failed.location,
            failed.version,
            table.nbytes,
            table.num_rows,
            order_doubt=failed.order_doubt,
        )

    @property
    def snapshot(self) -> Snapshot:
        """What was pinned."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Give the rows, each with its file."""
        return self._frame

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Count those of the rows that failed."""
        return {name: self._nulls[name] for name in columns}

    def check_contents(self) -> None:
        """Do nothing: nothing can be misread."""

    def check_unchanged(self) -> None:
        """Do nothing: the rows are here."""
