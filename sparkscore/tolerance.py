"""How many failures a run tolerates: one rule for tasks, for a running run and for its verdict (driver and worker)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How many items and mini-batches may fail before the run fails; -1 or None allows any number.

    A task stops when its own failures exceed a number, and the driver stops all tasks when the failures of all tasks
    do: the run cannot succeed any more. The percentage is checked at the end only, when all mini-batches are counted.

    Attributes:
        items: allowed number of failed items in the whole input (``settings.error_threshold``).
        mini_batches: allowed number of mini-batches with failed items (``settings.mini_batch_error_threshold``).
        percent: allowed percentage of mini-batches with failed items (``settings.allowed_failed_percent``).
        counts_files: whether ``items`` counts files, because each mini-batch is one whole file of rows.
    """

    items: int = 0
    mini_batches: int = -1
    percent: float | None = None
    counts_files: bool = False

    @property
    def is_none(self) -> bool:
        """Whether no item may fail."""
        return self.items == 0

    def is_passed(self, items: int, mini_batches: int) -> bool:
        """Whether this many failed items, or mini-batches with failed items, are too many."""
        return bool(self._passed_number(items, mini_batches))

    def passed(self, items: int, mini_batches: int, of_mini_batches: int) -> str:
        """Return which threshold a finished run has exceeded, or an empty text if it has exceeded none.

        Args:
            items: number of failed items.
            mini_batches: number of mini-batches with failed items.
            of_mini_batches: number of all mini-batches.
        """
        percent = 100 * mini_batches / of_mini_batches
        if number := self._passed_number(items, mini_batches):
            return number
        if self.percent is not None and percent > self.percent:
            return (
                f"{percent:.3g} % of {of_mini_batches} mini-batches had failed items, "
                f"'settings.allowed_failed_percent' allows {self.percent:g} %"
            )
        return ""

    def _passed_number(self, items: int, mini_batches: int) -> str:
        """Return which allowed number is exceeded, that of items or of mini-batches, or an empty text if neither is."""
        counted, what = (mini_batches, "files") if self.counts_files else (items, "items")
        if 0 <= self.items < counted:
            return f"{counted} failed {what}, 'settings.error_threshold' allows {self.items}"
        if 0 <= self.mini_batches < mini_batches:
            return (
                f"{mini_batches} mini-batches with failed items, "
                f"'settings.mini_batch_error_threshold' allows {self.mini_batches}"
            )
        return ""
