from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tests.storm.plan import LONG, SHORT, Kill, Size, plan_kills

CAMPAIGNS = 4


def plan(seed: int, size: Size = SHORT, *, has_children: bool = True) -> list[Kill]:
    return plan_kills(Random(seed), size, CAMPAIGNS, has_children=has_children)  # noqa: S311 - repeatable on purpose


def test_a_seed_decides_everything() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


@pytest.mark.parametrize(
    ("size", "drivers", "executors", "workers"), [(SHORT, 15, 10, 40), (LONG, 200, 100, 1_000)], ids=["short", "long"]
)
@pytest.mark.parametrize("seed", range(5))
def test_as_many_kills_are_planned_as_a_storm_promises(
    size: Size, drivers: int, executors: int, workers: int, seed: int
) -> None:
    victims = Counter(kill.victim for kill in plan(seed, size))

    assert victims["driver"] * CAMPAIGNS >= drivers
    assert victims["executor"] * CAMPAIGNS >= executors
    assert (victims["worker"] + victims["child"]) * CAMPAIGNS >= workers


def test_children_are_killed_only_where_there_are_some() -> None:
    assert "child" in {kill.victim for kill in plan(1)}
    assert "child" not in {kill.victim for kill in plan(1, has_children=False)}


@pytest.mark.parametrize("seed", range(20))
def test_kills_come_in_the_order_in_which_a_run_gets_there(seed: int) -> None:
    kills = plan(seed, LONG)
    moments = [kill.moment for kill in kills]
    shares = [kill.share for kill in kills if kill.moment == "scoring"]
    order = ["manifest", "quarantine", "predictions"]
    publishing = [moment for moment in moments if moment in order]

    assert shares == sorted(shares)
    assert publishing == sorted(publishing, key=order.index)
    assert publishing == moments[-len(publishing) :]
    assert {kill.victim for kill in kills if kill.moment != "scoring"} == {"driver"}


@pytest.mark.parametrize("seed", range(20))
def test_only_a_driver_that_has_just_begun_dies_at_its_start(seed: int) -> None:
    kills = plan(seed, LONG)

    for before, kill in zip([None, *kills], kills, strict=False):
        assert kill.moment != "start" or before is None or before.victim == "driver"
