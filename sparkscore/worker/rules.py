"""What a run tolerates of failures, as its tasks are told (worker)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FailureRules:
    """What happens to what fails; -1 tolerates any number.

    Attributes:
        tries: how often a mini-batch is tried as a whole.
        error_threshold: failed items that the run tolerates.
        mini_batch_error_threshold: mini-batches with failed items that the run tolerates.
        counts_files: whether an item, for the threshold, is the file that a mini-batch holds.
    """

    tries: int = 1
    error_threshold: int = 0
    mini_batch_error_threshold: int = -1
    counts_files: bool = False

    def are_broken_by(self, items: int, mini_batches: int) -> bool:
        """Tell whether so many failures end the run; those of one task are reason enough."""
        items = mini_batches if self.counts_files else items
        return _is_passed(self.error_threshold, items) or _is_passed(self.mini_batch_error_threshold, mini_batches)


def _is_passed(threshold: int, failed: int) -> bool:
    return 0 <= threshold < failed
