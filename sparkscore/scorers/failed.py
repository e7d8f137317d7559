"""Define the exception for a failed script or model, and the return value for a partly scored mini-batch.

Runs on the workers.
"""

from __future__ import annotations

from dataclasses import dataclass

from sparkscore.outcome import Failure, ItemFailure


class ScorerFailedError(Exception):
    """Raised when the user's script or model fails. The ``failure`` attribute describes the failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class PartlyScored:
    """The return value of a scorer that could not score some or all items of a mini-batch.

    Attributes:
        returned: the scores of the items that were scored, in order, or an empty list if there are none.
        failures: one failure for each item that could not be scored.
    """

    returned: object
    failures: tuple[ItemFailure, ...]
