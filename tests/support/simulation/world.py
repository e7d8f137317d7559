"""Simulated drivers that use one store, and the rules that must hold after each of them."""

from __future__ import annotations

import random
import shutil
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from unittest import mock

import yaml

from sparkscore.progress import SilentDisplay
from sparkscore.record.runs_folder import RunFolder
from sparkscore.run import PreparedRun, execute
from sparkscore.run.clean import clean
from sparkscore.run.prepare import prepare
from sparkscore.worker import loaded
from tests.support.ledger import check_ledger, read_table
from tests.support.simulation.lives import COMPLETE, ERROR, NOTHING, RAW, Drivers, Ended, grow_older
from tests.support.simulation.spark import SparkStandIn
from tests.support.simulation.store import SCORE, Event, Fault

RUN: Final = "night"
UNITS: Final = 3
_SCRIPT: Final = """
from pathlib import Path

from tests.support.simulation import world

def run(files):
    world.scored(files)
    if any(world.is_poison(file) for file in files):
        raise ValueError("a file that always fails")
    return [len(Path(file).read_text()) for file in files]
"""


class Rule(StrEnum):
    """The rules that every simulated run must keep."""

    WHOLE = "of a run all rows are visible, or none"
    ONCE = "each item is in predictions or in quarantine, once, and the record says so"
    RECORD = "the record that is kept tells of the rows that are there"
    ENDS = "the same request completes the run over a healthy store, at the second attempt at the latest"
    ERRORS = "every failure is an error of sparkscore's"
    CLAIMS = "nobody says that nothing was published when it was"
    STAGE = "nothing is left of a stage"
    WORK = "what was done is not done again"


@dataclass(frozen=True)
class Wrong:
    rule: Rule
    text: str


# Errors that tell of another driver's rows; this one has published nothing.
_OF_ANOTHER: Final = {"RUN_ID_RUNNING", "RUN_PUBLISHED", "RUN_LOCK_LOST"}
_now: World | None = None


def scored(files: list[str]) -> None:
    """Record a call of the scoring script. The simulated process may end in it."""
    assert _now is not None
    _now.score(files)


def is_poison(file: str) -> bool:
    """Whether scoring a file must fail; the scoring script asks this."""
    assert _now is not None
    return _now.is_poison(file)


class World(Drivers):
    """A store with an input of six files, an output, a quarantine and a folder of runs, and the drivers that use it."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder / "store", rng)
        self.input, self.output, self.runs = self.root / "in", self.root / "out", self.root / "runs"
        self.quarantine = self.root / "out_quarantine"
        self.spark = SparkStandIn(rng)
        self.calls: list[str] = []
        self.fails = "poison"
        self._prepared: dict[tuple[str, str], PreparedRun] = {}
        self._deployment = folder / "deployment.yml"
        self.input.mkdir(parents=True)
        for unit in range(UNITS):
            (self.input / f"{unit}-good.txt").write_text("x" * (10 + unit))
            (self.input / f"{unit}-poison.txt").write_text("y")
        self.keys = sorted(str(path) for path in self.input.iterdir())
        self._write_deployment(folder)

    def _write_deployment(self, folder: Path) -> None:
        (folder / "code").mkdir()
        (folder / "code" / "score.py").write_text(_SCRIPT)
        content = {
            "name": "simulated",
            "code_configuration": {"code": "code", "scoring_script": "score.py"},
            "input": {"format": "files", "location": str(self.input)},
            "output": {"format": "parquet", "location": str(self.output), "schema": "size bigint", "carry": []},
            "settings": {"mini_batch_size": 2, "error_threshold": -1, "retry_settings": {"max_retries": 0}},
            "isolation": "none",
        }
        self._deployment.write_text(yaml.safe_dump(content))

    def wipe(self) -> None:
        """Remove all results, and start again with the same input."""
        for place in (self.output, self.quarantine, self.runs):
            shutil.rmtree(place, ignore_errors=True)
        self.forget()
        self.calls.clear()
        self.fails = "poison"

    # ----------------------------------------------------------------------------------------------------------- lives

    def live(self, run_id: str = RUN, events: Mapping[int, Event] | None = None, mode: str = "append") -> Ended:
        """Execute the run in a simulated driver until it ends or is killed."""
        prepared = self._prepare(run_id, mode)
        kept, loaded._engines = loaded._engines, loaded.KeptEngines()  # each process loads the script itself
        try:
            return self.lived(lambda: execute(self.spark, prepared, progress=SilentDisplay()).record, events)  # type: ignore[arg-type]
        finally:
            loaded._engines = kept

    def clean(self, events: Mapping[int, Event] | None = None) -> Ended:
        """Run `sparkscore.clean` in a simulated driver."""
        return self.lived(lambda: clean([self.output], runs=self.runs), events)

    def _prepare(self, run_id: str, mode: str) -> PreparedRun:
        if (run_id, mode) not in self._prepared:
            self._prepared[run_id, mode] = prepare(self._deployment, run_id=run_id, runs=self.runs, mode=mode)
        return self._prepared[run_id, mode]

    def score(self, files: list[str]) -> None:
        def count() -> None:
            self.calls.extend(files)

        self.store.call(SCORE, files[0], count)

    def is_poison(self, file: str) -> bool:
        return self.fails in file

    def wait(self, seconds: float = 60.0) -> None:
        """Let time pass: make the heartbeat of every lock older."""
        of_outputs = [lock for place in (self.output, self.quarantine) for lock in place.glob("_sparkscore/*.lock")]
        for lock in (*self.runs.glob("*/lock"), *of_outputs):
            grow_older(lock, seconds)

    def finish(self, run_id: str = RUN, attempts: int = 2) -> tuple[list[Ended], list[Wrong]]:
        """Execute the run over a store without faults until it is complete.

        Returns:
            how each attempt ended, and the rules that were broken.
        """
        ends: list[Ended] = []
        wrongs: list[Wrong] = []
        while len(ends) < attempts and (not ends or ends[-1].how != COMPLETE):
            self.wait()
            ends.append(self.live(run_id))
            wrongs += self.wrongs(run_id, ends[-1])
        if ends[-1].how == COMPLETE:
            return ends, [*wrongs, *self.check(ends[-1].record, run_id)]
        return ends, [*wrongs, Wrong(Rule.ENDS, f"not complete after {attempts} attempts: {ends[-1]}")]

    # ------------------------------------------------------------------------------------------------ what must be true

    def visible(self, place: Path) -> dict[str, list[str]]:
        """Return the input files of each run whose rows a reader of the table sees."""
        found: dict[str, list[str]] = {}
        if place.is_dir() and any(place.glob("run_id=*")):
            for row in read_table(place).to_pylist():
                found.setdefault(row["run_id"], []).append(row["source_file"])
        return {run_id: sorted(files) for run_id, files in found.items()}

    def halves(self) -> Iterator[Wrong]:
        """Yield the runs of which a reader sees only a part of the rows."""
        failed = [key for key in self.keys if self.is_poison(key)]
        predictions, quarantine = self.visible(self.output), self.visible(self.quarantine)
        for found, whole in ((predictions, [key for key in self.keys if key not in failed]), (quarantine, failed)):
            for run_id, files in found.items():
                if files != whole:
                    yield Wrong(Rule.WHOLE, f"{run_id}: {[Path(file).name for file in files]}")
        for run_id in predictions.keys() - quarantine.keys():
            yield Wrong(Rule.WHOLE, f"{run_id}: predictions without their quarantine")
        for run_id, record in self.records():
            if record["state"] == "COMPLETE" and run_id not in predictions:
                yield Wrong(Rule.RECORD, f"{run_id}: complete, and no rows are there")

    def wrongs(self, run_id: str, ended: Ended) -> Iterator[Wrong]:
        """Yield the rules that are broken after a driver ended, however it ended."""
        yield from self.halves()
        if ended.how == RAW and ended.error is not None:
            frames = [
                frame for frame in traceback.extract_tb(ended.error.__traceback__) if "/sparkscore/" in frame.filename
            ]
            place = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[:-4:-1])
            yield Wrong(Rule.ERRORS, f"{type(ended.error).__name__} at {place}")
        said = str(ended.error) if ended.how == ERROR else ""
        if _has_published(ended, run_id) and any(text in said for text in NOTHING):
            yield Wrong(Rule.CLAIMS, said)

    def check(self, record: Mapping[str, Any] | None, run_id: str = RUN) -> Iterator[Wrong]:
        """Yield the rules that a complete run breaks."""
        try:
            assert record is not None
            check_ledger(record, self.runs, self.keys, key=None)
        except AssertionError as error:
            text = (str(error) or "no record").splitlines()[0]
            yield Wrong(Rule.STAGE if "stage" in text else Rule.ONCE, text)
        kept = RunFolder(self.runs, run_id).read_record()
        if kept is None or kept.as_dict() != record:
            yield Wrong(Rule.RECORD, "the record on disk is another one")

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in self.runs.glob("*/record.json"):
            if record := RunFolder(self.runs, path.parent.name).read_record():
                yield path.parent.name, record.as_dict()


def _has_published(ended: Ended, run_id: str) -> bool:
    """Return whether a driver moved the run's rows to the output, or got an error from that call."""
    moves = {f"{op} out/run_id={run_id}" for op in ("rename", "replace")}
    failed = {str(call) for _, call, event in ended.process.hit if event in {Fault.FAILED, Fault.BEFORE}}
    return ended.code not in _OF_ANOTHER and bool({str(call) for call in ended.process.calls} & moves - failed)


@contextmanager
def simulated(folder: Path, seed: int) -> Iterator[World]:
    """Yield a world without waiting times and without a JVM, in which random names come from the seed."""
    global _now  # noqa: PLW0603 - the scoring script finds the world by it
    rng = random.Random(seed)  # noqa: S311 - the same for the same seed is what it is for
    before, world = _now, World(folder, rng)
    _now = world
    with ExitStack() as stack:
        patch = mock.patch
        stack.enter_context(world.in_place())
        stack.enter_context(patch("sparkscore.sinks.turns.WAIT_S", 0.0))
        stack.enter_context(patch("sparkscore.run.prepare.git_commit_of", lambda _: None))
        stack.enter_context(patch("sparkscore.spark.jobs.partition_id", lambda: world.spark.partition))
        try:
            yield world
        finally:
            _now = before
