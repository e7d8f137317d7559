"""Read the failed items of an earlier run from its quarantine, so that a new run can score them again (driver)."""

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
    """The failed items of an earlier run that a new run scores again.

    Attributes:
        run_id: the id of the earlier run.
        location: the location of its quarantine table.
        table_format: the format of its quarantine table.
        columns: the columns of its input with the names of their Spark types, or None if the items are files.
        first: the id of the run in which the items failed for the first time. It differs from `run_id` if the earlier
            run itself scored the failed items of another run.
        since: the ids of the runs that have already scored failed items of the run `first` again and published them
            into the same output.
        left: a Counter of the items that are still to be scored, or None if all failed items are. The keys are the
            paths of files, or rows as JSON. Equal rows have the same key, so a count may be above 1.
        order_doubt: why the order of the columns was uncertain in the earlier run, or an empty string if it was
            certain.
        nulls: for each integer or boolean column whose NumPy dtype depends on whether it has a NULL, the answer in the
            earlier run. With it, the new run gives the column the same dtype.
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
        """Return the failed items of a run, or None if its record does not contain a location or format for them."""
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
        """A string that identifies these items as an input: the id of the earlier run, and the ids in `since`."""
        return f"{self.run_id} without {', '.join(self.since)}" if self.since else self.run_id


def open_failed(
    spark: SparkSession, failed: FailedItems, columns: Sequence[str] | None = None
) -> FileListSource | FailedRowsSource:
    """Read the failed items of an earlier run from its quarantine, and return a source for them.

    Items that cannot be identified are left out, with a warning in the log. Items that are no longer to be scored,
    according to `FailedItems.left`, are left out as well.

    Args:
        spark: the session.
        failed: the earlier run and its quarantine.
        columns: for rows, the order of the columns in the new run. If this is None or does not have exactly the columns
            of the earlier run, the order of the earlier run is kept.

    Raises:
        SourceNotFoundError: no item can be identified, or a file no longer exists.
        SourceError: the quarantine cannot be read.
    """
    found = _quarantined(spark, failed)
    identity = _identity_column(failed)
    items = [row for row in found if row[identity] is not None]
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
    items = _remaining(items, identity, failed.left)
    if failed.columns is None:
        files = sorted({str(row["source_file"]) for row in items})
        return FileListSource(spark, Input(format="files"), files_named(files), failed.location)
    rows = [(row["row"], row["source_file"]) for row in items]
    return FailedRowsSource(spark, _in_order_of(failed, columns or ()), rows)


def _in_order_of(failed: FailedItems, columns: Sequence[str]) -> FailedItems:
    """Return the failed items with their columns in the given order.

    If `columns` are not exactly the columns of the items, the items are returned unchanged.
    """
    found = failed.columns or {}
    if sorted(columns) != sorted(found):
        return failed
    return replace(failed, columns={name: found[name] for name in columns}, order_doubt="")


def items_of(spark: SparkSession, failed: FailedItems) -> Counter[str | None]:
    """Return the number of times that each failed item is in the quarantine, as a Counter.

    The keys are paths of files, or rows as JSON. Items that cannot be identified are left out. For a file, the number
    is always 1.

    Raises:
        SourceError: the quarantine cannot be read.
    """
    identity = _identity_column(failed)
    counts = Counter(row[identity] for row in _quarantined(spark, failed) if row[identity] is not None)
    return Counter(dict.fromkeys(counts, 1)) if failed.columns is None else counts


def _identity_column(failed: FailedItems) -> str:
    """Return the name of the quarantine column that identifies an item: the path of a file, or a row as JSON."""
    return "source_file" if failed.columns is None else "row"


def _quarantined(spark: SparkSession, failed: FailedItems) -> list[Row]:
    """Return the quarantined items of a run, each with its source file and, if it is a row, its values as JSON."""
    with pinned_reads(spark, "quarantine"):
        table = read_from(spark, failed.table_format).load(failed.location).where(col("run_id") == failed.run_id)
        return table.select("source_file", "row").collect()


def _remaining(items: Sequence[Row], identity: str, left: Counter[str | None] | None) -> list[Row]:
    """Return the items that are still to be scored.

    Args:
        items: rows of the quarantine.
        identity: the name of the column that identifies an item.
        left: the number of times that each item is still to be scored, or None to return all items. Of equal items,
            the first ones are returned.
    """
    if left is None:
        return list(items)
    rest = Counter(left)
    kept = []
    for item in items:
        rest[item[identity]] -= 1
        if rest[item[identity]] >= 0:
            kept.append(item)
    return kept


class FailedRowsSource:
    """The source whose items are the failed rows of an earlier run.

    The rows have the types of the earlier run's input. The driver holds all rows in memory, and sends them to Spark.
    """

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
        """A description of the quarantined rows from which this source was created."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Return the failed rows, with the source file of each row in a hidden column."""
        return self._frame

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the number of NULLs in each of the given columns of the failed rows."""
        return {name: self._nulls[name] for name in columns}

    def check_contents(self) -> None:
        """Do nothing, since sparkscore wrote these rows itself."""

    def check_unchanged(self) -> None:
        """Do nothing, since the driver holds the rows in memory."""
