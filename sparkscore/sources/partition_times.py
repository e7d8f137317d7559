"""Refuse a Delta table whose partitions are times that the session's zone would move (driver).

Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md#partition-value-serialization. The log has such a time
without a zone, or in UTC with a ``Z``. Spark takes one without a zone for a time of the session, other readers for UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.types import TimestampType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, names
from sparkscore.sources.rows import pinned_reads
from sparkscore.spark.schema import column

_ZONE = "spark.sql.session.timeZone"


def refuse_times_of_a_session(
    spark: SparkSession, frame: DataFrame, partitions: Sequence[str], path: str, options: Mapping[str, str]
) -> None:
    """Compare the partitions' times in the session's zone with those in UTC.

    No option of Delta's reader gives them a zone, and a setting must not be changed under a frame that runs later.

    Args:
        spark: the session.
        frame: the table's rows.
        partitions: names of the partition columns.
        path: the table's place, for the message.
        options: the reader's options; ``timeZone`` says in which zone the times were written.

    Raises:
        SourceError: code ``INPUT_TIME_ZONE``: they differ.
    """
    times = [name for name in partitions if isinstance(frame.schema[name].dataType, TimestampType)]
    zone, wanted = str(spark.conf.get(_ZONE)), options.get("timeZone", "UTC")
    if not times or zone == wanted:
        return
    with pinned_reads(spark, "Delta"):
        here = _instants(frame, times)
    with pinned_reads(spark, "Delta", for_writing=True):
        in_utc = _instants(frame, times)
    if "timeZone" not in options and here == in_utc:
        return
    raise SourceError(
        code=ErrorCode.INPUT_TIME_ZONE,
        what=f"Delta table '{path}' is partitioned by {names(times)}, times that its log may have without a zone",
        got=f"a session that takes them for times in {zone}",
        expected=wanted,
        next_step=f"Start the session with --spark-conf {_ZONE}={wanted}; if they were written in {zone}, say so with "
        f"'input.options: {{timeZone: {zone}}}'.",
    )


def _instants(frame: DataFrame, columns: Sequence[str]) -> set[tuple[int | None, ...]]:
    found = frame.select(*(functions.unix_micros(column(name)) for name in columns)).distinct().collect()
    return {tuple(row) for row in found}
