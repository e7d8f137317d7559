"""What differs between versions of Spark, and between classic and Connect, read back with PyArrow.

`make test-spark-4.0` and `make test-spark-4.1` run this with other versions of Spark.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest

from sparkscore.spark.prerequisites import has_delta_release
from tests.support.ledger import read_table

ROOT = Path(__file__).parents[2]
JOB = """
import sys
import sparkscore
from pyspark.sql import SparkSession

way, deployment, rows, out, kind = sys.argv[1:]
zone = {"spark.sql.session.timeZone": "America/New_York"}
if way == "classic":
    spark = sparkscore.local_session(master="local[2]", conf=zone)
else:
    builder = SparkSession.builder.remote("local[2]") if way == "connect" else SparkSession.builder.master("local[2]")
    spark = builder.config("spark.ui.enabled", "false").config(map=zone).getOrCreate()
try:
    run = sparkscore.score(spark, deployment, input=rows, output=out, output_format=kind)
    print(sorted((row.day, str(row.at)) for row in run.predictions().collect()))
except sparkscore.SparkscoreError as error:
    print(error)
spark.stop()
"""
MOMENT = dt.datetime(2026, 11, 1, 1, 30)  # noqa: DTZ001 - it has no zone
SCRIPT = "def run(frame): return list(frame['at'])"
WITHOUT_DELTA = "plain" if has_delta_release() else "classic"


def score(folder: Path, way: str, deployment: Path, rows: Path, kind: str) -> str:
    """Score in a new process, with a session of the given way, and return what the process prints."""
    (folder / "job.py").write_text(JOB, encoding="utf-8")
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable}
    environment.setdefault("PYTHONPATH", str(ROOT))
    done = subprocess.run(
        [sys.executable, str(folder / "job.py"), way, str(deployment), str(rows), str(folder / "out"), kind],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.each_spark
@pytest.mark.parametrize("way", ["classic", "connect"])
def test_a_time_without_a_zone_and_a_key_like_a_number_stay_what_they_are(
    tmp_path: Path, make_deployment: Callable[..., Path], way: str
) -> None:
    for day in ("007", "7"):
        folder = tmp_path / "in" / f"day={day}"
        folder.mkdir(parents=True)
        instant = pa.array([MOMENT.replace(tzinfo=dt.UTC)], pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"at": pa.array([MOMENT]), "instant": instant}), folder / "part.parquet")
    deployment = make_deployment(SCRIPT, columns={"prediction": "again"})
    kind = "delta" if way == "classic" and has_delta_release() else "parquet"

    shown = score(tmp_path, way, deployment, tmp_path / "in", kind)

    assert shown == "[('007', '2026-11-01 01:30:00'), ('7', '2026-11-01 01:30:00')]\n"
    table = read_table(tmp_path / "out")
    assert sorted(table["day"].to_pylist()) == ["007", "7"]
    for name in ("at", "again"):
        assert (table.schema.field(name).type, table[name].to_pylist()) == (pa.timestamp("us"), [MOMENT] * 2)
    assert {each.astimezone(dt.UTC) for each in table["instant"].to_pylist()} == {MOMENT.replace(tzinfo=dt.UTC)}


@pytest.mark.each_spark
def test_a_session_without_delta_commits_the_files_of_the_workers(
    tmp_path: Path, make_deployment: Callable[..., Path]
) -> None:
    (tmp_path / "in" / "day=7").mkdir(parents=True)
    pq.write_table(pa.table({"key": [5]}), tmp_path / "in" / "day=7" / "part.parquet")
    deployment = make_deployment("def run(frame): return list(frame['key'] * 2)", output={"partition_by": ["day"]})

    shown = score(tmp_path, WITHOUT_DELTA, deployment, tmp_path / "in", "delta")

    # The rows are in the table, and only Spark could not read them.
    assert f"[DELTA_SESSION] result '{tmp_path / 'out'}' is a Delta table" in shown
    assert "The run has published it. Read it with another library" in shown
    table = deltalake.DeltaTable(tmp_path / "out")
    assert (table.version(), table.metadata().partition_columns) == (0, ["day"])
    assert table.to_pyarrow_table().select(["day", "key", "prediction"]).to_pylist() == [
        {"day": "7", "key": 5, "prediction": 10}
    ]


@pytest.mark.parametrize("what", ["input", "output"])
def test_a_session_without_delta_refuses_what_spark_must_read_or_write_before_it_scores(
    tmp_path: Path, make_deployment: Callable[..., Path], what: str
) -> None:
    started = tmp_path / "started"
    script = f"def init(): open({str(started)!r}, 'w')\n{SCRIPT}"
    deployment = make_deployment(script, output={"writer": "spark" if what == "output" else "auto"})
    rows = pa.table({"at": pa.array([MOMENT])})
    if what == "input":
        deltalake.write_deltalake(str(tmp_path / "in"), rows)
    else:
        (tmp_path / "in").mkdir()
        pq.write_table(rows, tmp_path / "in" / "part.parquet")

    shown = score(tmp_path, WITHOUT_DELTA, deployment, tmp_path / "in", "parquet" if what == "input" else "delta")

    place = tmp_path / ("in" if what == "input" else "out")
    assert f"[DELTA_SESSION] {what} '{place}' is a Delta table: got a session of Spark {pyspark.__version__}" in shown
    assert "Parquet" in shown
    assert ("local_session()" if has_delta_release() else "Delta works with Spark 4.0 to 4.2") in shown
    assert not (tmp_path / "out").exists()
    assert not started.exists()
