"""Score a failed mini-batch in parts: single items turn out to be bad, or the scorer breaks its contract (worker).

One element always fits one row, so a single row that succeeds proves nothing. Parts are trusted as far as their numbers
of elements add up, and as the scorer has shown that it can score more than one item at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome
from sparkscore.worker.child.supervisor import BROKEN, ENDED, TIMEOUT
from sparkscore.worker.rules import FailureRules

WRONG_COUNT: Final = ErrorCode.OUTPUT_ROWS
# What ended the process would end it again, at the price of a timeout or of loading the model anew.
PROCESS_IS_GONE: Final = frozenset({TIMEOUT, ENDED, BROKEN})
# A mini-batch of one row is in every order.
_OF_THE_WHOLE: Final = frozenset({ErrorCode.OUTPUT_ORDER})
# Halves, quarters, eighths.
_LEVELS: Final = 3


@dataclass(frozen=True)
class Part:
    """A part of a mini-batch, and what became of it.

    Attributes:
        before: items of the mini-batch before it.
        mini_batch: its items.
        outcome: what calling the scorer with it gave.
    """

    before: int
    mini_batch: MiniBatch
    outcome: Outcome


class BrokenContractError(Exception):
    """No single item is to blame: the scorer does not give what it has to give for each item. The text says why."""


class Halving:
    """Calls the scorer with parts of one mini-batch."""

    def __init__(
        self, call: Callable[[MiniBatch, bool], Outcome], rules: FailureRules, columns: Collection[int]
    ) -> None:
        """Prepare.

        Args:
            call: calls the scorer; told whether the rows are kept.
            rules: what the run tolerates; no call is made that cannot save it.
            columns: numbers of columns, the input's and the scorer's; as many elements may be one for each column.
        """
        self._call = call
        self._rules = rules
        self._columns = columns
        self._failed = 0

    def score(self, whole: Part) -> list[Part]:
        """Give the parts that stand, in the items' order.

        Raises:
            BrokenContractError: no single item is to blame.
        """
        parts = [whole]
        for _ in range(_LEVELS):
            parts = [piece for part in parts for piece in self._split(part)]
        if not self._is_given_up and _all_failed(parts):
            self._refuse_what_fails_everywhere(parts)
        return [piece for part in parts for piece in self._descend(part)]

    def prove(self, whole: MiniBatch, parts: Sequence[Part]) -> None:
        """Score some items together that were scored only in parts too small to prove anything.

        Raises:
            BrokenContractError: they fail together.
        """
        good = [part for part in parts if part.outcome.failure is None]
        places = [part.before + item for part in good for item in range(part.outcome.items)]
        count = self._telling_count
        if len(places) < count:  # two items for two columns: one of them tells
            count = 1 if any(part.outcome.items > 1 for part in good) else 0
        if self._is_given_up or not count:
            return
        outcome = self._call(whole.only(places[:count]), False)
        if failed_whole(outcome) and not _is_gone(outcome):
            raise BrokenContractError(f"items that are scored in other company fail when {count} of them come alone")

    @property
    def _is_given_up(self) -> bool:
        return self._rules.tolerance.is_passed(self._failed, 0)

    @property
    def _telling_count(self) -> int:
        """Give the smallest number of items that cannot be taken for one, nor for the number of columns."""
        return 3 if 2 in self._columns else 2  # noqa: PLR2004 - see above

    def _split(self, part: Part) -> list[Part]:
        """Score the halves of a part that failed; give any other part as it is."""
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
        pieces = self._split(part)
        if pieces == [part]:
            yield part
            return
        for piece in pieces:
            yield from self._descend(piece)

    def _score(self, part: MiniBatch, before: Outcome) -> Outcome:
        if self._is_given_up:
            return Outcome(part.item_count, 0, failure=before.failure)
        outcome = self._call(part, True)
        if not can_be_halved(part, outcome):
            self._failed += outcome.failed
        return outcome

    def _refuse_what_fails_everywhere(self, parts: Sequence[Part]) -> None:
        """Tell many bad items, one in each part, from a scorer that fails with more than one item."""
        count = self._telling_count
        if all(part.mini_batch.item_count == 1 for part in parts):
            return  # each has its own reason
        for part in parts:
            if part.mini_batch.item_count <= count:
                continue
            # From all over the part: bad items may stand side by side.
            last = part.mini_batch.item_count - 1
            outcome = self._call(part.mini_batch.only([last * place // (count - 1) for place in range(count)]), False)
            if _is_gone(outcome) or not failed_whole(outcome):
                return
        raise BrokenContractError("every half, quarter and eighth of the mini-batch failed too")


def can_be_halved(mini_batch: MiniBatch, outcome: Outcome) -> bool:
    """Tell whether it failed as a whole and for a reason that its halves may not have.

    Where nothing came back, nothing may come back for the halves: the numbers of elements have to add up.
    """
    if not failed_whole(outcome) or outcome.failure is None or outcome.elements == 0:
        return False
    is_whole = outcome.is_final or outcome.failure.code in PROCESS_IS_GONE | _OF_THE_WHOLE
    return mini_batch.item_count > 1 and not mini_batch.is_indivisible and not is_whole


def failed_whole(outcome: Outcome) -> bool:
    """Tell whether nothing was scored, for a reason that names no single item."""
    return outcome.failure is not None and outcome.scored == 0 and not outcome.failures


def is_proof(outcome: Outcome, columns: int) -> bool:
    """Tell whether a call has shown that there is an element for each item, and not one in all or one for a column."""
    return outcome.failure is None and outcome.items > 1 and outcome.items not in {columns, outcome.columns}


def flag_broken(outcome: Outcome) -> Outcome:
    """Mark a failure whose code alone says that no single item is to blame."""
    is_broken = outcome.failure is not None and outcome.failure.code in _OF_THE_WHOLE
    return replace(outcome, is_contract_broken=outcome.is_contract_broken or is_broken)


def broken_contract(failure: Failure, why: str) -> Failure:
    """Give the failure of a mini-batch whose contract is broken."""
    return replace(failure, message=f"broken contract ({why}): {failure.message}")


def _check_counts(whole: Outcome, halves: Sequence[Outcome]) -> None:
    """Refuse to go on where the halves did not return together what the whole returned."""
    if whole.failure is None or whole.failure.code != WRONG_COUNT or whole.elements is None:
        return
    if any(map(_is_gone, halves)):
        return
    counts = [half.elements for half in halves]
    if None in counts or sum(count or 0 for count in counts) != whole.elements:
        told = " and ".join("a failure" if count is None else str(count) for count in counts)
        raise BrokenContractError(f"its halves gave {told}, which does not add up")


def _all_failed(parts: Sequence[Part]) -> bool:
    whole = len(parts) == 2**_LEVELS
    return whole and all(failed_whole(part.outcome) and not _is_gone(part.outcome) for part in parts)


def _is_gone(outcome: Outcome) -> bool:
    return outcome.failure is not None and (outcome.is_final or outcome.failure.code in PROCESS_IS_GONE)
