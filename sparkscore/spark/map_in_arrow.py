"""Run functions on Spark's workers: the one place that calls `mapInArrow` (driver; inner functions run on workers)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from sparkscore.spark.errors import SPARK_ERRORS, explain_spark_error
from sparkscore.spark.schema import from_arrow
from sparkscore.spark.settings import pinned_settings

ArrowFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
Share = TypeVar("Share")

_MOST_TASKS: Final = 1000
_ANSWERS: Final = pa.schema([("number", pa.int64()), ("answer", pa.string())])


def run_in_arrow(
    spark: SparkSession, work: DataFrame, function: ArrowFunction, schema: pa.Schema, *, for_whole_files: bool = False
) -> pa.Table:
    """Give what a function makes of the rows of a frame, in one Spark action.

    Args:
        spark: the session.
        work: the rows.
        function: what runs on the workers.
        schema: what it gives.
        for_whole_files: whether all rows of a file must come to one task.

    Raises:
        SourceError: Spark could not read the input.
        ScoringError: the Spark job failed for another reason, for example a worker process that died.
    """
    try:
        with pinned_settings(spark, for_whole_files=for_whole_files):
            return work.mapInArrow(function, from_arrow(schema)).toArrow()
    except SPARK_ERRORS as error:
        raise explain_spark_error(error) from error


def map_on_workers(spark: SparkSession, function: Callable[[Share], str], shares: Sequence[Share]) -> list[str]:
    """Call a function once for each share of some work, on the workers, in one Spark job; give its texts in order.

    Args:
        spark: the session.
        function: a function of a module that workers import; it says what is wrong in its answer and raises nothing.
        shares: what travels to the workers, for example a part of a file.

    Raises:
        ScoringError: the Spark job failed.
    """
    count = min(len(shares), _MOST_TASKS)
    if not count:
        return []
    rows = run_in_arrow(spark, spark.range(0, count, 1, count), _mapper(function, shares, count), _ANSWERS)
    answers = dict(zip(rows["number"].to_pylist(), rows["answer"].to_pylist(), strict=True))
    return [answers[number] for number in range(len(shares))]


def _mapper(function: Callable[[Share], str], shares: Sequence[Share], count: int) -> ArrowFunction:
    def answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Runs on the worker, in tasks that share the work."""
        for batch in batches:
            for first in batch.column(0).to_pylist():
                numbers = list(range(first, len(shares), count))
                answers = [function(shares[number]) for number in numbers]
                yield pa.RecordBatch.from_pydict({"number": numbers, "answer": answers}, schema=_ANSWERS)

    return answer
