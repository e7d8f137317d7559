"""Many lives of many runs over one store, with faults, rivals and `clean` in between, all drawn from a seed.

Every episode has a seed of its own and begins with an empty store. To replay one, with its whole story:
SPARKSCORE_SEED=<seed> pytest tests/simulation/test_random_walk.py
"""

from __future__ import annotations

import os
import random
import sys
from dataclasses import dataclass, field

import pytest

from tests.support.simulation.lives import COMPLETE, Ended
from tests.support.simulation.spark import Chances
from tests.support.simulation.store import Event, Fault
from tests.support.simulation.world import Rule, World, Wrong, simulated

FIRST_SEED = 1000
EPISODES = 24
LIVES = 24
RUNS = ("amber", "birch", "cedar", "dogwood", "elder", "fir", "gorse", "hazel", "iris")
AT_A_TIME = 3
# A clean run makes some 210 calls, one that is taken up fewer; faults beyond the last one do not happen.
CALLS = (40, 120, 220)
SEED_VARIABLE = "SPARKSCORE_SEED"


@dataclass
class Walk:
    """What an episode has done, and what was wrong in it."""

    world: World
    rng: random.Random
    steps: int = 0
    story: list[str] = field(default_factory=list)
    wrongs: list[Wrong] = field(default_factory=list)
    published: set[tuple[str, str]] = field(default_factory=set)

    def go(self) -> None:
        for _ in range(LIVES):
            self.world.spark.chances = Chances(lost=0.1, cut=0.1, failed=0.02)
            choice = self.rng.random()
            if choice < 0.12:
                self.tell("clean", self.world.clean(self.events()))
            elif choice < 0.25:
                self.world.wait()
            else:
                run_id = self.choose()
                self.tell(run_id, self.world.live(run_id, self.events(with_rivals=True)))
        self.world.spark.chances = Chances()
        self.end()

    def choose(self) -> str:
        """Take one of the runs that are not complete, now and then one that is."""
        done = [run_id for run_id, record in self.world.records() if record["state"] == "COMPLETE"]
        begun = [run_id for run_id in RUNS if run_id not in done][:AT_A_TIME]
        return self.rng.choice(done if done and (self.rng.random() < 0.05 or not begun) else begun)

    def events(self, *, with_rivals: bool = False) -> dict[int, Event]:
        found: dict[int, Event] = {}
        for _ in range(self.rng.choice((0, 1, 1, 2, 3))):
            is_rival = with_rivals and self.rng.random() < 0.15
            found[self.rng.randrange(self.rng.choice(CALLS))] = self.rival if is_rival else self.rng.choice(list(Fault))
        return found

    def rival(self) -> None:
        run_id = self.choose()
        self.tell(f"rival {run_id}", self.world.live(run_id, self.events()))

    def tell(self, who: str, ended: Ended) -> None:
        self.steps += len(ended.process.calls)
        hits = ", ".join(
            f"{'rival' if callable(event) else event} at {n} {call}" for n, call, event in ended.process.hit
        )
        self.story.append(f"{who}: {ended.how} {ended.code} [{hits}]")
        self.wrongs += self.world.wrongs(who.rpartition(" ")[2], ended)
        now = {
            (place.name, run)
            for place in (self.world.output, self.world.quarantine)
            for run in self.world.visible(place)
        }
        if gone := self.published - now:
            self.wrongs.append(Wrong(Rule.ONCE, f"rows were published and are gone: {gone}, after {self.story[-1]}"))
        self.published |= now

    def end(self) -> None:
        """Drive all runs to their end over a healthy store, let `clean` take what is left, and check the ledger."""
        for run_id in RUNS:
            ends: list[Ended] = []
            while len(ends) < 2 and (not ends or ends[-1].how != COMPLETE):
                self.world.wait()
                ends.append(self.world.live(run_id))
                self.tell(f"last {run_id}", ends[-1])
            if ends[-1].how != COMPLETE:
                self.wrongs.append(Wrong(Rule.ENDS, f"{run_id}: {ends[-1]}"))
        self.world.wait()
        self.tell("clean", self.world.clean())
        if (self.world.output / "_sparkscore").exists():
            left = [entry.name for entry in (self.world.output / "_sparkscore").iterdir()]
            self.wrongs.append(Wrong(Rule.STAGE, f"left behind: {left}"))
        for run_id, record in self.world.records():
            if record["state"] == "COMPLETE":
                self.wrongs += [wrong for wrong in self.world.check(record, run_id) if wrong.rule != Rule.STAGE]


def seeds() -> list[int]:
    given = os.environ.get(SEED_VARIABLE)
    return [int(given)] if given else list(range(FIRST_SEED, FIRST_SEED + EPISODES))


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Walk]:
    found = {}
    for seed in seeds():
        with simulated(tmp_path_factory.mktemp(f"walk-{seed}"), seed) as world:
            found[seed] = Walk(world, world.rng)
            found[seed].go()
    steps, lives = sum(walk.steps for walk in found.values()), sum(len(walk.story) for walk in found.values())
    sys.stdout.write(f"seeds {min(found)} to {max(found)}: {lives} lives, {steps} steps\n")
    return found


@pytest.mark.parametrize("rule", [rule for rule in Rule if rule != Rule.WORK])
def test_whatever_happens(walks: dict[int, Walk], rule: Rule) -> None:
    broken = []
    for seed, walk in walks.items():
        if texts := dict.fromkeys(wrong.text[:200] for wrong in walk.wrongs if wrong.rule == rule):
            told = (
                walk.story
                if len(walks) == 1
                else [f"replay: {SEED_VARIABLE}={seed} pytest tests/simulation/test_random_walk.py"]
            )
            broken.append("\n  ".join([f"seed {seed}", *texts, *told]))

    assert not broken, f"{rule}:\n" + "\n".join(broken)


def test_the_walk_is_long(walks: dict[int, Walk]) -> None:
    if len(walks) > 1:
        assert sum(walk.steps for walk in walks.values()) > 20_000
        hit = {event for walk in walks.values() for line in walk.story for event in Fault if f"{event} at" in line}
        assert hit == set(Fault)
