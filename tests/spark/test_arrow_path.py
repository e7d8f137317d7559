from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark import TaskContext
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

import sparkscore
from sparkscore.signature import parse_ddl, to_ddl
from sparkscore.spark.jobs import task_slots
from sparkscore.spark.jvm_batches import unmeasured_batches
from sparkscore.spark.schema import from_arrow
from tests.support.ledger import read_table

DDL = [
    "a tinyint, b smallint, c int, d bigint, e float, f double",
    "a decimal(10,2), b decimal(38,18), c string, d binary, e boolean",
    "a date, b timestamp, c timestamp_ntz",
    "a array<int>, b array<array<double>>, c map<string,bigint>, d struct<x:int,y:array<string>>",
    "`odd name` double, `b``q` array<struct<`the key`:string,v:map<int,date>>>",
    "a long, b integer, c short, d byte, e real, f numeric(5), g dec",
]


@pytest.mark.each_spark
@pytest.mark.parametrize("ddl", DDL)
def test_types_are_sparks(spark: SparkSession, ddl: str) -> None:
    del spark  # Spark's parser needs a session
    ours = from_arrow(parse_ddl(ddl))
    assert ours == StructType.fromDDL(ddl)
    assert StructType.fromDDL(to_ddl(parse_ddl(ddl))) == ours


@pytest.mark.each_spark
def test_map_in_arrow_gives_what_map_in_pandas_gives_where_that_is_exact(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path]
) -> None:
    rows = [(number, number / 7, f"text {number}", number % 2 == 0) for number in range(500)]
    frame = spark.createDataFrame(rows, "id bigint, x double, name string, flag boolean")
    frame.write.parquet(str(tmp_path / "in"))

    def score_in_pandas(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield batch.assign(prediction=batch["x"] * 3)

    schema = "id bigint, x double, name string, flag boolean, prediction double"
    with_pandas = frame.mapInPandas(score_in_pandas, schema)
    run = sparkscore.score(
        spark,
        make_deployment("def run(f): return f['x'] * 3"),
        input=tmp_path / "in",
        output=tmp_path / "out",
        output_format="parquet",
    )

    ours = run.predictions().select(with_pandas.columns).orderBy("id").collect()
    assert ours == with_pandas.orderBy("id").collect()


def test_map_in_pandas_changes_integers_beside_nulls_and_nan_and_map_in_arrow_does_not(spark: SparkSession) -> None:
    frame = spark.sql("SELECT 9007199254740993 AS k, CAST('NaN' AS DOUBLE) AS x UNION ALL SELECT NULL, 1.0").coalesce(1)

    def same_in_pandas(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        yield from batches

    def same_in_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches

    by_pandas, by_arrow = frame.mapInPandas(same_in_pandas, frame.schema), frame.mapInArrow(same_in_arrow, frame.schema)
    in_arrow = by_arrow.orderBy("k").collect()
    # Spark's defect, pinned: when this fails, Spark has become better and the decision page can say so.
    assert {row["k"] for row in by_pandas.collect()} == {None, 9007199254740992}
    assert {row["k"] for row in in_arrow} == {None, 9007199254740993}
    assert math.isnan(in_arrow[1]["x"])


SHOWS_THE_LIMIT = """
from pyspark import TaskContext

def run(frame):
    return [TaskContext.get().getLocalProperty("spark.sql.execution.arrow.maxBytesPerBatch") or "-"] * len(frame)
"""


@pytest.mark.each_spark
@pytest.mark.parametrize(("text", "limit"), [("", "2147483647"), ("text", "-")])
def test_spark_does_not_measure_record_batches_of_numbers(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path], text: str, limit: str
) -> None:
    rows = pa.table({"id": [1, 2], "text": pa.array([text] * 2) if text else [1.5, 2.5]})
    pq.write_table(rows, tmp_path / "in.parquet")
    deployment = make_deployment(SHOWS_THE_LIMIT, input={"reader": "spark"}, isolation="none")

    run = sparkscore.score(
        spark, deployment, input=tmp_path / "in.parquet", output=tmp_path / "out", output_format="parquet"
    )

    assert read_table(tmp_path / "out")["prediction"].to_pylist() == [limit] * 2
    assert run.record["input"]["reader"] == "spark"
    assert not spark.sparkContext.getLocalProperty("spark.sql.execution.arrow.maxBytesPerBatch")


@pytest.mark.each_spark
def test_a_limit_of_the_session_stays(spark: SparkSession) -> None:
    key = "spark.sql.execution.arrow.maxBytesPerBatch"
    frame = spark.range(0, 9, 1, 1)

    def shows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        limit = TaskContext.get().getLocalProperty(key)  # type: ignore[union-attr]
        yield from (pa.record_batch({"limit": [limit], "rows": [batch.num_rows]}) for batch in batches)

    spark.conf.set(key, "20")
    try:
        with unmeasured_batches(frame):
            found = frame.mapInArrow(shows, "limit string, rows long").collect()
    finally:
        spark.conf.unset(key)

    assert {row["limit"] for row in found} == {"20"}
    assert len(found) > 1


def test_the_task_slots_are_those_of_the_session(spark: SparkSession) -> None:
    assert task_slots(spark) == 2
