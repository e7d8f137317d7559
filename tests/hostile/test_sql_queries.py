"""SQL functions in queries of many shapes: how often the model runs, with classic sessions and with Spark Connect.

The table in docs/sql.md says it, for all versions of Spark. UPDATE_DOCS=1 writes it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest

import sparkscore
from tests.support import flavors, sql_checks
from tests.support.sql_checks import (
    CHANGING,
    DETERMINISTIC,
    check_calls,
    check_differences,
    check_tables,
    queries,
    write_counts,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
VERSION = pyspark.__version__[:3]


def on_connect(folder: Path, *steps: str) -> list[Any]:
    """Do these steps of `sql_checks` in a new process with Spark Connect, and return what they gave."""
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARKSCORE_RUNS": str(folder / "runs")}
    environment.setdefault("PYTHONPATH", str(ROOT))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.sql_checks", str(folder), *steps],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=850,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{step}.json").read_text()) for step in steps]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("heading", [DETERMINISTIC, *([CHANGING] if VERSION == "4.2" else [])])
def test_the_model_scores_as_many_rows_as_the_page_says(spark: SparkSession, tmp_path: Path, heading: str) -> None:
    found = sql_checks.counts(spark, tmp_path, is_deterministic=heading == DETERMINISTIC)

    if "UPDATE_DOCS" in os.environ:
        write_counts(heading, found)
    assert found == {query: cells[heading] for query, cells in queries()}


@pytest.mark.timeout(900)
def test_the_model_scores_as_many_rows_with_spark_connect(tmp_path: Path) -> None:
    (found,) = on_connect(tmp_path, "counts")

    assert found == {query: cells[DETERMINISTIC] for query, cells in queries()}


def test_10_000_rows_get_the_values_of_a_models_job_nulls_and_extremes_included(
    spark: SparkSession, tmp_path: Path
) -> None:
    flavors.save_sklearn(tmp_path / "model")
    pq.write_table(pa.Table.from_pandas(flavors.make_rows(), preserve_index=False), tmp_path / "rows.parquet")
    trusted = {"trust": "code"}
    run = sparkscore.score(
        spark, None, model=tmp_path / "model", input=tmp_path / "rows.parquet", output=tmp_path / "out",
        output_format="parquet", settings=trusted,
    )  # fmt: skip
    job = run.predictions().select("key", "prediction").toArrow().sort_by("key")
    sparkscore.register_function(spark, "test_model", tmp_path / "model", settings=trusted)
    spark.read.parquet(str(tmp_path / "rows.parquet")).createOrReplaceTempView("test_sql_rows")

    query = "SELECT key, p.prediction, p.error FROM (SELECT key, test_model_struct(struct(*)) AS p FROM test_sql_rows)"
    found = spark.sql(query).toArrow().sort_by("key")

    assert found["prediction"].equals(job["prediction"])
    assert found["error"].null_count == found.num_rows == 10_000


@pytest.mark.each_spark
@pytest.mark.timeout(900)
def test_values_errors_and_tables_with_spark_connect_are_those_of_a_classic_session(tmp_path: Path) -> None:
    steps = ["calls", "differences", *([] if VERSION == "4.0" else ["tables"])]

    found = dict(zip(steps, on_connect(tmp_path, *steps), strict=True))

    check_calls(found["calls"])
    check_differences(found["differences"])
    if "tables" in found:
        check_tables(found["tables"])
