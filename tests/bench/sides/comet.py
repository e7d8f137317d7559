"""Comet under Spark 4.1: the rows of a Parquet file come to mapInArrow without passing through Spark's rows."""

from __future__ import annotations

from typing import Final

from tests.bench.cases import Case
from tests.bench.registry import COMET_VERSION
from tests.bench.sides.spark import SCORES, Spark, start_session

#: The settings that make Comet hand its columns to Python.
CONF: Final = {
    "spark.jars.packages": f"org.apache.datafusion:comet-spark-spark4.1_2.13:{COMET_VERSION}",
    "spark.plugins": "org.apache.spark.CometPlugin",
    "spark.shuffle.manager": "org.apache.spark.sql.comet.execution.shuffle.CometShuffleManager",
    "spark.comet.exec.pyarrowUDF.enabled": "true",
    "spark.memory.offHeap.enabled": "true",
    "spark.memory.offHeap.size": "2g",
}


def start(case: Case, name: str) -> Spark:  # noqa: ARG001 - each side gets its name
    return Spark(case, SCORES["map-in-arrow"], start_session(case, CONF))
