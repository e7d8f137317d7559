"""Try a mini-batch until it is scored, then halve it until the items that fail stand alone (worker).

Source of the tries: Azure's `retry_settings`, which try a whole mini-batch again. Halving is our own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, ItemFailure, Outcome, failed_outcome
from sparkscore.worker.child import BROKEN, ENDED, TIMEOUT
from sparkscore.worker.loaded import LoadedEngine
from sparkscore.worker.report import CallReport, tries_of
from sparkscore.worker.result import ResultSpec

# What ended the process would end it again, at the price of a timeout or of loading the model anew; a single row is
# always in order, which would hide that the code mixes rows.
_NEVER_HALVED: Final = frozenset({TIMEOUT, ENDED, BROKEN, "OUTPUT_ORDER"})


@dataclass(frozen=True)
class FailureRules:
    """What happens to what fails; -1 tolerates any number.

    Attributes:
        tries: how often a mini-batch is tried as a whole.
        error_threshold: failed items that the run tolerates.
        mini_batch_error_threshold: mini-batches with failed items that the run tolerates.
    """

    tries: int = 1
    error_threshold: int = 0
    mini_batch_error_threshold: int = -1

    def are_broken_by(self, items: int, mini_batches: int) -> bool:
        """Tell whether so many failures end the run; those of one task are reason enough."""
        return _is_passed(self.error_threshold, items) or _is_passed(self.mini_batch_error_threshold, mini_batches)


def _is_passed(threshold: int, failed: int) -> bool:
    return 0 <= threshold < failed


class Attempts:
    """All attempts at one mini-batch.

    Attributes:
        calls: the calls of the model so far.
    """

    def __init__(self, loaded: LoadedEngine, spec: ResultSpec, rules: FailureRules, scored_at: datetime) -> None:
        self.calls: list[CallReport] = []
        self._loaded = loaded
        self._spec = spec
        self._rules = rules
        self._scored_at = scored_at

    def score(self, mini_batch: MiniBatch) -> Outcome:
        """Score a mini-batch as far as it can be scored; every failed item is named, where it can be."""
        outcome = self._call(mini_batch)
        while _failed_whole(outcome) and self._loaded.failure is None and self.tries < self._rules.tries:
            outcome = self._call(mini_batch)
        if _failed_whole(outcome) and self._can_be_halved(mini_batch, outcome):
            pieces = list(self._halve(mini_batch, outcome.failure, 0))
            joined = _joined(pieces, mini_batch.item_count)
            return replace(joined, failure=outcome.failure) if joined.failed else joined
        return _with_every_item(outcome)

    @property
    def tries(self) -> int:
        """How often the mini-batch was tried as a whole."""
        return tries_of(self.calls)

    def _call(self, mini_batch: MiniBatch, *, is_part: bool = False) -> Outcome:
        self._loaded.ensure()
        if self._loaded.failure is not None:
            return failed_outcome(mini_batch.item_count, self._loaded.failure)
        start = time.perf_counter()
        outcome = self._loaded.engine.score(mini_batch, self._spec, self._scored_at)
        seconds = time.perf_counter() - start
        why = (outcome.failure.code, outcome.failure.error_class) if outcome.failure is not None else ("", "")
        self.calls.append(CallReport(outcome.items, outcome.scored, is_part, seconds, *why))
        return outcome

    def _can_be_halved(self, mini_batch: MiniBatch, outcome: Outcome) -> bool:
        is_whole = outcome.failure is None or outcome.failure.code in _NEVER_HALVED
        return mini_batch.item_count > 1 and not is_whole and self._loaded.failure is None

    def _halve(self, mini_batch: MiniBatch, failure: Failure | None, failed: int) -> Iterator[tuple[int, Outcome]]:
        """Score the halves of what failed, and the halves of those that fail.

        Yields:
            pieces in the items' order, each with the number of items before it.
        """
        before = 0
        for half in mini_batch.halves():
            if self._rules.are_broken_by(failed, 0):  # no more calls: the run cannot succeed
                yield before, _with_every_item(failed_outcome(half.item_count, failure or Failure("", "", "")))
                before += half.item_count
                continue
            outcome = self._call(half, is_part=True)
            if _failed_whole(outcome) and self._can_be_halved(half, outcome):
                for start, piece in self._halve(half, outcome.failure, failed):
                    failed += piece.failed
                    yield before + start, piece
            else:
                failed += outcome.failed
                yield before, _with_every_item(outcome)
            before += half.item_count


def _failed_whole(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.scored == 0 and not outcome.failures


def _with_every_item(outcome: Outcome) -> Outcome:
    """Name every item of a mini-batch that failed as a whole."""
    if not _failed_whole(outcome) or outcome.failure is None:
        return outcome
    return replace(outcome, failures=tuple(ItemFailure(number, outcome.failure) for number in range(outcome.items)))


def _joined(pieces: list[tuple[int, Outcome]], items: int) -> Outcome:
    tables = [piece.table for _, piece in pieces if piece.table is not None]
    failures = tuple(
        replace(item, position=before + item.position) for before, piece in pieces for item in piece.failures
    )
    return Outcome(
        items=items,
        scored=sum(piece.scored for _, piece in pieces),
        table=pa.concat_tables(tables) if tables else None,
        failures=failures,
    )
