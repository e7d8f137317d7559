"""Find out whether user code moved the rows of the DataFrame that it was given (worker, child).

The rows as they were are Arrow's, which user code never sees; pandas' are what it left behind.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

# Rows that are looked at first: where two of them are equal, the others need not be.
_SAMPLE: Final = 64
# Spreads the bits of the columns before; a number that is there twice by chance costs a later look, nothing else.
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_TWO: Final = 2


def moved_how(frame: pd.DataFrame, rows: pa.Table) -> str | None:
    """Say how the rows of a frame that was made of ``rows`` have moved; None where nothing shows that they have.

    An index of the same labels in another order shows it, and another number of rows. So do columns whose values are
    all there but in other rows, if one permutation explains them. A column that is as it was and has no value twice
    settles that no row has moved. Columns that were overwritten with other values, dropped or added say nothing.
    """
    if len(frame) != rows.num_rows:
        return f"{len(frame)} rows in the DataFrame that it was given, which had {rows.num_rows}"
    if _is_mixed(frame.index):
        return "the DataFrame that it was given with its index in another order"
    if _are_moved(frame, rows):
        return "the DataFrame that it was given with its rows in another order"
    return None


def _is_mixed(index: pd.Index[Any]) -> bool:
    if isinstance(index, pd.RangeIndex):
        return index.step < 0 and len(index) > 1
    if isinstance(index, pd.MultiIndex) or not pd.api.types.is_integer_dtype(index.dtype):
        return False
    return not index.is_monotonic_increasing and index.sort_values().equals(pd.RangeIndex(len(index)))


@dataclass(frozen=True)
class _Pair:
    """A column as it was, and as it is now."""

    was: pa.ChunkedArray
    now: Any


def _are_moved(frame: pd.DataFrame, rows: pa.Table) -> bool:
    kept: list[_Pair] = []
    changed: list[_Pair] = []
    fingerprint = _Fingerprint(rows.num_rows)
    for pair in _pairs(frame, rows):
        numbers = _numbers_if_same(pair)
        if numbers is None:
            changed.append(pair)
            continue
        kept.append(pair)
        if fingerprint.tells_rows_apart_with(numbers):
            return False
    return bool(changed) and _one_permutation_explains(changed, kept)


class _Fingerprint:
    """A number for each row, made of columns: rows with other numbers are other rows."""

    def __init__(self, count: int) -> None:
        self._numbers = np.zeros(count, np.uint64)
        self._columns = 0
        self._next_look = 1

    def tells_rows_apart_with(self, column: Numbers) -> bool:
        """Add a column, and tell whether no number is there twice. That takes time, so it is not done every time."""
        self._numbers *= _ODD
        self._numbers += column
        self._columns += 1
        if self._columns < self._next_look:
            return False
        self._next_look *= 2
        return not _has_repeats(self._numbers[:_SAMPLE]) and not _has_repeats(self._numbers)


def _has_repeats(numbers: Numbers) -> bool:
    ordered = np.sort(numbers)
    return bool((ordered[1:] == ordered[:-1]).any())


def _pairs(frame: pd.DataFrame, rows: pa.Table) -> Iterator[_Pair]:
    """Give the columns that are still there, those that are cheap to compare first."""
    places = _places(frame, rows)
    types = dict(zip(rows.column_names, rows.schema.types, strict=True))
    has_unique_names = frame.columns.is_unique
    for name in sorted(places, key=lambda name: _cost(types[name])):
        place = places[name]
        if place is None:
            yield _Pair(rows.column(name), frame.index.get_level_values(name))
        else:
            now = frame[frame.columns[place]] if has_unique_names else frame.iloc[:, place]
            yield _Pair(rows.column(name), now)


def _places(frame: pd.DataFrame, rows: pa.Table) -> dict[str, int | None]:
    """Find each column by its name, also in the index; one that was renamed stands where it stood."""
    labels: list[Hashable] = list(frame.columns)
    found = rows.column_names
    if labels == found:
        return dict(zip(found, range(len(found)), strict=True))
    by_name: dict[Hashable, int | None] = dict(zip(labels, range(len(labels)), strict=True))
    by_name |= {name: None for name in frame.index.names if name not in by_name}
    known = set(found)
    places: dict[str, int | None] = {}
    for position, name in enumerate(found):
        if name in by_name:
            places[name] = by_name[name]
        elif position < len(labels) and labels[position] not in known:
            places[name] = position
    return places


def _cost(type_: pa.DataType) -> int:
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return 0
    return 2 if pa.types.is_nested(type_) else 1


def _numbers_if_same(pair: _Pair) -> Numbers | None:
    """Give numbers that stand for the values of a column that is as it was; None where it is not."""
    was, now = pair.was, pair.now
    is_number = pa.types.is_integer(was.type) or pa.types.is_floating(was.type)
    if is_number and isinstance(now.dtype, np.dtype) and now.dtype.kind in "iuf":
        before, after = _bits(was.to_numpy()), _bits(now.to_numpy())
        if before.dtype == after.dtype and bool((before == after).all()):
            return before.astype(np.uint64, copy=False)
    before_arrow, after_arrow = _without_nan(was), _to_arrow(now, was.type)
    if after_arrow is None or not after_arrow.equals(before_arrow):
        return None
    if pa.types.is_nested(was.type):
        return np.zeros(len(was), np.uint64)
    return _number(before_arrow)[0].astype(np.uint64)


def _bits(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def _to_arrow(values: Any, type_: pa.DataType) -> pa.ChunkedArray | None:
    """Give values in the type that the column had, NaN as NULL; None where they are others."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.dtype.categories.dtype)
    try:
        array = pa.array(pd.Series(values), type=type_, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None
    return _without_nan(array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array]))


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give NULL for NaN, which pandas does not tell apart, and the column in one piece."""
    if pa.types.is_floating(column.type):
        return pa.chunked_array([pa.array(column.to_numpy(), type=column.type, from_pandas=True)])
    if column.num_chunks == 1:
        return column
    return pa.chunked_array([pa.concat_arrays(column.chunks)] if column.chunks else [], type=column.type)


def _one_permutation_explains(changed: list[_Pair], kept: list[_Pair]) -> bool:
    moved = [codes for pair in changed if (codes := _codes(pair)) is not None and codes.are_same_values]
    certain = [codes for codes in moved if not codes.is_recoded]
    if not certain:
        return False
    # Two columns that moved in one way are no chance, whatever became of the others.
    first = next((codes for codes in certain if codes.is_distinct), None)
    if first is not None and any(_moved_together([first, other]) for other in certain if other is not first):
        return True
    stayed = (codes for pair in kept if (codes := _codes(pair)) is not None)
    return _moved_together([*moved, *stayed])


@dataclass(frozen=True)
class _Codes:
    """The values of a column as numbers, before and after: equal numbers for equal values."""

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
        """Whether the two values of a column were exchanged, as ``flag = 1 - flag`` does; rows need not have moved."""
        values = len(np.unique(self.was))
        if not self.is_flag and (not self.are_two_numbers or values > len(self.was) // 2):
            return False
        pairs = np.unique(self.was * (int(self.was.max()) + 1) + self.now)
        return len(pairs) == values


def _codes(pair: _Pair) -> _Codes | None:
    """Number the values of a column; None where it now has values of another kind."""
    now = _to_arrow(pair.now, pair.was.type)
    if now is None:
        return None
    both = pa.concat_arrays([*_without_nan(pair.was).chunks, *now.chunks])
    if pa.types.is_nested(both.type):
        both = pa.array([repr(value) for value in both.to_pylist()])
    numbers, dictionary = _number(both)
    values = {value for value in dictionary[:4].to_pylist() if value is not None}
    is_number = pa.types.is_boolean(both.type) or pa.types.is_integer(both.type) or pa.types.is_floating(both.type)
    are_two = is_number and len(values) == _TWO
    half = len(numbers) // 2
    return _Codes(numbers[:half], numbers[half:], are_two, are_two and values == {0, 1})


def _number(column: pa.Array | pa.ChunkedArray) -> tuple[Codes, pa.Array]:
    """Give equal numbers for equal values, and the values."""
    whole = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    encoded = whole.dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def _moved_together(columns: list[_Codes]) -> bool:
    """Tell whether the rows of some columns are the same rows in another order."""
    was, now = columns[0].was, columns[0].now
    for column in columns[1:]:
        width = int(max(column.was.max(), column.now.max())) + 1
        both = np.concatenate([was * width + column.was, now * width + column.now])
        numbers = np.unique(both, return_inverse=True)[1]
        was, now = numbers[: len(was)], numbers[len(was) :]
        if not np.array_equal(np.sort(was), np.sort(now)):
            return False
    return True
