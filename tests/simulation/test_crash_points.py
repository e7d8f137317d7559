"""Every call of the store goes wrong once, in every way: what the next attempt finds, and what it makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from sparkscore.errors import SinkError
from tests.support.simulation.lives import COMPLETE, DEAD
from tests.support.simulation.store import LISTINGS, SCORE, Call, Fault, faults_of
from tests.support.simulation.world import RUN, UNITS, Rule, World, Wrong, simulated

SEED = 1
CRASHES = {Fault.BEFORE, Fault.AFTER, Fault.TORN}
# The script gets both files of a unit, which fail together, and then each.
CALLS_OF_A_UNIT = 4


@dataclass(frozen=True)
class Point:
    """One call that went wrong, and what was wrong after that."""

    number: int
    call: Call
    wrongs: tuple[Wrong, ...]

    def __str__(self) -> str:
        return f"{self.number} {self.call}: " + "; ".join(wrong.text[:200] for wrong in self.wrongs)


Points = Callable[[Fault], list[Point]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with simulated(tmp_path_factory.mktemp("crash"), SEED) as world:
        yield world


@pytest.fixture(scope="module")
def points(world: World) -> Points:
    @cache
    def points_of(fault: Fault) -> list[Point]:
        calls = calls_of_a_clean_run(world)
        return [
            Point(number, call, tuple(break_at(world, number, fault, calls)))
            for number, call in enumerate(calls)
            if fault in faults_of(call.op)
        ]

    return points_of


def calls_of_a_clean_run(world: World) -> list[Call]:
    world.wipe()
    ended = world.live()
    assert ended.how == COMPLETE
    assert [*world.wrongs(RUN, ended), *world.check(ended.record)] == []
    return ended.process.calls


def end_of_scoring(calls: list[Call]) -> int:
    """Give the first call of the driver's after the last one of the workers'."""
    last = max(number for number, call in enumerate(calls) if call.op == SCORE)
    return next(number for number, call in enumerate(calls) if number > last and call.path.startswith("runs/"))


def break_at(world: World, number: int, fault: Fault, calls: list[Call]) -> Iterator[Wrong]:
    world.wipe()
    first = world.live(events={number: fault})
    assert [(hit, event) for hit, _, event in first.process.hit] == [(number, fault)], "the clean run's calls differ"
    yield from world.wrongs(RUN, first)
    if first.how == COMPLETE:
        yield from (wrong for wrong in world.check(first.record) if wrong.rule != Rule.STAGE)
    _, wrongs = world.finish()
    if fault not in CRASHES and any(wrong.rule == Rule.STAGE for wrong in wrongs):
        # What the store would not remove, or not show, stays; it can be removed when the store is well again.
        world.clean()
        wrongs = [wrong for wrong in wrongs if wrong.rule != Rule.STAGE]
        if (world.output / "_sparkscore").exists():
            yield Wrong(Rule.STAGE, "left behind, also by 'clean'")
    yield from wrongs
    # What a run has done is kept after a crash and after a failure to publish.
    if fault in CRASHES or isinstance(first.error, SinkError):
        allowed = UNITS * CALLS_OF_A_UNIT
        if number <= end_of_scoring(calls):
            allowed += CALLS_OF_A_UNIT  # the unit in flight
        if len(world.calls) > allowed:
            yield Wrong(Rule.WORK, f"{len(world.calls)} files went to the script instead of {allowed}")


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("fault", Fault)
def test_a_call_goes_wrong_once(points: Points, fault: Fault, rule: Rule) -> None:
    broken = [
        Point(point.number, point.call, wrongs)
        for point in points(fault)
        if (wrongs := tuple(wrong for wrong in point.wrongs if wrong.rule == rule))
    ]

    assert not broken, f"{fault}, {rule}:\n" + "\n".join(map(str, broken))


def test_the_points_are_all_there(world: World, points: Points) -> None:
    calls = calls_of_a_clean_run(world)

    assert [call.op for call in calls] == [call.op for call in calls_of_a_clean_run(world)], (
        "two clean runs make the same calls"
    )
    assert [call.op for call in calls].count(SCORE) == 3 * UNITS
    assert {call.op for call in calls} >= {"open", "close", "fsync", "rename", "replace", "unlink", "rmdir", "mkdir"}
    assert {call.op for call in calls} & LISTINGS
    assert len(points(Fault.BEFORE)) == len(calls)


def test_items_that_fail_now_and_then_are_once_in_the_result_after_a_crash_while_publishing(world: World) -> None:
    # In the second life others fail, as many as in the first.
    calls = calls_of_a_clean_run(world)
    broken = []
    for number in range(end_of_scoring(calls), len(calls)):
        world.wipe()
        try:
            dead = world.live(events={number: Fault.BEFORE})
            world.fails = "good"
            world.wait()
            ended = world.live()
            wrongs = [wrong for wrong in world.check(ended.record) if wrong.rule in {Rule.ONCE, Rule.RECORD}]
        finally:
            world.fails = "poison"
        assert dead.how == DEAD
        if ended.how != COMPLETE or wrongs:
            broken.append(f"{number} {calls[number]}: {ended} {wrongs}")

    assert not broken, "\n".join(broken)


def test_a_crash_while_a_run_replaces_the_rows_of_another_loses_neither(world: World, tmp_path: Path) -> None:
    world.wipe()
    world.fails = "nothing"
    assert world.live("old").how == COMPLETE
    world.fails = "poison"
    for place in (world.output, world.runs):
        shutil.copytree(place, tmp_path / place.name)
    calls = world.live(mode="overwrite").process.calls
    good, broken = [key for key in world.keys if "good" in key], []
    for number in range(end_of_scoring(calls), len(calls)):
        world.wipe()
        for place in (world.output, world.runs):
            shutil.copytree(tmp_path / place.name, place)
        world.live(events={number: Fault.BEFORE}, mode="overwrite")
        is_published = RUN in world.visible(world.output)
        if number % 2 and not is_published:
            world.clean()
            expected = {"old": world.keys}
        else:
            world.wait()
            world.live(mode="overwrite")
            expected = {RUN: good}
        if (found := world.visible(world.output)) != expected:
            broken.append(f"{number} {calls[number]}: {found}")

    assert not broken, "\n".join(broken)
