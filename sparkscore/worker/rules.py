"""Define how a task handles failures: how many calls it makes, and how many failures it tolerates (worker)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparkscore.tolerance import Tolerance


@dataclass(frozen=True)
class FailureRules:
    """How a task handles items that fail.

    Attributes:
        tries: maximum number of calls with a whole mini-batch before the mini-batch is halved or fails.
        tolerance: how many items and how many mini-batches of the whole run may fail. A task stops if its own failures
            already exceed one of these numbers.
    """

    tries: int = 1
    tolerance: Tolerance = field(default_factory=Tolerance)
