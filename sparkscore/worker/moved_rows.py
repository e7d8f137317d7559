"""Find out whether the user's code moved rows in the DataFrame that was passed to it.

Runs on the workers, also in child processes.

After the user's code returns, the DataFrame is compared with the mini-batch's Arrow table, to which the user's code has
no access.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkscore.scorers.frames import HandedOver
from sparkscore.worker.compared_columns import (
    Codes,
    Numbers,
    Pair,
    compare_bits,
    has_other_numbers,
    number_values,
    numbers_if_same,
    to_arrow,
    without_nan,
)

# How many rows to check first: if two of them are equal, the others need not be checked.
_SAMPLES: Final = (64, 1024)
# A multiplier that mixes the bits of several columns. If two different rows get the same number by coincidence, more
# columns are compared, which only takes longer.
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
_TWO: Final = 2


def moved_how(handed: HandedOver) -> str | None:
    """Return a phrase that says how the user's code moved rows in its DataFrame, or None if no move was found.

    The number of rows and the index are checked first, then the column values. Rows count as moved if a new row order
    explains how the values have changed. Columns that were dropped, added or overwritten with different values are
    ignored.
    """
    frame, rows = handed.frame, handed.rows
    if len(frame) != rows.num_rows:
        return f"{len(frame)} rows in the DataFrame that it got, which had {rows.num_rows}"
    if _is_mixed(frame.index):
        return "the DataFrame that it got with its index in another order"
    if _have_labels_moved(handed) or _are_moved(handed):
        return "the DataFrame that it got with its rows in another order"
    return None


def _is_mixed(index: pd.Index[Any]) -> bool:
    """Return whether an index contains the row numbers from 0 in a different order, or is a descending RangeIndex."""
    if isinstance(index, pd.RangeIndex):
        return index.step < 0 and len(index) > 1
    if isinstance(index, pd.MultiIndex) or not pd.api.types.is_integer_dtype(index.dtype):
        return False
    return not index.is_monotonic_increasing and index.sort_values().equals(pd.RangeIndex(len(index)))


def _have_labels_moved(handed: HandedOver) -> bool:
    """Return whether rows have moved together with their index labels.

    The labels were originally the row numbers. Changed labels do not prove a move, because a script may renumber its
    rows from 1, so at least one column's values must have moved with the labels.
    """
    index, count = handed.frame.index, handed.rows.num_rows
    is_plain = isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(count))
    if is_plain or index.name is not None or not pd.api.types.is_integer_dtype(index.dtype):
        return False
    labels = index.to_numpy()
    positions = np.flatnonzero((labels >= 0) & (labels < count) & (labels != np.arange(count)))
    found = (codes for pair in _pairs(handed) if (codes := _codes(pair)) is not None) if len(positions) else iter(())
    return any(
        np.array_equal(codes.was[labels[positions]], codes.now[positions])
        and not np.array_equal(codes.was[positions], codes.now[positions])
        for codes in found
    )


def _are_moved(handed: HandedOver) -> bool:
    """Return whether the column values show that rows have moved.

    The bits of numbers and the references to Python objects are compared first, which is fast. A column's values are
    compared only if that is not enough.
    """
    kept: list[Pair] = []
    other: list[Pair] = []
    fingerprint = _Fingerprint(handed.rows.num_rows)
    for pair in _pairs(handed):
        is_overwritten, numbers = compare_bits(pair)
        if numbers is not None:
            kept.append(pair)
            if fingerprint.tells_rows_apart_with(numbers):
                return False
        elif not is_overwritten:  # an overwritten column shows nothing
            other.append(pair)
    changed: list[Pair] = []
    for pair in (pair for pair in other if not has_other_numbers(pair)):
        numbers = numbers_if_same(pair)
        if numbers is None:
            changed.append(pair)
            continue
        kept.append(pair)
        if fingerprint.tells_rows_apart_with(numbers):
            return False
    return bool(changed) and _one_permutation_explains(changed, kept)


class _Fingerprint:
    """Computes a fingerprint of each row from the values of the columns that have been added.

    If all fingerprints differ, no two rows are equal.
    """

    def __init__(self, count: int) -> None:
        self._numbers = np.zeros(count, np.uint64)
        self._columns = 0
        self._next_look = 0

    def tells_rows_apart_with(self, column: Numbers) -> bool:
        """Add a column to the fingerprints, and return whether all rows are now known to be different.

        False may also mean that this call did not check all rows, to save time. A column whose first values are all
        equal is not added.
        """
        first = column[: _SAMPLES[0]]
        if (first == first[:1]).all():
            return len(column) <= 1  # a column of equal values does not tell rows apart
        self._numbers += column
        self._numbers *= _ODD
        self._numbers ^= self._numbers >> _HALF  # doubles of small whole numbers differ in their high bits only
        self._columns += 1
        if any(_has_repeats(self._numbers[:count]) for count in _SAMPLES) or self._columns < self._next_look:
            return False
        self._next_look = self._columns + 1 + self._columns // 8
        return not _has_repeats(self._numbers)


def _has_repeats(numbers: Numbers) -> bool:
    ordered = np.sort(numbers)
    return bool((ordered[1:] == ordered[:-1]).any())


def _pairs(handed: HandedOver) -> Iterator[Pair]:
    """Yield each column that is still in the DataFrame or its index, with its original and its current values.

    Float columns come first, because they are fast to compare and seldom repeat values. Integer columns follow, then
    all others.
    """
    frame, rows, schema = handed.frame, handed.rows, handed.rows.schema
    positions = None if frame.columns is handed.columns else _positions(frame, rows.column_names)
    integers: list[int] = []
    others: list[int] = []
    for position in range(rows.num_columns) if positions is None else positions:
        type_ = schema.field(position).type
        if pa.types.is_floating(type_):
            yield _pair(handed, position, position if positions is None else positions[position])
        else:
            (integers if pa.types.is_integer(type_) else others).append(position)
    for position in (*integers, *others):
        yield _pair(handed, position, position if positions is None else positions[position])


def _pair(handed: HandedOver, position: int, current: int | str) -> Pair:
    """Return a column's values before and after the user's code ran.

    Args:
        handed: the DataFrame that the user's code got, and the original rows that it was made from.
        position: position of the column in the original rows.
        current: position of the column in the DataFrame, or the name of its index level.
    """
    was, frame, before = handed.rows.column(position), handed.frame, None
    now = frame.index.get_level_values(current).array if isinstance(current, str) else _values_of(frame, current)
    if handed.before is not None and not pa.types.is_nested(was.type):
        before = _values_of(handed.before, position)
    return Pair(was, now, before if isinstance(before, np.ndarray) and before.dtype == object else None)


def _values_of(frame: pd.DataFrame, position: int) -> Any:
    """Return the array of a DataFrame column, without the cost of creating a Series."""
    return frame._get_column_array(position)  # type: ignore[operator]  # noqa: SLF001 - see above


def _positions(frame: pd.DataFrame, found: list[str]) -> dict[int, int | str]:
    """Find the original columns in the DataFrame or its index.

    Columns are found by name. A column whose name no longer exists is found by position, unless the column at that
    position has another original column's name.

    Args:
        frame: the DataFrame after the user's code ran.
        found: names of the original columns.

    Returns:
        a dictionary from each original column's position to its position in the DataFrame or the name of its index
        level. Columns that are not found are omitted.
    """
    labels: list[Hashable] = list(frame.columns)
    by_name: dict[Hashable, int | str] = dict(zip(labels, range(len(labels)), strict=True))
    by_name |= {name: name for name in frame.index.names if isinstance(name, str) and name not in by_name}
    known = set(found)
    positions: dict[int, int | str] = {}
    for position, name in enumerate(found):
        if name in by_name:
            positions[position] = by_name[name]
        elif position < len(labels) and labels[position] not in known:
            positions[position] = position
    return positions


def _one_permutation_explains(changed: list[Pair], kept: list[Pair]) -> bool:
    """Return whether a new row order can explain how the user's code changed the columns of a DataFrame.

    Only columns that contain the same values as before, in a different order, can show that rows have moved. A column
    whose two values were swapped, as by ``1 - flag``, is not enough on its own.

    If two columns have moved together, and one of them has no repeated values, the result is True. Otherwise, a single
    row order must explain all columns that contain the same values as before, including unchanged columns.

    Args:
        changed: columns whose values have changed.
        kept: unchanged columns, which the new order must leave unchanged.
    """
    moved = [codes for pair in changed if (codes := _codes(pair)) is not None and codes.are_same_values]
    certain = [codes for codes in moved if not codes.is_recoded]
    if not certain:
        return False
    distinct = [codes for codes in certain if codes.is_distinct]
    if any(_moved_together([one, other]) for one in distinct for other in certain if other is not one):
        return True
    stayed = (codes for pair in kept if (codes := _codes(pair)) is not None)
    return _moved_together([*moved, *stayed])


@dataclass(frozen=True)
class _Codes:
    """Integer codes for the values of a column, before and after the user's code ran. Equal values have equal codes.

    Attributes:
        was: codes of the values before the user's code ran.
        now: codes of the values after it ran.
        are_two_numbers: whether the column has exactly two distinct values apart from NULL, and they are numbers or
            booleans.
        is_flag: whether these two values are 0 and 1, or False and True.
    """

    was: Codes
    now: Codes
    are_two_numbers: bool
    is_flag: bool

    @property
    def are_same_values(self) -> bool:
        return np.array_equal(np.sort(self.was), np.sort(self.now))

    @property
    def is_distinct(self) -> bool:
        return len(np.unique(self.was)) == len(self.was)

    @property
    def is_recoded(self) -> bool:
        """Whether a column's two values were only swapped, as by ``flag = 1 - flag``, which moves no row.

        For very short columns whose two values are not 0 and 1, this is False, because a move is more likely.
        """
        values = len(np.unique(self.was))
        if not self.is_flag and (not self.are_two_numbers or values > len(self.was) // 2):
            return False
        pairs = np.unique(self.was * (int(self.was.max()) + 1) + self.now)
        return len(pairs) == values


def _codes(pair: Pair) -> _Codes | None:
    """Encode a column's values before and after the user's code ran as integers, which are fast to compare.

    Return None if the new values cannot be converted to the column's original type.
    """
    now = to_arrow(pair.now, pair.was.type)
    if now is None:
        return None
    both = pa.concat_arrays([*without_nan(pair.was).chunks, *now.chunks])
    if pa.types.is_nested(both.type):
        both = pa.array([repr(value) for value in both.to_pylist()])
    numbers, dictionary = number_values(both)
    values = {value for value in dictionary[:4].to_pylist() if value is not None}
    is_number = pa.types.is_boolean(both.type) or pa.types.is_integer(both.type) or pa.types.is_floating(both.type)
    are_two = is_number and len(values) == _TWO
    half = len(numbers) // 2
    return _Codes(numbers[:half], numbers[half:], are_two, are_two and values == {0, 1})


def _moved_together(columns: list[_Codes]) -> bool:
    """Return whether these columns, taken together, contain the same rows as before the user's code ran, in any order.

    The caller must already have checked that the first column contains the same values as before.
    """
    was, now = columns[0].was, columns[0].now
    for column in columns[1:]:
        width = int(max(column.was.max(), column.now.max())) + 1
        both = np.concatenate([was * width + column.was, now * width + column.now])
        numbers = np.unique(both, return_inverse=True)[1]
        was, now = numbers[: len(was)], numbers[len(was) :]
        if not np.array_equal(np.sort(was), np.sort(now)):
            return False
    return True
