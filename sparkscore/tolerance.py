"""How much of a run may fail: one rule for tasks, for the run while it scores, and for its verdict (driver, worker)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How much of a run may fail before the run does; -1 or None allows anything.

    A task stops when its own failures are too many, and the driver stops all tasks when those of all together are: a
    run that has passed a number cannot succeed any more. A share is known at the end only, so only the verdict asks
    for it.

    Attributes:
        items: failed items of the whole input (``settings.error_threshold``).
        mini_batches: mini-batches with failed items (``settings.mini_batch_error_threshold``).
        percent: share of such mini-batches, in percent of all (``settings.allowed_failed_percent``).
        counts_files: whether an item is the file that a mini-batch holds.
    """

    items: int = 0
    mini_batches: int = -1
    percent: float | None = None
    counts_files: bool = False

    @property
    def is_none(self) -> bool:
        """Whether no failed item is allowed."""
        return self.items == 0

    def is_passed(self, items: int, mini_batches: int) -> bool:
        """Return whether so many failed items and mini-batches are too many, however many there are in all."""
        return bool(self._passed_number(items, mini_batches))

    def passed(self, items: int, mini_batches: int, of_mini_batches: int) -> str:
        """Return in words what was passed when all mini-batches are done; nothing if all is within bounds."""
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
        counted, what = (mini_batches, "files") if self.counts_files else (items, "items")
        if 0 <= self.items < counted:
            return f"{counted} failed {what}, 'settings.error_threshold' allows {self.items}"
        if 0 <= self.mini_batches < mini_batches:
            return (
                f"{mini_batches} mini-batches with failed items, "
                f"'settings.mini_batch_error_threshold' allows {self.mini_batches}"
            )
        return ""
