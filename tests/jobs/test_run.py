from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import deltalake
import pyarrow.parquet as pq
import pytest

from sparkscore.spark.prerequisites import delta_coordinate

PROGRAM = Path(sys.executable).with_name("sparkscore")
SPARK_SUBMIT = Path(sys.executable).with_name("spark-submit")
JOB = Path(__file__).parents[2] / "jobs" / "score.py"

Ended = subprocess.CompletedProcess[str]
SparkscoreCommand = Callable[..., Ended]
Start = Callable[..., subprocess.Popen[str]]

HANGING_SCRIPT = """
import os, time

def init():
    open(os.environ["STARTED"], "w").close()

def run(mini_batch):
    time.sleep(600)
"""


def assert_quiet(err: str) -> None:
    """Nothing of Spark's or Python's own is on the terminal."""
    for word in ("Traceback", "WARN", "INFO", "Exception", "\tat ", "ivy"):
        assert word not in err


def test_the_example_runs_at_once_and_its_run_is_listed(sparkscore: SparkscoreCommand, tmp_path: Path) -> None:
    sparkscore("new", "first")

    ended = sparkscore("run", "first/deployment.yml")

    assert ended.returncode == 0, ended.stderr
    assert_quiet(ended.stderr)
    assert "spark.log" in ended.stderr
    assert "12 rows: 12 scored, 0 failed" in ended.stdout
    assert "first/predictions (delta, version 0, 12 rows)" in ended.stdout
    table = deltalake.DeltaTable(tmp_path / "first" / "predictions").to_pyarrow_table()
    assert table.num_rows == 12
    assert set(table["species"].to_pylist()) == {"setosa", "versicolor", "virginica"}
    (folder,) = (tmp_path / "sparkscore-runs").glob("run-*")
    assert folder.name in ended.stdout
    assert folder.name in sparkscore("runs", "list").stdout
    assert "COMPLETE" in sparkscore("runs", "show", folder.name).stdout


def test_options_reach_the_run_and_the_answer_is_its_record(sparkscore: SparkscoreCommand, tmp_path: Path) -> None:
    sparkscore("new", "first")
    header = (tmp_path / "first" / "flowers.csv").read_text(encoding="utf-8").partition("\n")[0]
    (tmp_path / "more.csv").write_text(f"{header}\n13,5.1,3.5,1.4,0.2\n", encoding="utf-8")

    ended = sparkscore(
        *("run", "first/deployment.yml", "--input", "more.csv", "--input", "first/flowers.csv"),
        *("--output", "out", "--output-format", "parquet", "--mode", "append", "--partition-by", "species"),
        *("--run-id", "nightly-1", "--runs", "records", "--master", "local[1]"),
        *("--spark-conf", "spark.app.name=by option", "--set", "settings.mini_batch_size=100", "--json"),
    )

    record = json.loads(ended.stdout)
    assert ended.returncode == 0, ended.stderr
    assert_quiet(ended.stderr)
    assert record["state"] == "COMPLETE"
    assert record == json.loads((tmp_path / "records" / "nightly-1" / "record.json").read_text(encoding="utf-8"))
    assert record["counts"]["items"] == 13
    assert record["config"]["settings"]["mini_batch_size"] == 100
    rows = pq.read_table(tmp_path / "out" / "run_id=nightly-1", partitioning="hive")
    assert sorted(rows["flower"].to_pylist()) == list(range(1, 14))
    assert (tmp_path / "out" / "run_id=nightly-1" / "species=setosa").is_dir()


def test_a_failed_run_gives_its_record_one_message_and_the_log(sparkscore: SparkscoreCommand, tmp_path: Path) -> None:
    sparkscore("new", "first")
    script = tmp_path / "first" / "score.py"
    script.write_text("def run(mini_batch):\n    raise ValueError('no such flower')\n", encoding="utf-8")

    ended = sparkscore("run", "first/deployment.yml", "--run-id", "r1", "--json")

    record = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert (record["run_id"], record["state"], record["error"]["code"]) == ("r1", "FAIL", "SCRIPT_RUN")
    assert "no such flower" in ended.stderr
    assert "score.py, line 2" in ended.stderr
    assert_quiet(ended.stderr)
    assert "sparkscore-runs/r1/run.log" in ended.stderr
    assert "Traceback" in (tmp_path / "sparkscore-runs" / "r1" / "run.log").read_text(encoding="utf-8")
    assert not list((tmp_path / "first" / "predictions").glob("**/*.parquet"))


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.faults)]
)
def test_an_interrupted_run_is_recorded_and_leaves_nothing(
    sparkscore: SparkscoreCommand, start: Start, tmp_path: Path, number: int, exit_code: int
) -> None:
    sparkscore("new", "first")
    (tmp_path / "first" / "score.py").write_text(HANGING_SCRIPT, encoding="utf-8")
    started = tmp_path / "started"
    process = start(
        *(PROGRAM, "run", "first/deployment.yml", "--run-id", "r1", "--json"),
        *("--set", "output.schema=prediction double", "--set", "output.carry=[flower]"),
        *("--set", f"environment_variables.STARTED={started}"),
    )
    wait_for(started, process)

    # A terminal sends Ctrl-C to the whole group: to the JVM, too. SIGTERM comes to the one process.
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == exit_code
    assert_quiet(err)
    record = json.loads(out)
    assert (record["run_id"], record["state"]) == ("r1", "ABORT")
    assert record == json.loads((tmp_path / "sparkscore-runs" / "r1" / "record.json").read_text(encoding="utf-8"))
    assert not list((tmp_path / "first" / "predictions").glob("**/*.parquet"))


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    assert path.exists(), process.communicate()


def test_the_job_runs_under_spark_submit(sparkscore: SparkscoreCommand, start: Start, tmp_path: Path) -> None:
    sparkscore("new", "first")

    process = start(
        *(SPARK_SUBMIT, "--master", "local[2]", "--packages", delta_coordinate(), JOB),
        *("first/deployment.yml", "--input", "first/flowers.csv", "--output", "out", "--json"),
    )
    out, err = process.communicate(timeout=240)

    assert process.returncode == 0, err
    record = json.loads(out)
    assert (record["state"], record["counts"]["items"]) == ("COMPLETE", 12)
    assert deltalake.DeltaTable(tmp_path / "out").to_pyarrow_table().num_rows == 12


def test_the_jobs_exit_code_is_that_of_the_command(start: Start) -> None:
    process = start(SPARK_SUBMIT, "--master", "local[1]", JOB, "none.yml", "--json")

    out, _ = process.communicate(timeout=120)

    assert process.returncode == 2
    assert json.loads(out)["error"]["code"] == "CONFIG_FILE"


def test_doctor_asks_a_worker(sparkscore: SparkscoreCommand) -> None:
    ended = sparkscore("doctor", "--output", "out", "--json")

    answer = json.loads(ended.stdout)
    assert ended.returncode == 0, ended.stdout
    assert answer["checks"][-1]["name"] == "workers"
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in answer["checks"][-1]["found"]
    assert_quiet(ended.stderr)
