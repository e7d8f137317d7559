"""Score a failed mini-batch in halves to find the items that fail, or a scorer that breaks its contract (worker).

The contract is one returned element for each row. Any script that returns one element succeeds for a single row, so the
success of a single row proves nothing. The results of parts are used only if the numbers of elements of two halves add
up to that of the whole, and if the scorer has scored more than one item in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome
from sparkscore.worker.child.supervisor import BROKEN, ENDED, TIMEOUT
from sparkscore.worker.rules import FailureRules

WRONG_COUNT: Final = ErrorCode.OUTPUT_ROWS
# The halves would probably end the process too. Each time costs a timeout, or loading the model again.
PROCESS_IS_GONE: Final = frozenset({TIMEOUT, ENDED, BROKEN})
# Parts may hide these failures: a part with one row is in the right order whatever the script does.
_OF_THE_WHOLE: Final = frozenset({ErrorCode.OUTPUT_ORDER})
# Halves, quarters and eighths: if all of them fail, single items are hardly the reason.
_LEVELS: Final = 3

Call = Callable[[MiniBatch], Outcome]


@dataclass(frozen=True)
class Part:
    """A part of a mini-batch, and its outcome.

    Attributes:
        before: number of items of the mini-batch before this part.
        mini_batch: the items of this part.
        outcome: the outcome of the call with this part.
    """

    before: int
    mini_batch: MiniBatch
    outcome: Outcome


class BrokenContractError(Exception):
    """The scorer does not return one element for each item, so no single item is the reason. The text says how."""


class Halving:
    """Calls the scorer with parts of one mini-batch, and checks that the results of the parts can be trusted."""

    def __init__(self, call: Call, test: Call, rules: FailureRules, columns: Collection[int]) -> None:
        """Prepare to call the scorer.

        Args:
            call: calls the scorer with a part whose rows are kept.
            test: calls the scorer with a part only to see whether it fails; its rows are dropped.
            rules: how many items may fail; once more have failed, no more calls are made.
            columns: how many columns the input has and how many the scorer gets; a result with that many elements may
                have one for each column instead of one for each row.
        """
        self._call = call
        self._test = test
        self._rules = rules
        self._columns = columns
        self._failed = 0

    def score(self, whole: Part) -> list[Part]:
        """Return the parts that were scored and the single items that fail, in the order of the items.

        Raises:
            BrokenContractError: the scorer fails for another reason than single items.
        """
        parts = [whole]
        for _ in range(_LEVELS):
            parts = [piece for part in parts for piece in self._split(part)]
        if not self._is_given_up and _all_failed(parts):
            self._refuse_what_fails_everywhere(parts)
        return [piece for part in parts for piece in self._descend(part)]

    def prove(self, whole: MiniBatch, parts: Sequence[Part]) -> None:
        """Score some of the successful items in one call, if each was scored in a part too small to prove anything.

        Raises:
            BrokenContractError: the items fail together, so their single results cannot be trusted.
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
        """Whether so many items have failed that the run cannot succeed any more."""
        return self._rules.tolerance.is_passed(self._failed, 0)

    @property
    def _telling_count(self) -> int:
        """The smallest number of items with which one call shows whether there is one element for each item.

        It is neither 1 nor a number of columns: as many elements could be one in all, or one for each column.
        """
        return next(number for number in count(2) if number not in self._columns)

    def _split(self, part: Part) -> list[Part]:
        """Return the two scored halves of a part that failed as a whole, or the part itself if it did not."""
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
        """Yield the parts that a part is split into until none of them can be halved any more."""
        pieces = self._split(part)
        if pieces == [part]:
            yield part
            return
        for piece in pieces:
            yield from self._descend(piece)

    def _score(self, part: MiniBatch, before: Outcome) -> Outcome:
        """Return the outcome of a part, or the failure of the larger part before it if the run is given up."""
        if self._is_given_up:
            return Outcome(part.item_count, 0, failure=before.failure)
        outcome = self._call(part)
        if not can_be_halved(part, outcome):
            self._failed += outcome.failed
        return outcome

    def _refuse_what_fails_everywhere(self, parts: Sequence[Part]) -> None:
        """Raise an error if each part fails because the scorer cannot score several items in one call.

        If all parts fail, either each of them has a failing item, or the scorer fails whenever it gets several items.
        To find out, a few items from all over each part are scored in one call: most of them are probably good.

        Raises:
            BrokenContractError: these few items fail together in each part.
        """
        number = self._telling_count
        if all(part.mini_batch.item_count == 1 for part in parts):
            return  # each item was scored alone and has a reason of its own
        for part in parts:
            if part.mini_batch.item_count <= number:
                continue
            # Items from all over the part, since failing items may be next to each other.
            last = part.mini_batch.item_count - 1
            positions = [last * step // (number - 1) for step in range(number)]
            outcome = self._test(part.mini_batch.only(positions))
            if _is_gone(outcome) or not failed_whole(outcome):
                return
        raise BrokenContractError("every half, quarter and eighth of the mini-batch failed too")


def can_be_halved(mini_batch: MiniBatch, outcome: Outcome) -> bool:
    """Whether a mini-batch failed as a whole, for a reason that one of its halves may not have.

    A mini-batch for which ``run()`` returned no element is not halved: it may return none for the halves either.
    """
    if not failed_whole(outcome) or outcome.failure is None or outcome.elements == 0:
        return False
    is_whole = outcome.is_final or outcome.failure.code in PROCESS_IS_GONE | _OF_THE_WHOLE
    return mini_batch.item_count > 1 and not mini_batch.is_indivisible and not is_whole


def failed_whole(outcome: Outcome) -> bool:
    """Whether no item was scored, and the failure does not belong to single items."""
    return outcome.failure is not None and outcome.scored == 0 and not outcome.failures


def is_proof(outcome: Outcome, columns: int) -> bool:
    """Whether a call proves that the scorer returns one element for each item.

    It does not if there may be one element in all, or one for each column.
    """
    return outcome.failure is None and outcome.items > 1 and outcome.items not in {columns, outcome.columns}


def flag_broken(outcome: Outcome) -> Outcome:
    """Return the outcome, marked as a broken contract if the code of its failure is about the whole mini-batch."""
    is_broken = outcome.failure is not None and outcome.failure.code in _OF_THE_WHOLE
    return replace(outcome, is_contract_broken=outcome.is_contract_broken or is_broken)


def broken_contract(failure: Failure, why: str) -> Failure:
    """Return the failure with a message that says how the scorer broke its contract."""
    return replace(failure, message=f"broken contract ({why}): {failure.message}")


def _check_counts(whole: Outcome, halves: Sequence[Outcome]) -> None:
    """Check that two halves together returned as many elements as the whole did.

    Raises:
        BrokenContractError: they did not, so the number of elements does not come from the rows.
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
    """Whether a mini-batch was split into eighths, and each of them failed as a whole without ending its process."""
    whole = len(parts) == 2**_LEVELS
    return whole and all(failed_whole(part.outcome) and not _is_gone(part.outcome) for part in parts)


def _is_gone(outcome: Outcome) -> bool:
    """Whether the process that scores has ended, or the scorer does not load any more."""
    return outcome.failure is not None and (outcome.is_final or outcome.failure.code in PROCESS_IS_GONE)
