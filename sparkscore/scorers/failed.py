"""The exception for a script or model that fails, and the return value for a partly scored mini-batch (worker)."""

from __future__ import annotations

from dataclasses import dataclass

from sparkscore.outcome import Failure, ItemFailure


class ScorerFailedError(Exception):
    """The user's code or model failed, usually with an exception. The attribute ``failure`` describes the failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class PartlyScored:
    """The return value of a scorer that could not score some or all of the items of a mini-batch.

    Attributes:
        returned: the scores of the items that could be scored, in the order of the items. An empty list if there are
            none.
        failures: a failure for each item that could not be scored.
    """

    returned: object
    failures: tuple[ItemFailure, ...]
