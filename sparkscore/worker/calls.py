"""Score a mini-batch: call the scorer, retry if it fails, and then halve the mini-batch. Runs on the workers.

Azure ML's ``retry_settings`` only retries whole mini-batches. Halving, which finds the failing items, is specific to
sparkscore.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, ItemFailure, Outcome, failed_outcome
from sparkscore.stage.report import CallReport, add_counts, tries_of
from sparkscore.worker.halving import (
    WRONG_COUNT,
    BrokenContractError,
    Halving,
    Part,
    broken_contract,
    can_be_halved,
    failed_whole,
    flag_broken,
    is_proof,
)
from sparkscore.worker.loaded import LoadedEngine
from sparkscore.worker.result import ResultSpec
from sparkscore.worker.rules import FailureRules


class Calls:
    """Calls the scorer for one mini-batch.

    Attributes:
        reports: one report per call so far.
    """

    def __init__(self, loaded: LoadedEngine, spec: ResultSpec, rules: FailureRules, scored_at: datetime) -> None:
        self.reports: list[CallReport] = []
        self._loaded = loaded
        self._spec = spec
        self._rules = rules
        self._scored_at = scored_at

    def score(self, mini_batch: MiniBatch) -> Outcome:
        """Score a mini-batch with one or more calls, and return its result rows and failed items.

        - A mini-batch that fails as a whole is retried, up to the maximum number of tries.
        - If every try fails, it is halved repeatedly to find the failing items. If it cannot be halved, all its items
          fail.
        - Once more items have failed than the run tolerates, the remaining items fail without being scored.
        - If the scorer turns out to break its contract to return one element per item, all items fail.
        """
        outcome = self._call(mini_batch)
        while failed_whole(outcome) and self._loaded.failure is None and self.tries < self._rules.tries:
            outcome = self._call(mini_batch)
        if not can_be_halved(mini_batch, outcome):
            checked = self._check_ambiguous(mini_batch, outcome)
            return _with_every_item(checked if checked.failure is None else flag_broken(checked))
        try:
            return self._score_parts(Part(0, mini_batch, outcome))
        except BrokenContractError as error:
            return _with_every_item(self._broken(outcome, str(error)))

    @property
    def tries(self) -> int:
        """The number of calls with the whole mini-batch so far."""
        return tries_of(self.reports)

    def _call(self, mini_batch: MiniBatch, *, is_part: bool = False) -> Outcome:
        """Call the scorer once and add a report of the call.

        If the scorer's process has ended, the scorer is reloaded first. If reloading fails, the scorer is not called,
        and the returned outcome contains the failure.

        Args:
            mini_batch: the items to score.
            is_part: whether these items are only part of the whole mini-batch.
        """
        self._loaded.ensure()
        if self._loaded.failure is not None:
            return replace(failed_outcome(mini_batch.item_count, self._loaded.failure), is_final=True)
        start = time.perf_counter()
        outcome = self._loaded.engine.score(mini_batch, self._spec, self._scored_at)
        seconds = time.perf_counter() - start
        why = (outcome.failure.code, outcome.failure.error_class) if outcome.failure is not None else ("", "")
        self.reports.append(CallReport(outcome.items, outcome.scored, is_part, seconds, *why))
        self._loaded.is_proven |= self._spec.is_proven or is_proof(outcome, self._spec.columns)
        return replace(outcome, is_final=True) if self._loaded.failure is not None else outcome

    def _call_part(self, mini_batch: MiniBatch) -> Outcome:
        return self._call(mini_batch, is_part=True)

    def _test_part(self, mini_batch: MiniBatch) -> Outcome:
        """Call the scorer with part of the mini-batch only to see whether it fails, and drop the returned rows."""
        outcome = self._call_part(mini_batch)
        self._drop_rows_of_last_call()
        return outcome

    def _drop_rows_of_last_call(self) -> None:
        """Set the scored-item count in the last call's report to 0, because its rows are not in the result."""
        self.reports[-1:] = [replace(call, scored=0) for call in self.reports[-1:]]

    def _score_parts(self, whole: Part) -> Outcome:
        """Score a failed mini-batch in smaller and smaller parts, to find the failing items.

        The outcomes of the parts are merged and returned. However, if no item failed in any part, the whole mini-batch
        is first tried once more, and if that call succeeds, its outcome is returned instead.

        Args:
            whole: the mini-batch, with the outcome of the failed call.

        Raises:
            BrokenContractError: the scorer does not return one element per item, so no single item is to blame.
        """
        halving = Halving(self._call_part, self._test_part, self._rules, {self._spec.columns, whole.outcome.columns})
        parts = halving.score(whole)
        joined = _joined(parts, whole.mini_batch.item_count)
        if not joined.failed:
            # No single item failed. The script may compute a value over the whole mini-batch, for example a mean, which
            # differs in a part. The whole mini-batch is therefore tried once more.
            again = self._call(whole.mini_batch)
            if again.failure is None:
                self.reports[:-1] = [replace(call, scored=0) for call in self.reports[:-1]]
                return again
            self._drop_rows_of_last_call()
        if not self._loaded.is_proven:
            halving.prove(whole.mini_batch, parts)
        return replace(joined, failure=whole.outcome.failure) if joined.failed else joined

    def _check_ambiguous(self, mini_batch: MiniBatch, outcome: Outcome) -> Outcome:
        """Check that a successful call returned one element per row, by scoring half the mini-batch in a second call.

        For example, a script that returns one element per column seems correct if there happen to be as many rows as
        columns. If the second call returns a wrong number of elements, a failure of the whole mini-batch is returned.
        If it fails for another reason, the outcome of the first call is returned unchanged.

        The check is skipped if any of the following holds:

        - The call failed.
        - The mini-batch has only one item.
        - No columns are carried.
        - The scorer is already known to return one element per row.
        """
        is_clear = self._loaded.is_proven or outcome.failure is not None or mini_batch.item_count == 1
        if is_clear or not self._spec.carried:
            return outcome
        half, _ = mini_batch.halves()
        tried = self._test_part(half)
        if tried.failure is None:
            self._loaded.is_proven = True
            return outcome
        if tried.failure.code != WRONG_COUNT:
            return outcome
        self.reports[:] = [replace(call, scored=0) for call in self.reports]
        failure = broken_contract(
            tried.failure,
            f"{mini_batch.item_count} elements for {mini_batch.item_count} rows were a coincidence",
        )
        return replace(failed_outcome(mini_batch.item_count, failure), is_contract_broken=True)

    def _broken(self, whole: Outcome, why: str) -> Outcome:
        """Return the failed outcome of a mini-batch whose scorer broke its contract to return one element per item.

        Any rows that were scored in parts are dropped, so their items no longer count as scored in ``self.reports``.

        Args:
            whole: outcome of the call with the whole mini-batch.
            why: how the scorer broke its contract.
        """
        self.reports[:] = [replace(call, scored=0) for call in self.reports]
        failure = broken_contract(whole.failure or Failure(ErrorCode.OUTPUT_ROWS), why)
        return replace(failed_outcome(whole.items, failure), is_contract_broken=True)


def _with_every_item(outcome: Outcome) -> Outcome:
    """Add a failure for each item if the mini-batch failed as a whole. Return any other outcome unchanged."""
    if not failed_whole(outcome) or outcome.failure is None:
        return outcome
    return replace(outcome, failures=tuple(ItemFailure(number, outcome.failure) for number in range(outcome.items)))


def _joined(parts: Sequence[Part], items: int) -> Outcome:
    """Merge the outcomes of all parts of a mini-batch.

    The merged outcome lists the failed items of all parts in ``failures``. Its ``failure`` attribute is None.

    Args:
        parts: all parts of the mini-batch, in item order.
        items: number of items in the mini-batch.
    """
    outcomes = [(part.before, _with_every_item(part.outcome)) for part in parts]
    tables = [outcome.table for _, outcome in outcomes if outcome.table is not None]
    failures = tuple(
        replace(item, position=before + item.position) for before, outcome in outcomes for item in outcome.failures
    )
    scored = sum(outcome.scored for _, outcome in outcomes)
    return Outcome(
        items=items,
        scored=scored,
        table=pa.concat_tables(tables) if tables else None,
        failures=failures,
        scored_in_parts=scored,
        unseen=add_counts(outcome.unseen for _, outcome in outcomes),
    )
