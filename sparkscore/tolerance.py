"""Decide whether more items or mini-batches have failed than the run tolerates. Runs on the driver and the workers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How many items and mini-batches may fail before the run fails.

    The allowed numbers are checked during the run, so that tasks can stop early. The allowed percentage is checked only
    at the end.

    Attributes:
        items: allowed number of failed items (``settings.error_threshold``), or -1 for no limit.
        mini_batches: allowed number of mini-batches with failed items (``settings.mini_batch_error_threshold``), or -1
            for no limit.
        percent: allowed percentage of mini-batches with failed items (``settings.allowed_failed_percent``), or None for
            no limit.
        counts_files: whether `items` limits the number of failed files instead of failed rows. True if each mini-batch
            is a whole file.
    """

    items: int = 0
    mini_batches: int = -1
    percent: float | None = None
    counts_files: bool = False

    @property
    def is_none(self) -> bool:
        """Whether no failed items are tolerated, that is, `items` is 0."""
        return self.items == 0

    def is_passed(self, items: int, mini_batches: int) -> bool:
        """Return whether the number of failed items, or of mini-batches with failed items, exceeds its limit.

        The allowed percentage is not checked.

        Args:
            items: number of failed items.
            mini_batches: number of mini-batches with failed items.
        """
        return bool(self._passed_number(items, mini_batches))

    def passed(self, items: int, mini_batches: int, of_mini_batches: int) -> str:
        """Return a message about the limit that is exceeded, or an empty string if no limit is exceeded.

        Unlike `is_passed`, this method also checks the allowed percentage.

        Args:
            items: number of failed items.
            mini_batches: number of mini-batches with failed items.
            of_mini_batches: total number of mini-batches; must not be 0.
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
        """Return a message if the number of failed items or mini-batches exceeds its limit, or an empty string."""
        counted, what = (mini_batches, "files") if self.counts_files else (items, "items")
        if 0 <= self.items < counted:
            return f"{counted} failed {what}, 'settings.error_threshold' allows {self.items}"
        if 0 <= self.mini_batches < mini_batches:
            return (
                f"{mini_batches} mini-batches with failed items, "
                f"'settings.mini_batch_error_threshold' allows {self.mini_batches}"
            )
        return ""
