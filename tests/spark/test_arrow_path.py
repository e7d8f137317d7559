from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

import sparkscore
from sparkscore.signature import parse_ddl, to_ddl
from sparkscore.spark.jobs import task_slots
from sparkscore.spark.schema import from_arrow

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


def test_the_task_slots_are_those_of_the_session(spark: SparkSession) -> None:
    assert task_slots(spark) == 2
