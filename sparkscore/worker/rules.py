"""What a task does about failures (worker)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparkscore.tolerance import Tolerance


@dataclass(frozen=True)
class FailureRules:
    """What happens to what fails.

    Attributes:
        tries: how often a mini-batch is tried as a whole.
        tolerance: how much of the run may fail; the failures of one task can be too many.
    """

    tries: int = 1
    tolerance: Tolerance = field(default_factory=Tolerance)
