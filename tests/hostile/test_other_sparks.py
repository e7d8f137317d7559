"""The main job with other versions of Spark and over Spark Connect, in other interpreters, read back with PyArrow.

The environment of these tests has one Spark, without Connect. `SPARKSCORE_SPARK_PYTHONS` names other interpreters, with
a colon between two: each with sparkscore's packages and `pyspark[connect]` 4.0, 4.1 or 4.2.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.ledger import read_table

PYTHONS = [python for python in os.environ.get("SPARKSCORE_SPARK_PYTHONS", "").split(":") if python]
ROOT = Path(__file__).parents[2]
JOB = """
import sys
import sparkscore
from pyspark.sql import SparkSession

if sys.argv[1] == "connect":
    builder = SparkSession.builder.remote("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.sql.session.timeZone", "America/New_York").getOrCreate()
else:
    spark = sparkscore.local_session(master="local[2]", conf={"spark.sql.session.timeZone": "America/New_York"})
kind = "parquet" if sys.argv[1] == "connect" else "delta"
run = sparkscore.score(spark, sys.argv[2], input=sys.argv[3], output=sys.argv[4], output_format=kind)
print(sorted((row.day, str(row.at)) for row in run.predictions().collect()))
spark.stop()
"""
MOMENT = dt.datetime(2026, 11, 1, 1, 30)  # noqa: DTZ001 - it has no zone
SCRIPT = "def run(frame): return list(frame['at'])"


@pytest.mark.skipif(not PYTHONS, reason="SPARKSCORE_SPARK_PYTHONS names no interpreters with other versions of Spark")
@pytest.mark.parametrize("way", ["classic", "connect"])
@pytest.mark.parametrize("python", PYTHONS)
def test_a_time_without_a_zone_and_a_key_like_a_number_stay_what_they_are(
    tmp_path: Path, make_deployment: Callable[..., Path], python: str, way: str
) -> None:
    for day in ("007", "7"):
        folder = tmp_path / "in" / f"day={day}"
        folder.mkdir(parents=True)
        instant = pa.array([MOMENT.replace(tzinfo=dt.UTC)], pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"at": pa.array([MOMENT]), "instant": instant}), folder / "part.parquet")
    (tmp_path / "job.py").write_text(JOB)
    deployment = make_deployment(SCRIPT, columns={"prediction": "again"})
    command = [python, str(tmp_path / "job.py"), way, str(deployment), str(tmp_path / "in"), str(tmp_path / "out")]

    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT), "PYSPARK_PYTHON": python}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=200
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert "[('007', '2026-11-01 01:30:00'), ('7', '2026-11-01 01:30:00')]" in done.stdout
    table = read_table(tmp_path / "out")
    assert sorted(table["day"].to_pylist()) == ["007", "7"]
    for name in ("at", "again"):
        assert (table.schema.field(name).type, table[name].to_pylist()) == (pa.timestamp("us"), [MOMENT] * 2)
    assert {each.astimezone(dt.UTC) for each in table["instant"].to_pylist()} == {MOMENT.replace(tzinfo=dt.UTC)}
