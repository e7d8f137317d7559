from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.spark import row_counts
from sparkscore.spark.row_counts import counter_of
from sparkscore.worker.sql_counts import CountsParam


class Accumulator:
    """Adds at once what a task would send."""

    def __init__(self, zero: Any, param: CountsParam) -> None:
        self.value, self.param = zero, param

    def add(self, counts: Any) -> None:
        self.value = self.param.addInPlace(self.value, counts)


def session() -> Any:
    return SimpleNamespace(sparkContext=SimpleNamespace(accumulator=Accumulator))


def test_rows_are_counted_by_function_and_by_job_group(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = counter_of(session())
    assert counter is not None

    counter.count("f", 5, 1)
    context = SimpleNamespace(getLocalProperty=lambda name: {"spark.jobGroup.id": "statement-7"}[name])
    monkeypatch.setattr("pyspark.TaskContext.get", lambda: context)
    counter.count("f", 3, 0)
    counter.count("g", 1, 1)

    assert counter.counts("f") == (8, 1)
    assert counter.counts("f", "statement-7") == (3, 0)
    assert counter.counts("g") == (1, 1)
    assert counter.counts("none") == (0, 0)


def test_spark_connect_has_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_counts, "is_connect", lambda _: True)

    assert counter_of(session()) is None


def test_the_counts_of_a_group_that_has_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = counter_of(session())
    assert counter is not None
    counter.count("f", 5, 1)
    context = SimpleNamespace(getLocalProperty=lambda _: "statement-7")
    monkeypatch.setattr("pyspark.TaskContext.get", lambda: context)
    counter.count("f", 3, 0)

    counter.forget("statement-7")
    counter.forget("statement-8")

    assert counter.counts("f", "statement-7") == (0, 0)
    assert counter.counts("f") == (5, 1)
