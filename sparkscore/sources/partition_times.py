"""Check that the timestamps in a Delta table's partition columns do not depend on the session's time zone.

Runs on the driver.

The Delta log contains such a timestamp either in UTC with a ``Z``, or without a time zone. In the latter case, Spark
reads it in the session's time zone, while other readers treat it as UTC. Source:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md#partition-value-serialization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.types import TimestampType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, names
from sparkscore.sources.reader_options import find_option
from sparkscore.sources.rows import pinned_reads
from sparkscore.spark.schema import column

_ZONE = "spark.sql.session.timeZone"


def refuse_times_of_a_session(
    spark: SparkSession, frame: DataFrame, partitions: Sequence[str], path: str, options: Mapping[str, str]
) -> None:
    """Raise an error if Spark may read the timestamps in a Delta table's partition columns in the wrong time zone.

    The correct time zone is set by the ``timeZone`` option, and is UTC by default. Delta's reader ignores this option,
    so the user has to set the session's time zone.

    Nothing is checked if the session has the correct time zone, or if no partition column is of type ``timestamp``.
    Otherwise, Spark collects the distinct values of these columns twice: in the session's time zone and in UTC.

    Args:
        spark: the session.
        frame: the rows of the table.
        partitions: the names of the partition columns.
        path: the location of the table, for the error message.
        options: the options of the input. ``timeZone`` is the time zone in which the timestamps were written.

    Raises:
        SourceError: Spark may use the wrong time zone (code ``INPUT_TIME_ZONE``), or cannot read the table. If
            ``timeZone`` is set, the error is raised whenever it differs from the session's time zone. If it is not set,
            the error is raised only if the collected values differ.
    """
    times = [name for name in partitions if isinstance(frame.schema[name].dataType, TimestampType)]
    zone, given = str(spark.conf.get(_ZONE)), find_option(options, "timeZone")
    wanted = given or "UTC"
    if not times or zone == wanted:
        return
    with pinned_reads(spark, "Delta"):
        here = _instants(frame, times)
    with pinned_reads(spark, "Delta", for_writing=True):
        in_utc = _instants(frame, times)
    if given is None and here == in_utc:
        return
    raise SourceError(
        code=ErrorCode.INPUT_TIME_ZONE,
        what=f"Delta table '{path}' is partitioned by {names(times)}, times that its log may have without a zone",
        got=f"a session that reads them as times in {zone}",
        expected=wanted,
        next_step=f"Start the session with --spark-conf {_ZONE}={wanted}. If they were written in {zone}, set "
        f"'input.options: {{timeZone: {zone}}}'.",
    )


def _instants(frame: DataFrame, columns: Sequence[str]) -> set[tuple[int | None, ...]]:
    """Return the distinct combinations of values in some timestamp columns, in microseconds since 1970."""
    found = frame.select(*(functions.unix_micros(column(name)) for name in columns)).distinct().collect()
    return {tuple(row) for row in found}
