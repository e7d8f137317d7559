"""The commit of staged files to a Delta table: every call goes wrong once, and others change the table at each call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.support.simulation.delta import (
    RUN,
    DeltaWorld,
    LeftToSparkError,
    Place,
    Rule,
    Wrong,
    simulated_table,
)
from tests.support.simulation.lives import COMPLETE, DEAD, Ended
from tests.support.simulation.store import Call, Fault, faults_of

SEED = 3
CRASHES = {Fault.BEFORE, Fault.AFTER, Fault.TORN}
#: What another writer changes, and how a run may end then. A run whose columns differ, or whose rows Spark must write,
#: says so, and has published nothing.
CHANGES = {
    "rows": {COMPLETE},
    "property": {COMPLETE, "PUBLISH_FAILED"},
    "feature": {COMPLETE, "PUBLISH_FAILED"},
    "columns": {COMPLETE, "OUTPUT_SCHEMA_DIFFERS"},
}


@dataclass(frozen=True)
class Point:
    """One call at which something happened, and what was wrong after that."""

    number: int
    call: Call
    wrongs: tuple[Wrong, ...]


Points = Callable[[Fault], list[Point]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeltaWorld]:
    with simulated_table(tmp_path_factory.mktemp("delta"), SEED) as world:
        yield world


def calls_of_a_clean_run(world: DeltaWorld, place: Place) -> list[Call]:
    world.begin(place)
    ended = world.live()
    assert ended.how == COMPLETE, ended
    assert list(world.wrongs(ended)) == []
    return ended.process.calls


def calls_of_publishing(world: DeltaWorld, place: Place) -> list[tuple[int, Call]]:
    """Return the numbered calls of publishing in a clean run, and some of those that remove the stage after that."""
    calls = list(enumerate(calls_of_a_clean_run(world, place)))
    committed = next(number for number, call in calls if call.op == "commit")
    first = next(number for number, call in calls if "linked-" in call.path or "first-commit-" in call.path)
    assert first < committed
    return calls[first : committed + 4]


@pytest.fixture(scope="module")
def points(world: DeltaWorld) -> Points:
    @cache
    def points_of(fault: Fault) -> list[Point]:
        return [
            Point(number, call, tuple(break_at(world, place, number, fault)))
            for place in Place
            for number, call in calls_of_publishing(world, place)
            if fault in faults_of(call.op)
        ]

    return points_of


def break_at(world: DeltaWorld, place: Place, number: int, fault: Fault) -> Iterator[Wrong]:
    world.begin(place)
    first = world.live(events={number: fault})
    assert [(hit, event) for hit, _, event in first.process.hit] == [(number, fault)], "the clean run's calls differ"
    yield from (
        wrong for wrong in world.wrongs(first) if fault in CRASHES or wrong.rule not in {Rule.LINKS, Rule.STAGE}
    )
    if number % 2:
        # Not taken up: what it has linked and staged is removed.
        world.wait()
        cleaned = world.clean()
        if cleaned.how != COMPLETE:
            yield Wrong(Rule.ENDS, f"clean: {cleaned}")
        yield from world.wrongs(cleaned_of(first, cleaned))
        yield from world.left_behind()
        return
    ended, wrongs = world.finish()
    yield from wrongs
    if ended.how != COMPLETE:
        yield Wrong(Rule.ENDS, f"not complete after two attempts: {ended}")


def cleaned_of(first: Ended, cleaned: Ended) -> Ended:
    """Return how the first driver ended, or a dead one if it completed, as its claims were checked before."""
    return Ended(DEAD, cleaned.process) if first.how == COMPLETE else first


def broken(found: list[Point], rule: Rule) -> str:
    lines = [
        f"{point.number} {point.call}: {wrong.text[:200]}"
        for point in found
        for wrong in point.wrongs
        if wrong.rule == rule
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("fault", Fault)
def test_a_call_of_a_commit_goes_wrong_once(points: Points, fault: Fault, rule: Rule) -> None:
    assert not broken(points(fault), rule)


@pytest.mark.parametrize("place", Place)
def test_the_calls_of_a_commit_are_all_there(world: DeltaWorld, place: Place) -> None:
    calls = calls_of_a_clean_run(world, place)

    assert [call.op for call in calls] == [call.op for call in calls_of_a_clean_run(world, place)]
    ops = [call.op for call in calls]
    assert {op: ops.count(op) for op in ("commit", "link", "utime", "checkpoint")} == {
        "commit": 1,
        "link": 3,  # one is the lock's
        "utime": 2,
        "checkpoint": place is Place.PARTITIONED,
    }


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("place", Place)
def test_another_writer_changes_the_table_at_any_call(world: DeltaWorld, place: Place, change: str) -> None:
    found, ends = [], set()
    for number, call in calls_of_publishing(world, place):
        world.begin(place)
        ended = world.live(events={number: lambda: world.change(change)})
        wrongs = list(world.wrongs(ended))
        ends.add(ended.code or ended.how)
        if ended.how != COMPLETE:
            # Nothing of the run is left in the table's folder where it has not committed.
            wrongs += [wrong for wrong in world.left_behind() if wrong.rule == Rule.LINKS]
        if (ended.code or ended.how) not in CHANGES[change]:
            wrongs.append(Wrong(Rule.ENDS, str(ended)))
        found.append(Point(number, call, tuple(wrongs)))

    assert not "\n".join(filter(None, (broken(found, rule) for rule in Rule)))
    assert ends == CHANGES[change], "the change came too early or too late"


@pytest.mark.parametrize("place", Place)
def test_a_second_driver_of_the_run_takes_over_at_any_call(world: DeltaWorld, place: Place) -> None:
    found = []
    for number, call in calls_of_publishing(world, place):
        world.begin(place)
        seconds: list[Ended] = []

        def come(seconds: list[Ended] = seconds) -> None:
            world.alive.clear()
            world.wait()
            seconds.append(world.live())

        first = world.live(events={number: come})
        wrongs = [
            wrong
            for wrong in world.wrongs(first)
            # What the first one says is true of its own rows; those of the other it cannot know.
            if wrong.rule != Rule.CLAIMS
        ]
        if COMPLETE not in {first.how, seconds[0].how}:
            wrongs.append(Wrong(Rule.ENDS, f"neither is complete: {first}, {seconds[0]}"))
        wrongs += world.finish()[1]
        found.append(Point(number, call, tuple(wrongs)))

    assert not "\n".join(filter(None, (broken(found, rule) for rule in Rule)))


@pytest.mark.parametrize("place", Place)
def test_another_run_commits_its_own_files_at_any_call(world: DeltaWorld, place: Place) -> None:
    found = []
    for number, call in calls_of_publishing(world, place):
        world.begin(place)
        others: list[Ended] = []
        first = world.live(RUN, {number: lambda others=others: others.append(world.live("day"))})  # type: ignore[misc]
        if others[0].code == "OUTPUT_NOT_A_TABLE" and place is Place.NEW:
            # As while Spark makes a table: there are files already, and no table yet. Nothing of it was scored.
            others = [world.live("day")]
        wrongs = [*world.wrongs(first), *world.wrongs(others[0], "day"), *world.left_behind("day")]
        if {first.how, others[0].how} != {COMPLETE}:
            wrongs.append(Wrong(Rule.ENDS, f"{first}, the other: {others[0]}"))
        found.append(Point(number, call, tuple(wrongs)))

    assert not "\n".join(filter(None, (broken(found, rule) for rule in Rule)))


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.FAILED, Fault.STALE])
@pytest.mark.parametrize("place", Place)
def test_links_of_a_dead_driver_are_removed_also_if_that_goes_wrong_once(
    world: DeltaWorld, place: Place, fault: Fault
) -> None:
    def die() -> None:
        world.begin(place)
        (commit,) = (number for number, call in calls if call.op == "commit")
        assert world.live(events={commit: Fault.BEFORE}).how == DEAD
        world.wait()

    calls = calls_of_publishing(world, place)
    die()
    found = []
    for number, call in enumerate(world.clean().process.calls):
        # An empty folder that could not be removed is left.
        if fault in faults_of(call.op) and (fault, call.op) != (Fault.FAILED, "rmdir"):
            die()
            world.clean({number: fault})
            world.wait()
            ended = world.clean()
            wrongs = [*world.wrongs(Ended(DEAD, ended.process)), *world.left_behind()]
            if ended.how != COMPLETE:
                wrongs.append(Wrong(Rule.ENDS, str(ended)))
            found.append(Point(number, call, tuple(wrongs)))

    assert len(found) > 3
    assert not "\n".join(filter(None, (broken(found, rule) for rule in Rule)))


def test_what_is_left_to_spark_is_said(world: DeltaWorld) -> None:
    world.begin(Place.PARTITIONED)
    world.change("feature")

    ended = world.live()

    assert isinstance(ended.error, LeftToSparkError)
    assert list(world.wrongs(ended)) == []
