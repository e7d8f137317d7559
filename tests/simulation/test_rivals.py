"""Two drivers with one run id, at every call of the store: a living one, one that is taken for dead, and a dead one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest

from tests.support.simulation.lives import COMPLETE, DEAD, Ended
from tests.support.simulation.store import Fault
from tests.support.simulation.world import RUN, Rule, World, Wrong, simulated

SEED = 2


class First(StrEnum):
    """What has become of the first driver when the second one comes."""

    WORKS = "works"
    SLEEPS = "sleeps so long that it counts as dead, and goes on"
    DIED_HERE = "died on this host"
    DIED_ELSEWHERE = "died on another host"


Rivalry = Callable[[First], list[tuple[str, Wrong]]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with simulated(tmp_path_factory.mktemp("rivals"), SEED) as world:
        yield world


@pytest.fixture(scope="module")
def rivalry(world: World) -> Rivalry:
    @cache
    def rivalry_of(first: First) -> list[tuple[str, Wrong]]:
        world.wipe()
        calls = world.live().process.calls
        meet = meet_the_dead if first in {First.DIED_HERE, First.DIED_ELSEWHERE} else meet_the_living
        return [
            (f"{number} {call}", wrong) for number, call in enumerate(calls) for wrong in meet(world, number, first)
        ]

    return rivalry_of


def meet_the_living(world: World, number: int, state: First) -> Iterator[Wrong]:
    """Let the second driver do what it can while the first one stands still before a call."""
    seconds: list[Ended] = []

    def come() -> None:
        if state == First.SLEEPS:
            world.alive.clear()
            world.wait()
        seconds.append(world.live())

    world.wipe()
    first = world.live(events={number: come})
    (second,) = seconds
    yield from world.wrongs(RUN, second)
    # What one says that was taken for dead is true of its own rows; those of the other it cannot know.
    yield from (wrong for wrong in world.wrongs(RUN, first) if state == First.WORKS or wrong.rule != Rule.CLAIMS)
    expected = {COMPLETE} if state == First.SLEEPS else {COMPLETE, "RUN_ID_RUNNING"}
    if (second.code or second.how) not in expected:
        yield Wrong(Rule.ENDS, f"the second driver: {second}")
    if COMPLETE not in {first.how, second.how}:
        yield Wrong(Rule.ENDS, f"neither is complete: {first}, {second}")
    elif not falls_asleep_at_its_last_moment(first, number) and not any(
        record["state"] == "COMPLETE" for _, record in world.records()
    ):
        yield Wrong(Rule.RECORD, f"the record of a complete run is lost: {next(world.records())[1]['error']}")
    yield from world.finish()[1]


def falls_asleep_at_its_last_moment(first: Ended, number: int) -> bool:
    """A driver that slept between its look at the lock and the rename: the next request makes the record good."""
    call = first.process.calls[number]
    return call.op == "replace" and call.path.endswith("record.json")


def meet_the_dead(world: World, number: int, state: First) -> Iterator[Wrong]:
    world.wipe()
    world.has_hosts = state == First.DIED_ELSEWHERE
    try:
        first = world.live(events={number: Fault.BEFORE})
        assert first.how == DEAD
        second = world.live()
        yield from world.wrongs(RUN, second)
        # A lock that was not written to its end names no process: its age tells, as on another host.
        places = (world.output, world.quarantine)
        locks = [*world.runs.glob("*/lock"), *(lock for place in places for lock in place.glob("*/*.lock"))]
        is_cut = any(not lock.stat().st_size for lock in locks)
        may_wait = state == First.DIED_ELSEWHERE or is_cut
        if second.how != COMPLETE and not (may_wait and second.code in {"RUN_ID_RUNNING", "OUTPUT_BUSY"}):
            yield Wrong(Rule.ENDS, f"the second driver: {second}")
        yield from world.finish()[1]
    finally:
        world.has_hosts = False


@pytest.mark.parametrize("rule", [rule for rule in Rule if rule != Rule.WORK])
@pytest.mark.parametrize("first", First)
def test_a_second_driver_comes_at_every_call(rivalry: Rivalry, first: First, rule: Rule) -> None:
    broken = [f"{point}: {wrong.text[:200]}" for point, wrong in rivalry(first) if wrong.rule == rule]

    assert not broken, f"{first}, {rule}:\n" + "\n".join(broken)


def test_two_runs_append_to_one_output_and_to_one_quarantine(tmp_path: Path) -> None:
    with simulated(tmp_path, SEED) as world:
        ends = [world.live(run_id) for run_id in ("first", "second")]

        assert [str(ended) for ended in ends] == [COMPLETE, COMPLETE]
        for ended in ends:
            assert ended.record is not None
            assert list(world.check(ended.record, ended.record["run_id"])) == []


def test_a_driver_of_another_run_that_comes_at_any_call_is_no_rival(tmp_path: Path) -> None:
    broken = []
    with simulated(tmp_path, SEED) as world:
        world.fails = "nothing"
        calls = world.live().process.calls
        for number, call in enumerate(calls):
            world.wipe()
            world.fails = "nothing"
            inner: list[Ended] = []
            outer = world.live(RUN, {number: lambda inner=inner: inner.append(world.live("day"))})  # type: ignore[misc]
            if inner[0].code == "OUTPUT_BUSY":  # it would have waited, and the other one stands still
                inner.append(world.live("day"))
            found = world.visible(world.output)
            if {outer.how, inner[-1].how} != {COMPLETE} or found != {RUN: world.keys, "day": world.keys}:
                broken.append(f"{number} {call}: {outer}, the other: {inner[-1]}, visible of: {sorted(found)}")

    assert not broken, "\n".join(broken)
