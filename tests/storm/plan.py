"""Decide, by a seed alone, who is killed when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Victim = Literal["driver", "executor", "worker", "child"]
#: When a driver is killed: as it starts, while its tasks score, or at a step of publishing.
Moment = Literal["start", "scoring", "manifest", "quarantine", "predictions"]

_PUBLISHING: Final[tuple[Moment, ...]] = ("manifest", "quarantine", "predictions")
_FIRST, _LAST = 0.03, 0.93
_LONGEST_START_S: Final = 3.0
_LONGEST_PUBLISH_S: Final = 0.3
_MOST_PUBLISHING: Final = 6
_STARTING: Final = 0.25


@dataclass(frozen=True)
class Size:
    """What a storm of four campaigns has in all."""

    mini_batches: int
    drivers: int
    executors: int
    workers: int


SHORT: Final = Size(mini_batches=2_000, drivers=16, executors=12, workers=44)
LONG: Final = Size(mini_batches=10_000, drivers=208, executors=108, workers=1_060)


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        victim: who.
        moment: when; all but drivers are killed while scoring.
        share: of the mini-batches that are done by then, where the moment is `scoring`.
        delay: seconds after the moment.
    """

    victim: Victim
    moment: Moment = "scoring"
    share: float = 0.0
    delay: float = 0.0


def plan_kills(random: Random, size: Size, campaigns: int, *, has_children: bool) -> list[Kill]:
    """Plan one campaign's part of a storm, in the order in which its kills happen.

    Args:
        random: from the seed.
        size: of the storm.
        campaigns: how many campaigns share it.
        has_children: whether children of the Python workers score, so that they are killed as well.
    """
    drivers = size.drivers // campaigns
    publishing = min(drivers // 2, _MOST_PUBLISHING)
    starting = sum(random.random() < _STARTING for _ in range(drivers - publishing))
    of_workers: tuple[Victim, ...] = ("worker", "child") if has_children else ("worker",)
    victims: list[Victim] = ["driver"] * (drivers - publishing - starting)
    victims += ["executor"] * (size.executors // campaigns)
    victims += [random.choice(of_workers) for _ in range(size.workers // campaigns)]
    kills = [Kill(victim, share=random.uniform(_FIRST, _LAST)) for victim in victims]
    kills.sort(key=lambda kill: kill.share)
    for _ in range(starting):
        kills.insert(
            _place_of_a_start(random, kills), Kill("driver", "start", delay=random.random() * _LONGEST_START_S)
        )
    return [*kills, *_publishing_kills(random, publishing)]


def _place_of_a_start(random: Random, kills: list[Kill]) -> int:
    """Choose a place where a driver starts: at first, or after another driver's death."""
    return random.choice([0, *(number for number, kill in enumerate(kills, 1) if kill.victim == "driver")])


def _publishing_kills(random: Random, count: int) -> Iterator[Kill]:
    """Plan kills at ever later steps, because what is published once is not published again."""
    moments = sorted((random.choice(_PUBLISHING) for _ in range(count)), key=_PUBLISHING.index)
    for moment in moments:
        # Most of them soon: the decisive step takes a few milliseconds only.
        yield Kill("driver", moment, delay=_LONGEST_PUBLISH_S * random.random() ** 3)
