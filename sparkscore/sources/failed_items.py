"""Read the failed items of an earlier run from its quarantine, so that a new run can score them again.

Runs on the driver.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.functions import col
from pyspark.sql.types import StructType

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceNotFoundError
from sparkscore.minibatch import SOURCE_FILE_COLUMN
from sparkscore.plan import Snapshot
from sparkscore.record.run_record import RunRecord
from sparkscore.sources.file_list import FileListSource
from sparkscore.sources.listing import files_named
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.sources.rows import input_schema, pinned_reads
from sparkscore.spark.delta_statements import check_delta
from sparkscore.spark.schema import schema_of, to_arrow
from sparkscore.spark.settings import read_from
from sparkscore.worker.quarantine import read_rows

logger = logging.getLogger("sparkscore")


@dataclass(frozen=True)
class FailedItems:
    """The failed items of an earlier run, to be scored again by a new run.

    Attributes:
        run_id: the id of the earlier run.
        location: the location of its quarantine table.
        table_format: the format of its quarantine table.
        columns: the columns of its input and the names of their Spark types, or None if the items are files.
        first: the id of the run in which the items first failed. It differs from `run_id` if the earlier run itself
            scored another run's failed items.
        since: the ids of the runs that have already rescored failed items of run `first` and published the results to
            the same output.
        left: a Counter of the items that remain to be scored, or None if all failed items remain. The keys are file
            paths or rows as JSON. Equal rows have the same key, so a count may be above 1.
        order_doubt: why the column order was uncertain in the earlier run, or an empty string if it was certain.
        nulls: for each integer or boolean column whose NumPy dtype depends on its NULLs, whether it had a NULL in the
            earlier run. The new run uses this to give the column the same dtype.
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
        """Return the failed items of a run, or None if its record contains no location or format for them."""
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
        """A string that identifies these items as an input.

        It contains the id of the earlier run and, from `since`, the ids of the runs that have already scored failed
        items again.
        """
        return f"{self.run_id} without {', '.join(self.since)}" if self.since else self.run_id


def open_failed(
    spark: SparkSession, failed: FailedItems, columns: Sequence[str] | None = None
) -> FileListSource | FailedRowsSource:
    """Read the failed items of an earlier run from its quarantine, and return a source for them.

    The source contains only the items in ``failed.left``, or all failed items if that is None. Items that cannot be
    identified are left out, and a warning is logged.

    Args:
        spark: the session.
        failed: the earlier run and its quarantine.
        columns: for rows, the column order of the new run. The order of the earlier run is used if this is None or
            does not contain exactly the same columns.

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

    The items are returned unchanged unless `columns` contains exactly the same names.
    """
    found = failed.columns or {}
    if sorted(columns) != sorted(found):
        return failed
    return replace(failed, columns={name: found[name] for name in columns}, order_doubt="")


def items_of(spark: SparkSession, failed: FailedItems) -> Counter[str | None]:
    """Count how often each failed item is in the quarantine.

    The keys of the Counter are file paths, or rows as JSON. Items that cannot be identified are left out. The count of
    a file is always 1.

    Raises:
        SourceError: the quarantine cannot be read.
    """
    identity = _identity_column(failed)
    counts = Counter(row[identity] for row in _quarantined(spark, failed) if row[identity] is not None)
    return Counter(dict.fromkeys(counts, 1)) if failed.columns is None else counts


def _identity_column(failed: FailedItems) -> str:
    """Return the name of the quarantine column that identifies items. It contains paths of files, or rows as JSON."""
    return "source_file" if failed.columns is None else "row"


def _quarantined(spark: SparkSession, failed: FailedItems) -> list[Row]:
    """Return the quarantined items of a run, each with its source file and, if it is a row, its values as JSON."""
    if failed.table_format == "delta":
        check_delta(spark, f"quarantine '{failed.location}'", "Score these items in another session.")
    with pinned_reads(spark, "quarantine"):
        table = read_from(spark, failed.table_format).load(failed.location).where(col("run_id") == failed.run_id)
        return table.select("source_file", "row").collect()


def _remaining(items: Sequence[Row], identity: str, left: Counter[str | None] | None) -> list[Row]:
    """Return the quarantined rows that still need to be scored.

    Args:
        items: rows of the quarantine. Several rows may have the same identity.
        identity: the name of the column that identifies an item.
        left: for each identity, the number of its rows to return, starting with the first. If None, all rows are
            returned.
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
    """A source whose items are the failed rows of an earlier run.

    The rows have the column types of the earlier run's input. The driver holds all rows in memory and sends them to
    Spark.
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

    def columns(self) -> StructType | None:
        """Return the columns of the rows."""
        return input_schema(self._frame)

    def frame(self) -> DataFrame | None:
        """Return the failed rows, with each row's source file in a hidden column."""
        return self._frame

    def planned_rows(self) -> PlannedRows | str:
        """Return the reason why workers do not read the rows themselves."""
        return "the rows come from a quarantine"

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:
        """Return the NULL counts of the given columns."""
        return {name: self._nulls[name] for name in columns}

    def check_contents(self) -> None:
        """Do nothing, since sparkscore wrote these rows itself."""

    def check_unchanged(self) -> None:
        """Do nothing, since the driver holds the rows in memory."""
