"""A run whose workers read the rows of Parquet files: it dies at each call, and goes on with other task slots."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sparkscore.progress import SilentDisplay
from sparkscore.run import PreparedRun, execute
from sparkscore.run.prepare import prepare
from sparkscore.worker import loaded
from tests.support.ledger import check_ledger
from tests.support.simulation.lives import COMPLETE, DEAD, Drivers, Ended, grow_older
from tests.support.simulation.spark import SparkStandIn
from tests.support.simulation.store import Call, Event, Fault

RUN: Final = "night"
SIZE: Final = 4
FILES: Final = {"a": 10, "b": 3, "c": 9}
# Each row of the result shows the mini-batch that the row was in.
SCRIPT: Final = """
def run(frame):
    return [f"{len(frame)} from {frame['id'].iloc[0]}"] * len(frame)
"""


class RowsWorld(Drivers):
    """A store with an input of three Parquet files, and drivers that score their rows."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "store", random.Random(4))  # noqa: S311 - the same for the same seed
        self.input, self.output, self.runs = self.root / "in", self.root / "out", self.root / "runs"
        self.input.mkdir(parents=True)
        (folder / "code").mkdir()
        (folder / "code" / "score.py").write_text(SCRIPT)
        first = 0
        for name, count in FILES.items():
            ids = pa.array(range(first, first + count), pa.int64())
            pq.write_table(pa.table({"id": ids}), self.input / f"{name}.parquet", row_group_size=5)
            first += count
        self.ids = list(range(first))
        content = {
            "name": "rows",
            "code_configuration": {"code": "code", "scoring_script": "score.py"},
            "chunk_size": SIZE,
            "input": {"format": "parquet", "location": str(self.input)},
            "output": {"format": "parquet", "location": str(self.output), "schema": "shown string", "carry": ["id"]},
            "settings": {"mini_batch_size": SIZE, "retry_settings": {"max_retries": 0}},
            "isolation": "none",
        }
        (folder / "deployment.yml").write_text(yaml.safe_dump(content))
        self.prepared: PreparedRun = prepare(folder / "deployment.yml", run_id=RUN, runs=self.runs)

    def begin(self) -> None:
        for place in (self.output, self.runs):
            shutil.rmtree(place, ignore_errors=True)
        self.forget()

    def live(self, task_slots: int, events: dict[int, Event] | None = None) -> Ended:
        for lock in (*self.runs.glob("*/lock"), *self.output.glob("_sparkscore/*.lock")):
            grow_older(lock)
        spark = SparkStandIn(self.rng, master=f"local[{task_slots}]")
        kept, loaded._engines = loaded._engines, loaded.KeptEngines()

        def partition_id() -> int:
            return spark.partition

        try:
            with mock.patch("sparkscore.spark.jobs.partition_id", partition_id):
                return self.lived(lambda: execute(spark, self.prepared, progress=SilentDisplay()).record, events)  # type: ignore[arg-type]
        finally:
            loaded._engines = kept

    def wrong(self, ended: Ended) -> str:
        """Return what is wrong after a run that should be complete."""
        if ended.how != COMPLETE or ended.record is None:
            return str(ended)
        try:
            check_ledger(ended.record, self.runs, self.ids)
        except AssertionError as error:
            return str(error).splitlines()[0]
        if ended.record["input"]["reader"] != "worker":
            return "Spark read the rows"
        rows = pq.read_table(next((self.output / f"run_id={RUN}").rglob("*.parquet")).parent).to_pylist()
        return "" if Counter(row["shown"] for row in rows) == self.expected() else f"other mini-batches: {rows}"

    def expected(self) -> Counter[str]:
        """Return the mini-batches: the next rows of one file, counted from its first row."""
        found: Counter[str] = Counter()
        first = 0
        for count in FILES.values():
            for start in range(0, count, SIZE):
                size = min(SIZE, count - start)
                found[f"{size} from {first + start}"] += size
            first += count
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowsWorld]:
    world = RowsWorld(tmp_path_factory.mktemp("rows"))
    with world.in_place(), mock.patch("sparkscore.sinks.turns.WAIT_S", 0.0):
        yield world


def calls_of_a_clean_run(world: RowsWorld) -> list[Call]:
    world.begin()
    ended = world.live(2)
    assert world.wrong(ended) == ""
    return ended.process.calls


def test_a_run_that_dies_at_any_call_goes_on_with_other_task_slots(world: RowsWorld) -> None:
    broken = []
    # Each third call, because each takes half a second; the crashes at each call are in another test.
    for number, call in list(enumerate(calls_of_a_clean_run(world)))[::3]:
        task_slots = 1 if number % 2 else 5
        world.begin()
        assert world.live(2, {number: Fault.BEFORE}).how == DEAD
        ended = world.live(task_slots)
        ended = ended if ended.how == COMPLETE else world.live(task_slots)
        if wrong := world.wrong(ended):
            broken.append(f"{number} {call}: {wrong}")

    assert not broken, "\n".join(broken)
