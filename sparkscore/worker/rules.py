"""Define how a task handles failures: how many calls it makes, and how many failures it tolerates.

Runs on the workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sparkscore.tolerance import Tolerance


@dataclass(frozen=True)
class FailureRules:
    """How a task handles failed items.

    Attributes:
        tries: maximum number of calls with a whole mini-batch before it is halved or fails.
        tolerance: how many items and mini-batches may fail in the whole run. A task stops once its own failures exceed
            either limit.
    """

    tries: int = 1
    tolerance: Tolerance = field(default_factory=Tolerance)
