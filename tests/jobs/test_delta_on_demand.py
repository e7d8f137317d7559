"""Spark is started without Delta where delta-rs commits, and again with Delta where Spark must write after all."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Ended = subprocess.CompletedProcess[str]
EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
SCRIPT = """
import os

def run(frame):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(f"{len(frame)}\\n")
    # HERE
    return list(frame["x"] * 2)
"""
CHANGE = """
    import deltalake
    deltalake.DeltaTable(os.environ["TABLE"]).alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    if 4 in set(frame["x"]):
        raise ValueError
"""


@pytest.fixture
def score(sparkscore: Callable[..., Ended], make_deployment: Callable[..., Path], tmp_path: Path) -> Callable[..., Any]:
    """Return a function that scores four rows by the command line.

    It returns the run's record, the number of rows in each call, and for each start of Spark whether it had Delta.
    """
    pq.write_table(pa.table({"x": [1, 2, 3, 4]}), tmp_path / "in.parquet")

    def run(name: str, change: str = "", *, tolerates: bool = False) -> tuple[dict[str, Any], list[str], list[bool]]:
        calls, logs = tmp_path / f"{name}.calls", tmp_path / f"{name}.logs"
        calls.touch()
        logs.mkdir()
        conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": str(logs), "spark.eventLog.compress": "false"}
        deployment = make_deployment(
            SCRIPT.replace("# HERE", change.strip()),
            name,
            settings={"error_threshold": -1 if tolerates else 0, "retry_settings": {"max_retries": 0}},
            output={"schema": "prediction bigint", "carry": ["x"]},
            environment_variables={"CALLS": str(calls), "TABLE": str(tmp_path / "out")},
        )
        options = [part for key, value in conf.items() for part in ("--spark-conf", f"{key}={value}")]

        ended = sparkscore(
            *("run", deployment, "--input", "in.parquet", "--output", "out", "--mode", "append", "--json"),
            *("--run-id", name, "--master", "local[1]", *options),
        )

        assert ended.returncode == 0, ended.stderr
        starts = sorted(logs.rglob("events_*"), key=lambda file: file.stat().st_mtime)
        return json.loads(ended.stdout), calls.read_text().split(), [EXTENSION in each.read_text() for each in starts]

    return run


@pytest.mark.faults
def test_where_the_workers_files_are_committed_spark_has_no_delta(score: Callable[..., Any], tmp_path: Path) -> None:
    for number, name in enumerate(["first", "second"]):
        record, calls, starts = score(name)

        assert starts == [False]
        assert (record["output"]["version"], record["output"]["writer"], calls) == (number, "worker", ["4"])
    assert rows_of(tmp_path / "out") == [(x, 2 * x) for x in (1, 1, 2, 2, 3, 3, 4, 4)]


def test_a_table_that_changes_meanwhile_is_written_by_spark_with_delta(
    score: Callable[..., Any], tmp_path: Path
) -> None:
    _, _, starts = score("first")
    assert starts == [False]

    record, calls, starts = score("second", CHANGE, tolerates=True)

    assert starts == [False, True]
    assert (record["state"], record["output"]["writer"], record["output"]["rows"]) == ("COMPLETE", "spark", 3)
    # The mini-batch was halved until one item failed: the run with Delta has scored nothing again.
    assert sorted(calls) == ["1", "1", "2", "2", "4"]
    assert rows_of(tmp_path / "out") == [(x, 2 * x) for x in (1, 1, 2, 2, 3, 3, 4)]
    history = deltalake.DeltaTable(tmp_path / "out").history()
    assert sum('"run_id": "second"' in commit.get("userMetadata", "") for commit in history) == 1
    quarantine = deltalake.DeltaTable(tmp_path / "out_quarantine")
    assert (quarantine.version(), quarantine.to_pyarrow_table()["run_id"].to_pylist()) == (0, ["second"])


def rows_of(table: Path) -> list[tuple[int, int]]:
    rows = deltalake.DeltaTable(table).to_pyarrow_table()
    return sorted(zip(rows["x"].to_pylist(), rows["prediction"].to_pylist(), strict=True))
