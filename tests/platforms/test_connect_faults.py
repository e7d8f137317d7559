"""Faults on a Spark Connect server: server or client are killed, suspended or interrupted, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.connect_server import ConnectServer, client_environment, connect_server, free_port
from tests.support.ledger import check_ledger

ROWS = 1000
# Each call leaves a file of its own, so that calls can be counted whoever dies.
SCRIPT = """
import time, uuid
from pathlib import Path

def run(frame):
    time.sleep({seconds})
    (Path({calls!r}) / uuid.uuid4().hex).touch()
    return [1] * len(frame)
"""
LOST_AFTER_S = 30
pytestmark = pytest.mark.timeout(600)


class Rig:
    """A request of 40 calls, whose clients are processes."""

    def __init__(self, folder: Path, make_deployment: Callable[..., Path], seconds: float) -> None:
        self.folder, self.calls, self.output = folder, folder / "calls", folder / "out"
        self.calls.mkdir()
        (folder / "in").mkdir()
        for number in range(2):
            keys = list(range(number * ROWS // 2, (number + 1) * ROWS // 2))
            pq.write_table(pa.table({"id": keys}), folder / "in" / f"{number}.parquet")
        script = SCRIPT.format(seconds=seconds, calls=str(self.calls))
        make_deployment(script, settings={"mini_batch_size": 25}, chunk_size=50)
        self.started: list[subprocess.Popen[str]] = []

    def start(self, url: str, *arguments: str) -> subprocess.Popen[str]:
        line = arguments or (
            "run",
            "deployment/deployment.yml",
            "--input",
            "in",
            "--output",
            "out",
            "--run-id",
            "night",
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "sparkscore", *line, "--runs", "runs", "--remote", url],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder, env=client_environment(""),
        )  # fmt: skip
        self.started.append(process)
        return process

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / "runs" / "night" / "record.json").read_text())
        return record

    def count_chunks(self) -> int:
        return len([*(self.output / "_sparkscore" / "night" / "attempts").glob("*/*.parquet")])

    def count_calls(self) -> int:
        return len([*self.calls.iterdir()])

    def wait_until(self, client: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + 200
        while not is_so():
            assert client.poll() is None, client.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.02)

    def has_begun_to_publish(self) -> bool:
        return (self.folder / "runs" / "night" / "record.json").exists() and bool(
            self.record()["output"].get("publishing_began")
        )

    def finish(self, client: subprocess.Popen[str]) -> str:
        out, _ = client.communicate(timeout=300)
        assert client.returncode == 0, out
        check_ledger(self.record(), self.folder / "runs", range(ROWS))
        return out

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            if process.stdout is not None and not process.stdout.closed:
                process.communicate()


@pytest.fixture
def rig(tmp_path: Path, make_deployment: Callable[..., Path]) -> Iterator[Rig]:
    made = Rig(tmp_path, make_deployment, 0.4)
    yield made
    made.end()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectServer]:
    """A server for the tests that leave it alive."""
    with connect_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.mark.parametrize("moment", ["scoring", "publishing"])
def test_a_killed_server_is_named_in_time_and_the_next_one_resumes(tmp_path: Path, rig: Rig, moment: str) -> None:
    with connect_server(tmp_path) as first:
        client = rig.start(first.url)
        is_there = {"scoring": lambda: rig.count_chunks() >= 3, "publishing": rig.has_begun_to_publish}[moment]
        rig.wait_until(client, is_there)
        first.kill()
        killed = time.monotonic()
        out, _ = client.communicate(timeout=100)
        seconds = time.monotonic() - killed

    assert client.returncode == 1, out
    assert "[CONNECT_SERVER_LOST] the Spark Connect server" in out
    assert "RETRIES_EXCEEDED" not in out
    assert seconds < LOST_AFTER_S
    assert rig.record()["error"]["code"] == "CONNECT_SERVER_LOST"
    calls = rig.count_calls()
    with connect_server(tmp_path) as second:
        rig.finish(rig.start(second.url, "resume", "night"))
    # A chunk is two calls, and each of the two tasks loses one at most, besides the call of the probe.
    assert rig.count_calls() - calls <= (40 - calls + 2 * 2 + 1 if moment == "scoring" else 0)


def test_a_server_that_is_not_there_is_named(rig: Rig) -> None:
    client = rig.start(f"sc://localhost:{free_port()}")
    assert client.stdout is not None
    assert "connecting to the Spark Connect server localhost:" in client.stdout.readline()
    started = time.monotonic()
    out, _ = client.communicate(timeout=100)

    assert client.returncode == 1
    assert "[CONNECT_SERVER_LOST] the Spark Connect server 'localhost' does not answer: got no server at this" in out
    assert time.monotonic() - started < LOST_AFTER_S
    assert not rig.output.exists()


def test_a_server_that_stands_still_for_a_while_is_not_taken_for_a_dead_one(server: ConnectServer, rig: Rig) -> None:
    client = rig.start(server.url)
    rig.wait_until(client, lambda: rig.count_chunks() >= 1)
    server.suspend()
    try:
        time.sleep(LOST_AFTER_S)
        assert client.poll() is None
    finally:
        server.go_on()

    rig.finish(client)


@pytest.mark.parametrize("moment", ["scoring", "publishing"])
def test_what_a_killed_client_left_running_is_neither_lost_nor_doubled(
    server: ConnectServer, rig: Rig, moment: str
) -> None:
    client = rig.start(server.url)
    is_there = {"scoring": lambda: rig.count_chunks() >= 1, "publishing": rig.has_begun_to_publish}[moment]
    rig.wait_until(client, is_there)
    client.send_signal(signal.SIGKILL)
    client.communicate()

    # The first client's operation goes on while the second works on the same run.
    rig.finish(rig.start(server.url))
    time.sleep(10)

    check_ledger(rig.record(), rig.folder / "runs", range(ROWS))
    again = rig.start(server.url)
    assert "complete" in rig.finish(again)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_the_operation_and_the_run_can_be_resumed(
    server: ConnectServer, rig: Rig, number: signal.Signals, code: int
) -> None:
    client = rig.start(server.url)
    rig.wait_until(client, lambda: rig.count_chunks() >= 1)

    client.send_signal(number)
    out, _ = client.communicate(timeout=60)
    time.sleep(1)
    calls = rig.count_calls()
    time.sleep(3)

    assert client.returncode == code, out
    assert "sparkscore resume night" in out
    assert rig.count_calls() <= calls + 2, "the operation went on"
    assert rig.record()["state"] == "ABORT"
    rig.finish(rig.start(server.url, "resume", "night"))


JOB = """
import sys, threading, time
import sparkscore
from pyspark.sql import SparkSession

spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
found = []
def slow(batches):
    import time
    for batch in batches:
        time.sleep(15)
        yield batch
rows = spark.range(7).repartition(1).mapInArrow(slow, "id bigint")
other = threading.Thread(target=lambda: found.append(rows.count()))
other.start()
try:
    sparkscore.score(spark, "deployment/deployment.yml", input="in", output="out", run_id="night", runs="runs")
except KeyboardInterrupt as interrupt:
    print("interrupted", *interrupt.__notes__)
other.join()
print("the other operation found", found)
"""


def test_an_interrupt_in_python_leaves_other_operations_of_the_session_alone(server: ConnectServer, rig: Rig) -> None:
    (rig.folder / "job.py").write_text(JOB)
    environment = {**client_environment(""), "PYTHONUNBUFFERED": "1"}
    job = subprocess.Popen(
        [sys.executable, "job.py", server.url],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=rig.folder, env=environment,
    )  # fmt: skip
    rig.started.append(job)
    rig.wait_until(job, lambda: rig.count_calls() >= 2)

    os.kill(job.pid, signal.SIGINT)
    out, _ = job.communicate(timeout=100)
    calls = rig.count_calls()
    time.sleep(3)

    assert "interrupted Nothing was published." in out
    assert "the other operation found [7]" in out
    assert rig.count_calls() == calls
    assert rig.record()["state"] == "ABORT"
