"""A stand-in for the part of Spark that a run over files uses: tasks run here in random order, and may fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from pyspark.errors import PySparkRuntimeError, PythonException
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

ArrowFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
_TRIES_OF_A_TASK: Final = 4


@dataclass
class Chances:
    """Probabilities of failures, for each task.

    Attributes:
        lost: the reports of a task attempt are lost, and the task runs again.
        cut: a task attempt is stopped after its first record batch, and the task runs again.
        failed: the job fails after this task.
    """

    lost: float = 0.0
    cut: float = 0.0
    failed: float = 0.0


@dataclass(eq=False)
class SparkStandIn:
    """The attributes of a Spark session that `sparkscore.run.execute` uses; any other raises `AttributeError`."""

    rng: random.Random
    chances: Chances = field(default_factory=Chances)
    partition: int = 0
    version: str = "4.2.0"
    master: str = "local[1]"

    @property
    def conf(self) -> Any:
        return _Conf({"spark.master": self.master})

    def range(self, start: int, end: int, step: int, partitions: int) -> _Range:
        assert (start, step, partitions) == (0, 1, end), "one row and one partition for each unit"
        return _Range(self, end)


class _Conf(dict[str, str]):
    """The settings of the session."""

    @property
    def getAll(self) -> dict[str, str]:  # noqa: N802 - Spark's name
        return dict(self)

    def set(self, key: str, value: str) -> None:
        self[key] = value

    def unset(self, key: str) -> None:
        self.pop(key, None)


@dataclass
class _Range:
    spark: SparkStandIn
    count: int
    columns: list[str] = field(default_factory=lambda: ["id"])

    def mapInArrow(self, function: ArrowFunction, schema: StructType) -> _Mapped:  # noqa: N802 - Spark's name
        return _Mapped(self.spark, self.count, function, to_arrow_schema(schema))


@dataclass
class _Mapped:
    spark: SparkStandIn
    count: int
    function: ArrowFunction
    schema: pa.Schema

    def toArrow(self) -> pa.Table:  # noqa: N802 - Spark's name
        results: dict[int, list[pa.RecordBatch]] = {}
        rng, chances = self.spark.rng, self.spark.chances
        for partition in rng.sample(range(self.count), self.count):
            results[partition] = self._task(partition)
            if rng.random() < chances.failed:
                raise PySparkRuntimeError("Job aborted due to stage failure: executor lost")
        batches = [batch for partition in sorted(results) for batch in results[partition]]
        return pa.Table.from_batches(batches, self.schema)

    def _task(self, partition: int) -> list[pa.RecordBatch]:
        rng, chances = self.spark.rng, self.spark.chances
        if rng.random() < chances.cut:
            attempt = self._attempt(partition)
            next(attempt, None)
            attempt.close()
        if rng.random() < chances.lost:
            self._tried(partition)
        return self._tried(partition)

    def _tried(self, partition: int) -> list[pa.RecordBatch]:
        for tries in range(1, _TRIES_OF_A_TASK + 1):
            try:
                return list(self._attempt(partition))
            except Exception as error:
                if tries == _TRIES_OF_A_TASK:
                    raise PythonException(f"Job aborted due to stage failure: {error!r}") from error
        raise AssertionError("a loop that ends otherwise")

    def _attempt(self, partition: int) -> Any:
        self.spark.partition = partition
        yield from self.function(iter([pa.RecordBatch.from_pydict({"id": [partition]})]))
