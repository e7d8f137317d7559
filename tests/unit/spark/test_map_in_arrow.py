"""What is sent to the workers with a job stays small, however many files or rows there are."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark import cloudpickle

from sparkscore.errors import SparkscoreError
from sparkscore.spark import jobs, map_in_arrow
from sparkscore.spark.map_in_arrow import MOST_BYTES_SENT, in_jobs, map_on_workers
from sparkscore.stage import StagedFile, StageFolder
from tests.support.simulation.spark import SparkStandIn

# A Spark Connect server with its default memory takes this.
LIMIT = 8_000_000


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the size of each function that is sent."""
    sizes: list[int] = []
    run = map_in_arrow.run_in_arrow

    def measure(spark: Any, work: Any, function: Any, schema: pa.Schema, **more: Any) -> pa.Table:
        sizes.append(len(cloudpickle.dumps(function)))  # type: ignore[no-untyped-call]
        return run(spark, work, function, schema, **more)

    monkeypatch.setattr(map_in_arrow, "run_in_arrow", measure)
    monkeypatch.setattr(jobs, "run_in_arrow", measure)
    return sizes


@pytest.fixture
def spark() -> Any:
    return SparkStandIn(random.Random(1))  # noqa: S311 - a test


def length_of(share: Sequence[str]) -> str:
    return f"{len(share)} {share[0]}"


def test_many_shares_are_sent_with_several_jobs_and_answered_in_order(spark: Any, sizes: list[int]) -> None:
    shares = [tuple(f"/data/{'x' * 90}/{first + each}" for each in range(500)) for first in range(0, 100_000, 500)]

    answers = map_on_workers(spark, length_of, shares)

    assert answers == [length_of(share) for share in shares]
    assert len(sizes) > 1
    assert max(sizes) < LIMIT


def test_few_shares_are_sent_with_one_job_and_none_with_none(spark: Any, sizes: list[int]) -> None:
    assert map_on_workers(spark, length_of, [("a",), ("b", "c")]) == ["1 a", "2 b"]
    assert map_on_workers(spark, length_of, []) == []
    assert len(sizes) == 1


SCHEMA = pa.schema(
    [("at", pa.timestamp("us", "UTC")), ("calls", pa.list_(pa.struct([("s", pa.float64())]))), ("n", pa.uint64())]
)
ROWS = [
    {"at": datetime(1, 1, 1, tzinfo=UTC), "calls": [{"s": -0.0}, None], "n": 2**64 - 1},
    dict.fromkeys(SCHEMA.names),
]


def test_rows_come_back_as_they_were_in_the_order_of_the_tasks(spark: Any) -> None:
    def yield_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield pa.RecordBatch.from_pylist(ROWS, schema=SCHEMA)
            yield pa.RecordBatch.from_pylist([], schema=SCHEMA)

    found = map_in_arrow.run_in_arrow(spark, spark.range(0, 3, 1, 3), yield_rows, SCHEMA)

    assert found.schema == SCHEMA
    assert found.to_pylist() == 3 * ROWS


def test_large_rows_come_in_several_values(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.RecordBatch.from_pydict({"text": [f"{number}" * 1_000_000 for number in range(10)] + [None] * 5})
    sizes: list[int] = []
    write = map_in_arrow._write_stream

    def noted(batch: pa.RecordBatch, schema: pa.Schema) -> bytes:
        stream = write(batch, schema)
        sizes.append(len(stream))
        return stream

    monkeypatch.setattr(map_in_arrow, "_write_stream", noted)

    found = map_in_arrow.run_in_arrow(spark, spark.range(0, 1, 1, 1), lambda _: iter([texts]), texts.schema)

    assert found.to_pylist() == texts.to_pylist()
    assert len(sizes) > 2
    assert max(sizes) < 1.5 * MOST_BYTES_SENT


def test_a_job_without_rows_gives_the_columns(spark: Any) -> None:
    found = map_in_arrow.run_in_arrow(spark, spark.range(0, 2, 1, 2), lambda _: iter(()), SCHEMA)

    assert found == SCHEMA.empty_table()


def test_rows_of_another_schema_are_refused(spark: Any) -> None:
    other = pa.RecordBatch.from_pylist([{"n": 1}])

    with pytest.raises(SparkscoreError, match="SPARK_JOB"):
        map_in_arrow.run_in_arrow(spark, spark.range(0, 1, 1, 1), lambda _: iter([other]), SCHEMA)


def test_a_hundred_thousand_staged_files_are_checked_with_several_jobs(
    spark: Any, sizes: list[int], tmp_path: Path
) -> None:
    files = [StagedFile(f"attempts/{number:05d}-{'0' * 32}/part.parquet", 1, 1, "0" * 64) for number in range(100_000)]

    changed = jobs.find_changed_files(spark, StageFolder(tmp_path).for_tasks(), files, None, reads_all=True)

    assert sorted(path for path, _ in changed) == sorted(file.path for file in files)
    assert len(sizes) > 1
    assert max(sizes) < LIMIT


def test_an_element_that_is_too_large_is_alone() -> None:
    large = "x" * (MOST_BYTES_SENT + 1)

    assert [len(part) for part in in_jobs(["a", large, "b", "c"])] == [1, 1, 2]
