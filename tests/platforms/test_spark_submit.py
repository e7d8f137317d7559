"""`jobs/score.py` under a real `spark-submit`: what is printed, the exit code and the record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import deltalake
import pytest

from sparkscore.cli import run_command_line
from sparkscore.record.listing import read_record
from sparkscore.record.run_record import ABORT, FAIL
from sparkscore.spark.prerequisites import delta_coordinate
from tests.support.cluster import standalone_cluster

SPARK_SUBMIT = Path(sys.executable).with_name("spark-submit")
JOB = Path(__file__).parents[2] / "jobs" / "score.py"
HANGING_SCRIPT = """
import os, time

def init():
    open(os.environ["STARTED"], "w").close()

def run(mini_batch):
    time.sleep(600)
"""

Submit = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def submit(tmp_path: Path) -> Iterator[Submit]:
    """Return a function that submits the job for the example of `sparkscore new`, in a process group of its own."""
    assert run_command_line(["new", str(tmp_path / "first")]) == 0
    started = []

    def start(master: str, *options: str) -> subprocess.Popen[str]:
        submitted = [str(SPARK_SUBMIT), "--master", master, "--packages", delta_coordinate(), str(JOB)]
        request = ["first/deployment.yml", "--input", "first/flowers.csv", "--output", "out", "--run-id", "r1"]
        process = subprocess.Popen(
            [*submitted, *request, *options],
            cwd=tmp_path,
            env=os.environ | {"PYSPARK_PYTHON": sys.executable},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.short
def test_on_a_cluster_the_summary_is_the_last_thing_and_spark_is_quiet(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    with standalone_cluster(tmp_path / "cluster") as master:
        process = submit(master)
        out, err = process.communicate(timeout=600)

    assert process.returncode == 0, err
    before, complete, summary = out.partition("COMPLETE  r1\n")
    lines = summary.splitlines()
    assert complete
    assert "12 rows: 12 scored, 0 failed" in summary
    assert "out (delta, version 0, 12 rows)" in summary
    assert (lines[-1], lines[-8].split()[0]) == ("… and 5 more columns", "flower")
    assert [line for line in before.splitlines() if "INFO" in line or "\tat " in line] == []
    # What spark-submit says about the packages, and what Spark says before it knows the level of its log.
    assert len([line for line in err.splitlines() if " INFO " in line]) < 10, err
    # Ivy, which gets the packages, says the more the more of them it downloads.
    of_spark = err.rpartition(":: retrieving ::")[2]
    assert len(of_spark.splitlines()) < 50, err
    assert deltalake.DeltaTable(tmp_path / "out").to_pyarrow_table().num_rows == 12


def test_a_run_that_fails_ends_the_job_with_1_and_its_reason(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "first" / "score.py").write_text("def run(mini_batch):\n    raise ValueError('none')\n")

    process = submit("local[1]")
    out, err = process.communicate(timeout=600)

    assert process.returncode == 1, err
    error, log = out.splitlines()[-2:]
    assert error.startswith("error [SCRIPT_RUN] scoring script 'score.py' raised ValueError in run()")
    assert log.endswith("r1/run.log")
    assert read_record(tmp_path / "runs", "r1").state == FAIL


@pytest.mark.parametrize(
    ("number", "is_for_all", "code", "state"),
    [
        (signal.SIGINT, True, 130, ABORT),  # Ctrl-C in a terminal
        (signal.SIGTERM, False, 143, FAIL),  # a scheduler that ends spark-submit, of which Python hears by Spark only
    ],
    ids=["ctrl-c", "scheduler"],
)
def test_a_job_that_is_interrupted_ends_as_a_signal_does_and_publishes_nothing(
    submit: Submit, tmp_path: Path, number: int, is_for_all: object, code: int, state: str
) -> None:
    (tmp_path / "first" / "score.py").write_text(HANGING_SCRIPT)
    options = ["--set", "output.schema=prediction double", "--set", "output.carry=[flower]"]
    process = submit("local[1]", *options, "--set", f"environment_variables.STARTED={tmp_path / 'started'}")
    wait_for(lambda: (tmp_path / "started").exists() or process.poll() is not None)

    (os.killpg if is_for_all else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=300)

    assert process.returncode == code, out + err
    wait_for(lambda: read_record(tmp_path / "runs", "r1").state != "RUNNING")
    assert read_record(tmp_path / "runs", "r1").state == state
    assert not list((tmp_path / "out").glob("**/*.parquet"))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 200
    while not condition() and time.monotonic() < until:
        time.sleep(0.2)
    assert condition()
