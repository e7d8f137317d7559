"""Run functions on Spark's workers with `mapInArrow`.

Runs on the driver, except for the functions that are passed to `mapInArrow`, which run on the workers. No other module
calls `mapInArrow`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import BinaryType, StructField, StructType

from sparkscore.spark.errors import SPARK_ERRORS, explain_spark_error
from sparkscore.spark.schema import from_arrow
from sparkscore.spark.settings import pinned_settings
from sparkscore.spark.shipping import ship_package
from sparkscore.worker.task_error import carried

ArrowFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
Share = TypeVar("Share")
Element = TypeVar("Element")

#: Maximum number of bytes of data that are sent to workers together with a function. A Spark Connect server with its
#: default memory does not survive 60 MB. Larger data is sent with several jobs, or as a file.
MOST_BYTES_SENT: Final = 4 * 1024 * 1024

_MOST_TASKS: Final = 1000
# The rows of a result come as Arrow streams, one for each record batch. Spark would convert columns to its own rows and
# back, with code that it generates for each job: with 22 columns, that is a quarter of a small job's time in the JVM.
_STREAMS: Final = StructType([StructField("stream", BinaryType())])
_ANSWERS: Final = pa.schema([("number", pa.int64()), ("answer", pa.string())])


def run_in_arrow(
    spark: SparkSession,
    work: DataFrame,
    function: ArrowFunction,
    schema: pa.Schema,
    *,
    for_whole_files: bool = False,
    is_bare: bool = False,
) -> pa.Table:
    """Apply a function to the rows of a DataFrame on the workers, and return the resulting rows as an Arrow table.

    If workers may run on hosts other than the driver's, this version of sparkscore is sent to them first.

    Args:
        spark: the session.
        work: the DataFrame.
        function: takes the record batches of one partition, and yields record batches. The objects that it refers to
            are sent to the workers, and must not be much larger than `MOST_BYTES_SENT`.
        schema: the schema of the record batches that the function yields.
        for_whole_files: whether all rows of a file must go to the same task.
        is_bare: whether to send the function without a wrapper that needs sparkscore, for workers that may lack it.
            With the wrapper, a `SparkscoreError` that the function raises on a worker is raised again on the driver.

    Raises:
        SparkscoreError: the function raised this error, and `is_bare` is false.
        SourceError: Spark could not read the input, or an input value does not fit its column's type.
        ScoringError: sparkscore cannot be sent to the workers; or the Spark job failed for another reason, for example
            because a worker process died.
        SinkError: the stage's file system is full.
        ConfigError: a Spark setting that affects the results has the wrong value and cannot be changed in this session.
    """
    ship_package(spark)
    try:
        with pinned_settings(spark, for_whole_files=for_whole_files):
            if is_bare:
                return work.mapInArrow(function, from_arrow(schema)).toArrow()
            streams = work.mapInArrow(_carrying(function, schema), _STREAMS).toArrow()
    except SPARK_ERRORS as error:
        raise explain_spark_error(error) from error
    return pa.concat_tables([schema.empty_table(), *map(_read_stream, streams["stream"])])


def _carrying(function: ArrowFunction, schema: pa.Schema) -> ArrowFunction:
    def carrying(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the record batches that `function` returns, each as an Arrow stream. Runs on a worker.

        If `function` raises a `SparkscoreError`, the error's fields are added to the message, because the driver gets
        only the message.
        """
        with carried():
            for batch in function(batches):
                for part in _parts(batch):
                    yield pa.record_batch({"stream": [_write_stream(part, schema)]})

    return carrying


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Divide the rows into parts of about `MOST_BYTES_SENT`, because Spark Connect sends a value in one message."""
    count = -(-batch.nbytes // MOST_BYTES_SENT)
    size = max(1, -(-batch.num_rows // max(1, count)))
    yield from (batch.slice(start, size) for start in range(0, batch.num_rows, size))


def _write_stream(batch: pa.RecordBatch, schema: pa.Schema) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, schema) as writer:
        writer.write_batch(batch)  # it refuses another schema
    written: bytes = buffer.getvalue().to_pybytes()
    return written


def _read_stream(stream: pa.Scalar) -> pa.Table:
    return pa.ipc.open_stream(stream.as_buffer()).read_all()


def map_on_workers(spark: SparkSession, function: Callable[[Share], str], shares: Sequence[Share]) -> list[str]:
    """Call a function on the workers for each element of a sequence, and return the results in the same order.

    All calls run in one Spark job, or in several if the elements are too large to be sent together. If the sequence is
    empty, no job is started.

    Args:
        spark: the session.
        function: takes one element and returns a string. Workers must be able to import the function. An exception
            makes the Spark job fail.
        shares: the elements, for example file paths.

    Raises:
        ScoringError: the Spark job failed.
        ConfigError: a Spark setting that affects the results has the wrong value and cannot be changed in this session.
    """
    return [answer for part in in_jobs(shares) for answer in _map(spark, function, part)]


def in_jobs(elements: Sequence[Element]) -> Iterator[list[Element]]:
    """Split the elements into consecutive lists, each small enough to be sent to the workers with one Spark job.

    An element that alone is too large gets a list of its own.
    """
    part: list[Element] = []
    size = 0
    for element in elements:
        more = len(pickle.dumps(element))
        if part and size + more > MOST_BYTES_SENT:
            yield part
            part, size = [], 0
        part.append(element)
        size += more
    if part:
        yield part


def _map(spark: SparkSession, function: Callable[[Share], str], shares: Sequence[Share]) -> list[str]:
    count = min(len(shares), _MOST_TASKS)
    rows = run_in_arrow(spark, spark.range(0, count, 1, count), _mapper(function, shares, count), _ANSWERS)
    answers = dict(zip(rows["number"].to_pylist(), rows["answer"].to_pylist(), strict=True))
    return [answers[number] for number in range(len(shares))]


def _mapper(function: Callable[[Share], str], shares: Sequence[Share], count: int) -> ArrowFunction:
    def answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Call ``function`` once for each element of ``shares`` that belongs to this task, and yield the results."""
        for batch in batches:
            for first in batch.column(0).to_pylist():
                numbers = list(range(first, len(shares), count))
                answers = [function(shares[number]) for number in numbers]
                yield pa.RecordBatch.from_pydict({"number": numbers, "answer": answers}, schema=_ANSWERS)

    return answer
