"""Plan from a seed which processes are killed, and when."""

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
    """The numbers of kills of a whole storm, which has four campaigns."""

    mini_batches: int
    drivers: int
    executors: int
    workers: int


SHORT: Final = Size(mini_batches=2_000, drivers=16, executors=12, workers=44)
LONG: Final = Size(mini_batches=10_000, drivers=208, executors=108, workers=1_060)


@dataclass(frozen=True)
class Kill:
    """A planned kill.

    Attributes:
        victim: which process is killed.
        moment: when it is killed; only drivers are killed at other moments than `scoring`.
        share: the share of mini-batches that must be done before, if the moment is `scoring`.
        delay: seconds between the moment and the kill.
    """

    victim: Victim
    moment: Moment = "scoring"
    share: float = 0.0
    delay: float = 0.0


def plan_kills(random: Random, size: Size, campaigns: int, *, has_children: bool) -> list[Kill]:
    """Return the kills of one campaign, in the order in which they happen.

    Args:
        random: the source of random numbers, made from the seed.
        size: the numbers of kills of the whole storm.
        campaigns: how many campaigns share these kills.
        has_children: whether child processes of the Python workers score, and are killed as well.
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
    """Return an index at which a driver starts: the first, or one after another driver was killed."""
    return random.choice([0, *(number for number, kill in enumerate(kills, 1) if kill.victim == "driver")])


def _publishing_kills(random: Random, count: int) -> Iterator[Kill]:
    """Plan kills during publishing, each at a later step: a published part is not published again."""
    moments = sorted((random.choice(_PUBLISHING) for _ in range(count)), key=_PUBLISHING.index)
    for moment in moments:
        # Most of them soon: the decisive step takes a few milliseconds only.
        yield Kill("driver", moment, delay=_LONGEST_PUBLISH_S * random.random() ** 3)
