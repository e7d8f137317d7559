"""Score a failed mini-batch in halves, to find the failing items or a scorer that breaks its contract.

Runs on the workers.

The contract is that the scorer returns one element per row. A single row cannot reveal a broken contract: a script that
always returns one element appears correct. The results of parts are therefore checked before they are used. For
example, if a mini-batch failed because the scorer returned the wrong number of elements, the element counts of its
halves must add up to that number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome
from sparkscore.worker.child.ended import BROKEN
from sparkscore.worker.child.supervisor import ENDED, TIMEOUT
from sparkscore.worker.rules import FailureRules

WRONG_COUNT: Final = ErrorCode.OUTPUT_ROWS
# After these failures, a mini-batch is not halved: its halves would probably end the process as well, and each
# time would cost a timeout or another load of the model.
PROCESS_IS_GONE: Final = frozenset({TIMEOUT, ENDED, BROKEN})
# After these failures, a mini-batch is not halved either, because parts may hide the cause: a part with one row is
# always in the right order.
_OF_THE_WHOLE: Final = frozenset({ErrorCode.OUTPUT_ORDER})
# Halves, quarters and eighths. If all of them fail, single items are probably not the cause.
_LEVELS: Final = 3

Call = Callable[[MiniBatch], Outcome]


@dataclass(frozen=True)
class Part:
    """A part of a mini-batch, and its outcome.

    Attributes:
        before: number of items in the mini-batch before this part.
        mini_batch: the items of this part.
        outcome: the outcome of scoring this part.
    """

    before: int
    mini_batch: MiniBatch
    outcome: Outcome


class BrokenContractError(Exception):
    """The scorer seems to break its contract, which is to return one element per item. The message says how."""


class Halving:
    """Scores a mini-batch in parts, and checks that the results of the parts can be trusted."""

    def __init__(self, call: Call, test: Call, rules: FailureRules, columns: Collection[int]) -> None:
        """Prepare to call the scorer.

        Args:
            call: calls the scorer with a part, and keeps the returned rows.
            test: calls the scorer with a part only to see whether it fails, and drops the returned rows.
            rules: how many items may fail. Once this number is exceeded in the mini-batch, no more calls are made.
            columns: the number of input columns, and the number of columns that the scorer gets. If a result has as
                many elements as either number, it may have one element per column instead of one per row.
        """
        self._call = call
        self._test = test
        self._rules = rules
        self._columns = columns
        self._failed = 0

    def score(self, whole: Part) -> list[Part]:
        """Split a mini-batch that failed as a whole, score its parts, and return them in order, with their outcomes.

        Parts that fail as a whole are halved again while `can_be_halved` allows it. Once more items have failed than
        the run tolerates, no more calls are made. The remaining parts are then returned as failed.

        Args:
            whole: the mini-batch, with the outcome of the failed call.

        Raises:
            BrokenContractError: the scorer seems not to return one element per item, so no single item is to blame.
        """
        parts = [whole]
        for _ in range(_LEVELS):
            parts = [piece for part in parts for piece in self._split(part)]
        if not self._is_given_up and _all_failed(parts):
            self._refuse_what_fails_everywhere(parts)
        return [piece for part in parts for piece in self._descend(part)]

    def prove(self, whole: MiniBatch, parts: Sequence[Part]) -> None:
        """Score some of the successful items again in one call, to check that their results can be trusted.

        This is needed if no call so far has proven that the scorer returns one element per item. No call is made if too
        few items were scored, or if more items have failed than the run tolerates.

        Args:
            whole: the mini-batch.
            parts: the parts that `score` returned for it.

        Raises:
            BrokenContractError: the call failed as a whole without ending the scorer's process, although each item in
                the call had been scored successfully in an earlier call.
        """
        good = [part for part in parts if part.outcome.failure is None]
        positions = [part.before + item for part in good for item in range(part.outcome.items)]
        number = self._telling_count
        if len(positions) < number:  # with two items and two columns, a call with one item is still a test
            number = 1 if any(part.outcome.items > 1 for part in good) else 0
        if self._is_given_up or not number:
            return
        outcome = self._test(whole.only(positions[:number]))
        if failed_whole(outcome) and not _is_gone(outcome):
            raise BrokenContractError(f"items that are scored with others fail when {number} of them come alone")

    @property
    def _is_given_up(self) -> bool:
        """Whether more items of this mini-batch have failed than the run tolerates."""
        return self._rules.tolerance.is_passed(self._failed, 0)

    @property
    def _telling_count(self) -> int:
        """The number of items for a call that can show whether the scorer returns one element per item.

        This is the smallest number above 1 that is neither the number of input columns nor the number of columns that
        the scorer gets. A call with one item would not expose a script that returns a single element for all items. A
        call with as many items as columns would not expose a script that returns one element per column.
        """
        return next(number for number in count(2) if number not in self._columns)

    def _split(self, part: Part) -> list[Part]:
        """Halve a part that failed as a whole, and return both halves with their outcomes.

        Only the part itself is returned if it did not fail as a whole, if it cannot be halved, or if more items have
        failed than the run tolerates.

        Raises:
            BrokenContractError: the element counts of the halves do not add up to that of the part.
        """
        if self._is_given_up or not can_be_halved(part.mini_batch, part.outcome):
            return [part]
        halves, before = [], part.before
        for half in part.mini_batch.halves():
            halves.append(Part(before, half, self._score(half, part.outcome)))
            before += half.item_count
        if not self._is_given_up:
            _check_counts(part.outcome, [half.outcome for half in halves])
        return halves

    def _descend(self, part: Part) -> Iterator[Part]:
        """Split a part repeatedly and yield the parts that are not split further."""
        pieces = self._split(part)
        if pieces == [part]:
            yield part
            return
        for piece in pieces:
            yield from self._descend(piece)

    def _score(self, part: MiniBatch, before: Outcome) -> Outcome:
        """Score a part and return its outcome.

        If more items have already failed than the run tolerates, the part is not scored. Its outcome is then the
        failure of the larger part from which it was split.

        Args:
            part: the items to score.
            before: the outcome of the larger part from which `part` was split.
        """
        if self._is_given_up:
            return Outcome(part.item_count, 0, failure=before.failure)
        outcome = self._call(part)
        if not can_be_halved(part, outcome):
            self._failed += outcome.failed
        return outcome

    def _refuse_what_fails_everywhere(self, parts: Sequence[Part]) -> None:
        """Raise an error if the scorer fails whenever it gets several items, because no single item is then to blame.

        Call this only if every part failed as a whole. From each part, a few items are scored again in one call. Most
        of them are probably good, so if every such call also fails as a whole, the items are not the cause. Parts with
        only a few items are skipped, because they have already failed. If all parts are skipped for this reason, the
        error is raised, unless each part is a single item.

        Raises:
            BrokenContractError: every such call failed as a whole while the scorer's process kept running, or every
                part was skipped.
        """
        number = self._telling_count
        if all(part.mini_batch.item_count == 1 for part in parts):
            return  # each item was scored alone, so each failed for its own reason
        for part in parts:
            if part.mini_batch.item_count <= number:
                continue
            # Spread over the part, because failing items may be next to each other.
            last = part.mini_batch.item_count - 1
            positions = [last * step // (number - 1) for step in range(number)]
            outcome = self._test(part.mini_batch.only(positions))
            if _is_gone(outcome) or not failed_whole(outcome):
                return
        raise BrokenContractError("every half, quarter and eighth of the mini-batch failed too")


def can_be_halved(mini_batch: MiniBatch, outcome: Outcome) -> bool:
    """Return whether a mini-batch failed as a whole and can be halved to find the failing items.

    A mini-batch is not halved if any of the following holds:

    - It has only one item, or is indivisible.
    - ``run()`` returned no elements, since it may return none for the halves either.
    - The failure itself rules it out, for example because the scorer's process has ended.
    """
    if not failed_whole(outcome) or outcome.failure is None or outcome.elements == 0:
        return False
    is_whole = outcome.is_final or outcome.failure.code in PROCESS_IS_GONE | _OF_THE_WHOLE
    return mini_batch.item_count > 1 and not mini_batch.is_indivisible and not is_whole


def failed_whole(outcome: Outcome) -> bool:
    """Return whether a mini-batch failed as a whole: no item was scored, and no failure belongs to a single item."""
    return outcome.failure is not None and outcome.scored == 0 and not outcome.failures


def is_proof(outcome: Outcome, columns: int) -> bool:
    """Return whether a call's outcome proves that the scorer returns one element per item.

    A failed call proves nothing. Neither does a call with one item, or with as many items as columns: the scorer may
    have returned a single element, or one per column.

    Args:
        outcome: the outcome of the call.
        columns: number of input columns.
    """
    return outcome.failure is None and outcome.items > 1 and outcome.items not in {columns, outcome.columns}


def flag_broken(outcome: Outcome) -> Outcome:
    """Return the outcome, marked as a broken contract if it failed because its rows were not in input order."""
    is_broken = outcome.failure is not None and outcome.failure.code in _OF_THE_WHOLE
    return replace(outcome, is_contract_broken=outcome.is_contract_broken or is_broken)


def broken_contract(failure: Failure, why: str) -> Failure:
    """Return a failure whose message also says how the scorer broke its contract to return one element per item."""
    return replace(failure, message=f"broken contract ({why}): {failure.message}")


def _check_counts(whole: Outcome, halves: Sequence[Outcome]) -> None:
    """Check that the two halves of a mini-batch together returned as many elements as the whole mini-batch.

    The check is skipped unless the mini-batch failed because the scorer returned the wrong number of elements for it.
    It is also skipped if either half ended the scorer's process.

    Raises:
        BrokenContractError: the halves returned more or fewer elements than the whole, or a half failed before its
            elements were counted.
    """
    if whole.failure is None or whole.failure.code != WRONG_COUNT or whole.elements is None:
        return
    if any(map(_is_gone, halves)):
        return
    found = [half.elements for half in halves]
    if None in found or sum(elements or 0 for elements in found) != whole.elements:
        told = " and ".join("a failure" if elements is None else str(elements) for elements in found)
        raise BrokenContractError(f"its halves returned {told}, which does not add up")


def _all_failed(parts: Sequence[Part]) -> bool:
    """Return whether the mini-batch was split into eighths, and each of them failed as a whole.

    Return False if the scorer's process has ended, or the scorer can no longer be loaded.
    """
    whole = len(parts) == 2**_LEVELS
    return whole and all(failed_whole(part.outcome) and not _is_gone(part.outcome) for part in parts)


def _is_gone(outcome: Outcome) -> bool:
    """Return whether the scorer's process has ended, or the scorer can no longer be loaded."""
    return outcome.failure is not None and (outcome.is_final or outcome.failure.code in PROCESS_IS_GONE)
