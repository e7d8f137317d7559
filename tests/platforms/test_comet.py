"""Comet does not compare the checksums of Parquet pages. In a session with it, a damaged page is refused all the same.

Comet has a build for Spark 4.1 only, so this needs `.venv-spark-4.1/` and the jar that `make bench` puts into Ivy's
cache.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bench.registry import COMET_VERSION, ROOT
from tests.bench.sides.comet import CONF

PYTHON: Final = ROOT / ".venv-spark-4.1" / "bin" / "python"
JAR: Final = f"org.apache.datafusion_comet-spark-spark4.1_2.13-{COMET_VERSION}.jar"
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PYTHON.exists(), reason="needs .venv-spark-4.1"),
    pytest.mark.skipif(not list(Path.home().glob(f".ivy2*/jars/{JAR}")), reason="needs Comet in Ivy's cache"),
]
SETTINGS: Final = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.sql.session.timeZone": "UTC"}
# Prints how many rows Comet itself reads from the file, and the code of sparkscore's error.
SCORE: Final = """
import json, sys
import sparkscore
from pyspark.sql import SparkSession
asked = json.loads(sys.argv[1])
builder = SparkSession.builder.master("local[1]")
for name, value in asked["conf"].items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
rows = spark.read.option("parquet.page.verify-checksum.enabled", "true").parquet(asked["input"])
found = [rows.mapInArrow(lambda batches: batches, "id long").count()]
try:
    sparkscore.score(spark, asked["deployment"], input=asked["input"], output=asked["output"], output_format="parquet")
except sparkscore.SparkscoreError as error:
    found.append(error.code)
print(json.dumps(found))
"""


def test_a_damaged_page_is_refused_where_comet_would_read_it(
    tmp_path: Path, make_deployment: Callable[..., Path]
) -> None:
    file = tmp_path / "rows.parquet"
    rows = pa.table({"id": range(5000)})
    pq.write_table(rows, file, use_dictionary=False, compression="none", write_page_checksum=True)
    content = bytearray(file.read_bytes())
    content[content.index((2500).to_bytes(8, "little"))] ^= 1
    file.write_bytes(content)
    reads = {"format": "parquet", "reader": "spark"}
    deployment = make_deployment("def run(frame): return list(frame['id'])", input=reads, output={"schema": "y bigint"})
    asked = {
        "input": str(file),
        "output": str(tmp_path / "out"),
        "deployment": str(deployment),
        "conf": CONF | SETTINGS,
    }

    environment = os.environ | {"PYSPARK_PYTHON": str(PYTHON), "PYTHONPATH": str(ROOT)}
    command = [str(PYTHON), "-c", SCORE, json.dumps(asked)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [5000, "INPUT_UNREADABLE"]
