"""Decide whether more items or mini-batches have failed than a run tolerates (driver and worker)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How many items and mini-batches may fail before the run fails.

    An allowed number of -1 or a percentage of None means that there is no limit. The allowed numbers are checked during
    the run, so that tasks can stop early. The percentage is checked only at the end of the run.

    Attributes:
        items: allowed number of failed items in the whole input (``settings.error_threshold``).
        mini_batches: allowed number of mini-batches with failed items (``settings.mini_batch_error_threshold``).
        percent: allowed percentage of mini-batches with failed items (``settings.allowed_failed_percent``).
        counts_files: whether `items` is a number of files instead of rows, because each mini-batch is a whole file of
            rows.
    """

    items: int = 0
    mini_batches: int = -1
    percent: float | None = None
    counts_files: bool = False

    @property
    def is_none(self) -> bool:
        """Whether no failed item is tolerated, because `items` is 0."""
        return self.items == 0

    def is_passed(self, items: int, mini_batches: int) -> bool:
        """Return whether the tolerance is exceeded: more items or mini-batches failed than are allowed.

        The allowed percentage is not checked.

        Args:
            items: number of failed items.
            mini_batches: number of mini-batches with failed items.
        """
        return bool(self._passed_number(items, mini_batches))

    def passed(self, items: int, mini_batches: int, of_mini_batches: int) -> str:
        """Return a message that says which limit the failures exceed, or an empty string if they exceed none.

        The limits are the allowed numbers and the allowed percentage.

        Args:
            items: number of failed items.
            mini_batches: number of mini-batches with failed items.
            of_mini_batches: number of all mini-batches, with and without failed items; not 0.
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
        """Return a message that says which allowed number is exceeded, or an empty string if none is exceeded."""
        counted, what = (mini_batches, "files") if self.counts_files else (items, "items")
        if 0 <= self.items < counted:
            return f"{counted} failed {what}, 'settings.error_threshold' allows {self.items}"
        if 0 <= self.mini_batches < mini_batches:
            return (
                f"{mini_batches} mini-batches with failed items, "
                f"'settings.mini_batch_error_threshold' allows {self.mini_batches}"
            )
        return ""
