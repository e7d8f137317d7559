"""What a scorer raises if a whole mini-batch failed, and returns if some of its items failed (worker)."""

from __future__ import annotations

from dataclasses import dataclass

from sparkscore.outcome import Failure, ItemFailure


class ScorerFailedError(Exception):
    """The user's code or model raised an exception, which is described by the attribute ``failure``."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class PartlyScored:
    """The return value of a scorer that could not score some of the items.

    Attributes:
        returned: the scores of the other items, in their order.
        failures: the items that could not be scored.
    """

    returned: object
    failures: tuple[ItemFailure, ...]
