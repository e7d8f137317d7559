"""How a scorer says that items failed: all of a mini-batch, or some (worker)."""

from __future__ import annotations

from dataclasses import dataclass

from sparkscore.outcome import Failure, ItemFailure


class ScorerFailedError(Exception):
    """The user's code or model raised; carries the failure as plain data."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class PartlyScored:
    """What a scorer returns when it could not score some of the items.

    Attributes:
        returned: the scores of the others, in their order.
        failures: the items that have none.
    """

    returned: object
    failures: tuple[ItemFailure, ...]
