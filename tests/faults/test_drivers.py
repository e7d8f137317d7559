"""Faults of the driver: each is killed for certain, and the same request then ends as if it had not been."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.record.runs_folder import RunFolder
from tests.storm.processes import MARK, of_life, with_role
from tests.support import drive
from tests.support.ledger import check_ledger, read_table

MakeDeployment = Callable[..., Path]
FILES = 40
ROWS_OF_A_CALL = 25
# Each call leaves a file of its own, with its number of items and its first row, so that calls can be counted whoever
# dies.
SCRIPT = """
import time, uuid
from pathlib import Path

def run(items):
    time.sleep({seconds})
    first = items["id"].iloc[0] if hasattr(items, "columns") else 0
    (Path({calls!r}) / f"{{len(items)}}-{{first}}-{{uuid.uuid4().hex}}").touch()
    return [1] * len(items)
"""


class Rig:
    """A request of 40 calls, and the drivers that work on it, each in a process group of its own."""

    def __init__(
        self, folder: Path, make_deployment: MakeDeployment, output_format: str, seconds: float, *, is_rows: bool
    ) -> None:
        self.mark = uuid.uuid4().hex
        self.folder, self.drivers = folder, list[subprocess.Popen[str]]()
        self.calls, self.input, self.output = folder / "calls", folder / "in", folder / "out"
        self.calls.mkdir()
        self.input.mkdir()
        self.key = "id" if is_rows else None
        self.keys = self._write_rows() if is_rows else self._write_files()
        script = SCRIPT.format(seconds=seconds, calls=str(self.calls))
        deployment = make_deployment(
            script,
            settings={"mini_batch_size": ROWS_OF_A_CALL if is_rows else 1},
            output={"format": output_format},
            chunk_size=2 * ROWS_OF_A_CALL if is_rows else None,
        )
        self.options: dict[str, Any] = {
            "deployment": str(deployment), "input": str(self.input), "input_format": "parquet" if is_rows else "files",
            "output": str(self.output), "run_id": "night", "runs": str(folder / "runs"),
        }  # fmt: skip
        self.record = RunFolder(folder / "runs", "night")
        self.stage = self.output / "_sparkscore" / "night"

    def _write_files(self) -> list[object]:
        for number in range(FILES):
            (self.input / f"{number:02}.txt").write_text("x" * number)
        return [str(path) for path in self.input.iterdir()]

    def _write_rows(self) -> list[object]:
        keys = list(range(FILES * ROWS_OF_A_CALL))
        half = len(keys) // 2
        for number, part in enumerate((keys[:half], keys[half:])):
            pq.write_table(pa.table({"id": part}), self.input / f"{number}.parquet")
        return [*keys]

    def start(self, master: str = "local[2,4]") -> subprocess.Popen[str]:
        (self.folder / "options.json").write_text(json.dumps({**self.options, "master": master}))
        command = [sys.executable, str(Path(drive.__file__)), str(self.folder / "options.json")]
        driver = subprocess.Popen(
            command,
            env=os.environ | {MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.drivers.append(driver)
        return driver

    def kill_when(self, condition: Callable[[], object], number: int = signal.SIGKILL) -> None:
        """Start a driver, and kill it with all that it started as soon as the condition holds."""
        driver = self.start_until(condition)
        os.killpg(driver.pid, number)
        driver.communicate(timeout=60)
        assert driver.returncode != 0

    def start_until(self, condition: Callable[[], object]) -> subprocess.Popen[str]:
        """Start a driver, and return it as soon as the condition holds."""
        driver = self.start()
        end = time.monotonic() + 90
        while not condition():
            assert driver.poll() is None, "the driver ended before it could be killed"
            assert time.monotonic() < end, "what the test waits for did not happen"
            time.sleep(0.002)
        return driver

    def finish(
        self, master: str = "local[2,4]", driver: subprocess.Popen[str] | None = None
    ) -> tuple[dict[str, Any], str]:
        driver = driver or self.start(master)
        out, err = driver.communicate(timeout=120)
        assert driver.returncode == 0, err
        record: dict[str, Any] = json.loads(out.splitlines()[-1])
        return record, err

    def done(self) -> int:
        return len(list((self.stage / "done").glob("[0-9]*")))

    def check(self, record: dict[str, Any]) -> None:
        check_ledger(record, self.folder / "runs", self.keys, self.key)
        kept = self.record.read_record()
        assert kept is not None
        assert kept.as_dict() == record

    def stop(self) -> None:
        for driver in self.drivers:
            if driver.poll() is None:
                os.killpg(driver.pid, signal.SIGKILL)
                driver.communicate()


@pytest.fixture
def make_rig(tmp_path: Path, make_deployment: MakeDeployment) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(output_format: str = "delta", seconds: float = 0.1, *, is_rows: bool = False) -> Rig:
        made.append(Rig(tmp_path, make_deployment, output_format, seconds, is_rows=is_rows))
        return made[-1]

    yield make
    for rig in made:
        rig.stop()


@pytest.mark.parametrize("output_format", ["delta", pytest.param("parquet", marks=pytest.mark.faults)])
def test_1_a_driver_killed_while_scoring_costs_the_units_in_flight(
    make_rig: Callable[..., Rig], output_format: str
) -> None:
    rig = make_rig(output_format)

    rig.kill_when(lambda: rig.done() >= 3)
    kept = rig.done()
    record, _ = rig.finish()

    rig.check(record)
    told = re.search(r"(\d+) of 8 work units were scored before the run stopped", rig.record.log_file.read_text())
    # Workers may end the two units that were in flight although their driver is dead.
    assert told is not None
    assert kept <= int(told[1]) <= kept + 2
    # The probe's call, and two units of six files at most that were in flight: after the first two, which have eight.
    assert FILES < len(list(rig.calls.iterdir())) <= FILES + 1 + 12


@pytest.mark.faults
@pytest.mark.parametrize("output_format", ["delta", "parquet"])
def test_1_a_driver_killed_while_it_scores_rows_costs_the_chunks_in_flight(
    make_rig: Callable[..., Rig], output_format: str
) -> None:
    rig = make_rig(output_format, is_rows=True)

    for chunks in (4, 10, 14):
        rig.kill_when(lambda chunks=chunks: rig.done() >= chunks)  # type: ignore[misc]
    kept = rig.done()
    record, _ = rig.finish()

    rig.check(record)
    told = re.findall(r"(\d+) chunks were scored before the run stopped", rig.record.log_file.read_text())
    # Two workers may have ended what they had in hand after their driver was killed.
    assert kept <= int(told[-1]) <= kept + 2
    # The probe's call, and three times two chunks of two calls that were in flight.
    assert FILES < len(list(rig.calls.iterdir())) <= FILES + 1 + 3 * 4


@pytest.mark.faults
@pytest.mark.parametrize(("reader", "who"), [("auto", "worker"), ("spark", "spark")])
def test_1_a_driver_with_other_task_slots_goes_on_with_the_same_reader_and_mini_batches(
    make_rig: Callable[..., Rig], reader: str, who: str
) -> None:
    rig = make_rig("parquet", is_rows=True)
    rig.options["settings"] = {"input.reader": reader}

    rig.kill_when(lambda: rig.done() >= 6)
    record, _ = rig.finish("local[3,4]")

    rig.check(record)
    assert record["input"]["reader"] == who
    calls = [tuple(map(int, path.name.split("-")[:2])) for path in rig.calls.iterdir()]
    assert {*calls} == {(ROWS_OF_A_CALL, ROWS_OF_A_CALL * number) for number in range(FILES)}
    # The probe's call, and two chunks of two calls that were in flight.
    assert FILES < len(calls) <= FILES + 1 + 4


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
@pytest.mark.parametrize(("reader", "who"), [("auto", "worker"), ("spark", "spark")])
def test_4_workers_killed_amid_a_work_unit_of_rows_cost_the_chunks_in_flight(
    make_rig: Callable[..., Rig], reader: str, who: str
) -> None:
    rig = make_rig(is_rows=True)
    rig.options["settings"] = {"input.reader": reader}

    driver = rig.start_until(lambda: rig.done() >= 6)
    workers = with_role("worker", of_life(rig.mark))
    assert [worker.kill() for worker in workers].count(True) >= 1
    record, _ = rig.finish(driver=driver)

    rig.check(record)
    assert record["input"]["reader"] == who
    assert record["counts"]["failed"] == 0
    # The probe's call, and two chunks of two calls that were in flight.
    assert FILES < len(list(rig.calls.iterdir())) <= FILES + 1 + 4


@pytest.mark.faults
@pytest.mark.parametrize(
    ("output_format", "sign"), [("delta", "_delta_log/*.json"), ("parquet", "run_id=night")], ids=["delta", "parquet"]
)
def test_2_and_3_a_driver_killed_in_or_after_publish_is_published_once(
    make_rig: Callable[..., Rig], output_format: str, sign: str
) -> None:
    rig = make_rig(output_format, seconds=0.0)

    rig.kill_when(lambda: any(rig.output.glob(sign)))
    record, _ = rig.finish()

    rig.check(record)
    assert read_table(rig.output).num_rows == FILES
    assert len(list(rig.calls.iterdir())) == FILES + 1, "what was published was scored again"


@pytest.mark.faults
def test_21_and_22_a_driver_that_is_asked_to_end_can_be_taken_up(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()

    rig.kill_when(lambda: rig.done() >= 5, signal.SIGINT)
    interrupted = rig.record.read_record()
    assert interrupted is not None
    record, _ = rig.finish()

    assert interrupted.state == "ABORT"
    rig.check(record)
    # The probe's call, two units of four and two files, and what the workers went on with meanwhile.
    assert len(list(rig.calls.iterdir())) <= FILES + 1 + 6 + 2


def sparkscore(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("sparkscore")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.faults
def test_a_run_is_taken_up_by_its_id_alone(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.kill_when(lambda: rig.done() >= 5)

    told = sparkscore("resume", "night", "--runs", str(rig.folder / "runs"), "--master", "local[2,4]", "--json")

    assert told.returncode == 0, told.stderr
    rig.check(json.loads(told.stdout))
    assert len(list(rig.calls.iterdir())) <= FILES + 1 + 6


@pytest.mark.faults
def test_95_what_a_dead_driver_has_left_is_cleaned_and_nothing_of_a_living_one(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(seconds=0.3)
    runs = str(rig.folder / "runs")
    rig.kill_when(lambda: rig.done() >= 2)
    driver = rig.start()
    lock = rig.stage.parent / "night.lock"
    while not (lock.exists() and str(driver.pid) in lock.read_text()):
        assert driver.poll() is None
        time.sleep(0.01)
    alive = sparkscore("clean", str(rig.output), "--runs", runs)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()

    dead = sparkscore("clean", "--runs", runs)

    assert (alive.returncode, dead.returncode) == (0, 0), alive.stderr + dead.stderr
    assert "removed" not in alive.stdout
    assert "removed" in dead.stdout
    assert "ended   night: its driver is dead" in dead.stdout
    assert not rig.stage.parent.exists()
    ended = rig.record.read_record()
    assert ended is not None
    assert ended.state == "ABORT"


@pytest.mark.faults
def test_79_of_two_drivers_with_one_run_id_one_wins(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()

    both = [rig.start() for _ in range(2)]
    answers = [driver.communicate(timeout=120) for driver in both]

    winners = [answer for driver, answer in zip(both, answers, strict=True) if driver.returncode == 0]
    losers = [answer for driver, answer in zip(both, answers, strict=True) if driver.returncode != 0]
    assert len(winners) == len(losers) == 1
    assert "RUN_ID_RUNNING" in losers[0][1]
    rig.check(json.loads(winners[0][0].splitlines()[-1]))
    assert len(list(rig.calls.iterdir())) == FILES + 1


@pytest.mark.faults
def test_80_another_request_is_not_taken_up_under_the_same_id(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.kill_when(lambda: rig.done() >= 2)
    (rig.input / "new.txt").write_text("x")

    driver = rig.start()
    _, told = driver.communicate(timeout=120)

    assert driver.returncode != 0
    assert "RUN_ID_USED" in told
    assert rig.done() >= 2, "what the first request has done was removed"
