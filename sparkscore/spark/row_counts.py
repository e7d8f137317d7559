"""Count, in the tasks of a classic session, the rows that SQL functions are computed for. Runs on the driver.

`count`, nested in `counter_of`, runs on the workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pyspark.sql import SparkSession

from sparkscore.spark.connect import is_connect
from sparkscore.worker.sql_counts import Counts, CountsParam

if TYPE_CHECKING:
    from pyspark.accumulators import AccumulatorParam


@dataclass(frozen=True)
class RowCounter:
    """Counts the rows of SQL functions.

    Attributes:
        count: the workers call it with a function's name, a number of rows, and how many of these have an error.
        accumulator: the accumulator of Spark that has the sums.
    """

    count: Callable[[str, int, int], None]
    accumulator: Any

    def counts(self, name: str, group: str | None = None) -> tuple[int, int]:
        """Return for how many rows a function was computed, and how many of these have an error.

        Only tasks that ended well are counted, and a task that Spark repeats may count twice.

        Args:
            name: name of the function.
            group: only count Spark jobs of this job group, such as a statement of a server. If None, count all.
        """
        # A copy, because another thread adds to it.
        found = list(self._found.items())
        own = [counts for (in_group, of), counts in found if of == name and group in {None, in_group}]
        return sum(rows for rows, _ in own), sum(failed for _, failed in own)

    def forget(self, group: str) -> None:
        """Remove the counts of a group of Spark jobs that has ended, of which a server has many."""
        for key in [key for key in list(self._found) if key[0] == group]:
            self._found.pop(key, None)

    @property
    def _found(self) -> Counts:
        found: Counts = self.accumulator.value
        return found


def counter_of(spark: SparkSession) -> RowCounter | None:
    """Return a new counter for a classic session, or None for Spark Connect, which has no accumulators."""
    if is_connect(spark):
        return None
    zero: Counts = {}
    accumulator: Any = spark.sparkContext.accumulator(zero, cast("AccumulatorParam[Counts]", CountsParam()))

    def count(name: str, rows: int, failed: int) -> None:
        from pyspark import TaskContext  # noqa: PLC0415 - of the worker

        context = TaskContext.get()
        group = None if context is None else context.getLocalProperty("spark.jobGroup.id")
        accumulator.add({(group or "", name): (rows, failed)})

    return RowCounter(count, accumulator)
