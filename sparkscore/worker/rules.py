"""Define how a task handles failures: how often it calls the scorer, and how many failures it tolerates (worker)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparkscore.tolerance import Tolerance


@dataclass(frozen=True)
class FailureRules:
    """How a task handles items that fail.

    Attributes:
        tries: maximum number of calls with a whole mini-batch before the mini-batch is halved.
        tolerance: how many items or mini-batches of the whole run may fail. A task stops if its own failures already
            exceed this number.
    """

    tries: int = 1
    tolerance: Tolerance = field(default_factory=Tolerance)
