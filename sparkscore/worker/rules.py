"""How a task handles failures: how often it tries a mini-batch, and how many failures it tolerates (worker)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparkscore.tolerance import Tolerance


@dataclass(frozen=True)
class FailureRules:
    """How a task handles items that fail.

    Attributes:
        tries: how often a task calls the scorer with a whole mini-batch before it halves it.
        tolerance: how many items or mini-batches of the run may fail. A task stops if it alone has more failures.
    """

    tries: int = 1
    tolerance: Tolerance = field(default_factory=Tolerance)
