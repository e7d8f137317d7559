"""Add up the rows that SQL functions were computed for, and those that failed. Runs on the workers and the driver."""

from __future__ import annotations

from typing import TypeAlias

#: For each group of Spark jobs and each function, the number of rows and the number of rows with an error.
Counts: TypeAlias = dict[tuple[str, str], tuple[int, int]]


class CountsParam:
    """How Spark adds up the counts of tasks: the interface of ``pyspark.AccumulatorParam``."""

    def zero(self, _: Counts) -> Counts:
        """Return the counts of a task that has computed nothing."""
        return {}

    def addInPlace(self, total: Counts, other: Counts) -> Counts:  # noqa: N802 - the interface of PySpark
        """Add counts to the total, and return it."""
        for key, (rows, failed) in other.items():
            before = total.get(key, (0, 0))
            total[key] = (before[0] + rows, before[1] + failed)
        return total
