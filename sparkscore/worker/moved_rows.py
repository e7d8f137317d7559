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
from pandas.arrays import DatetimeArray, TimedeltaArray

from sparkscore.scorers.frames import HandedOver

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

# Numbers of rows that are looked at first: where two of them are equal, the others need not be.
_SAMPLES: Final = (64, 1024)
# Spreads the bits of the columns before; a number that is there twice by chance costs a later look, nothing else.
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
_TWO: Final = 2


def moved_how(handed: HandedOver) -> str | None:
    """Say how the rows of a frame that user code got have moved; None where nothing shows that they have.

    An index of the same labels in another order shows it, and another number of rows. So do columns whose values are
    all there but in other rows, if one permutation explains them. A column that is as it was and has no value twice
    settles that no row has moved. Columns that were overwritten with other values, dropped or added say nothing.
    """
    frame, rows = handed.frame, handed.rows
    if len(frame) != rows.num_rows:
        return f"{len(frame)} rows in the DataFrame that it was given, which had {rows.num_rows}"
    if _is_mixed(frame.index):
        return "the DataFrame that it was given with its index in another order"
    if _have_labels_moved(handed) or _are_moved(handed):
        return "the DataFrame that it was given with its rows in another order"
    return None


def _is_mixed(index: pd.Index[Any]) -> bool:
    if isinstance(index, pd.RangeIndex):
        return index.step < 0 and len(index) > 1
    if isinstance(index, pd.MultiIndex) or not pd.api.types.is_integer_dtype(index.dtype):
        return False
    return not index.is_monotonic_increasing and index.sort_values().equals(pd.RangeIndex(len(index)))


def _have_labels_moved(handed: HandedOver) -> bool:
    """Whether labels of the mini-batch stand at other rows, with values of theirs: rows were dropped and others added.

    Labels alone do not show it: a script may number its rows from 1.
    """
    index, count = handed.frame.index, handed.rows.num_rows
    is_plain = isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(count))
    if is_plain or index.name is not None or not pd.api.types.is_integer_dtype(index.dtype):
        return False
    labels = index.to_numpy()
    places = np.flatnonzero((labels >= 0) & (labels < count) & (labels != np.arange(count)))
    found = (codes for pair in _pairs(handed) if (codes := _codes(pair)) is not None) if len(places) else iter(())
    return any(
        np.array_equal(codes.was[labels[places]], codes.now[places])
        and not np.array_equal(codes.was[places], codes.now[places])
        for codes in found
    )


@dataclass(frozen=True)
class _Pair:
    """A column as it was, and as it is now.

    Attributes:
        was: its values as they were.
        now: its values now.
        objects: the Python objects that it had; None where it had none.
    """

    was: pa.ChunkedArray
    now: Any
    objects: npt.NDArray[Any] | None


def _are_moved(handed: HandedOver) -> bool:
    """Compare bits and references first, which usually settles it; values only where these are not as they were."""
    kept: list[_Pair] = []
    other: list[_Pair] = []
    fingerprint = _Fingerprint(handed.rows.num_rows)
    for pair in _pairs(handed):
        is_overwritten, numbers = _look_at(pair)
        if numbers is not None:
            kept.append(pair)
            if fingerprint.tells_rows_apart_with(numbers):
                return False
        elif not is_overwritten:  # which says nothing
            other.append(pair)
    changed: list[_Pair] = []
    for pair in (pair for pair in other if not _has_other_numbers(pair)):
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
        self._next_look = 0

    def tells_rows_apart_with(self, column: Numbers) -> bool:
        """Add a column, and tell whether no number is there twice. That takes time, so it is not done every time."""
        first = column[: _SAMPLES[0]]
        if (first == first[:1]).all():
            return len(column) <= 1  # it seems to tell no rows apart
        self._numbers += column
        self._numbers *= _ODD
        self._numbers ^= self._numbers >> _HALF  # small whole numbers as doubles have high bits only
        self._columns += 1
        if any(_has_repeats(self._numbers[:count]) for count in _SAMPLES) or self._columns < self._next_look:
            return False
        self._next_look = self._columns + 1 + self._columns // 8
        return not _has_repeats(self._numbers)


def _has_repeats(numbers: Numbers) -> bool:
    ordered = np.sort(numbers)
    return bool((ordered[1:] == ordered[:-1]).any())


def _pairs(handed: HandedOver) -> Iterator[_Pair]:
    """Give the columns that are still there: first those that are cheap to compare and that tell many rows apart."""
    frame, rows, schema = handed.frame, handed.rows, handed.rows.schema
    places = None if frame.columns is handed.columns else _places(frame, rows.column_names)
    integers: list[int] = []
    others: list[int] = []
    for position in range(rows.num_columns) if places is None else places:
        type_ = schema.field(position).type
        if pa.types.is_floating(type_):
            yield _pair(handed, position, position if places is None else places[position])
        else:
            (integers if pa.types.is_integer(type_) else others).append(position)
    for position in (*integers, *others):
        yield _pair(handed, position, position if places is None else places[position])


def _pair(handed: HandedOver, position: int, place: int | str) -> _Pair:
    was, frame, before = handed.rows.column(position), handed.frame, None
    now = frame.index.get_level_values(place).array if isinstance(place, str) else _values_of(frame, place)
    if handed.before is not None and not pa.types.is_nested(was.type):
        before = _values_of(handed.before, position)
    return _Pair(was, now, before if isinstance(before, np.ndarray) and before.dtype == object else None)


def _values_of(frame: pd.DataFrame, position: int) -> Any:
    """Give the array behind a column. A Series of each column would take most of the time of the comparison."""
    return frame._get_column_array(position)  # type: ignore[operator]  # noqa: SLF001 - see above


def _places(frame: pd.DataFrame, found: list[str]) -> dict[int, int | str]:
    """Find each column by its name, also in the index; one that was renamed stands where it stood.

    Returns:
        by its position in the rows, the position in the DataFrame, or the name of the index's level.
    """
    labels: list[Hashable] = list(frame.columns)
    by_name: dict[Hashable, int | str] = dict(zip(labels, range(len(labels)), strict=True))
    by_name |= {name: name for name in frame.index.names if isinstance(name, str) and name not in by_name}
    known = set(found)
    places: dict[int, int | str] = {}
    for position, name in enumerate(found):
        if name in by_name:
            places[position] = by_name[name]
        elif position < len(labels) and labels[position] not in known:
            places[position] = position
    return places


def _look_at(pair: _Pair) -> tuple[bool, Numbers | None]:
    """Compare the bits of a column, or the references of its objects, with those that it had.

    Returns:
        whether it was overwritten with other values, and numbers that stand for its values if it is as it was; False
        and None where that takes more time to know.
    """
    if _has_lost_nan(pair):
        return True, None
    before, after = _raw(pair)
    if before is None or after is None or before.dtype != after.dtype:
        return False, None
    bits, bits_now = _bits(before), _bits(after)
    if pa.py_buffer(bits).equals(pa.py_buffer(bits_now)):
        return False, bits.astype(np.uint64, copy=False)
    first = slice(_SAMPLES[0])
    changed = after[first][bits[first] != bits_now[first]]
    return pair.objects is None and _has_new_value(before, changed), None


def _has_lost_nan(pair: _Pair) -> bool:
    """Whether values are missing in fewer rows than before, as after `fillna`."""
    now = pair.now
    if not pair.was.null_count or not isinstance(now, np.ndarray) or now.dtype.kind != "f":
        return False
    return bool(_count_nan(now) < pair.was.null_count)


def _has_new_value(before: npt.NDArray[Any], changed: npt.NDArray[Any]) -> bool:
    """Whether the largest or the least of some values that changed is one that the column did not have."""
    if not len(changed) or (changed.dtype.kind in "fMm" and np.isnan(changed).any()):  # NaN is not equal to itself
        return False
    return not all(bool((before == value).any()) for value in (changed.max(), changed.min()))


def _raw(pair: _Pair) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Give a column as it was and as it is now in arrays of one kind, which are views where there are any."""
    now = pair.now
    if pair.objects is not None:
        is_object = isinstance(now, np.ndarray) and now.dtype == object
        return (_addresses(pair.objects), _addresses(now)) if is_object else (None, None)
    if isinstance(now, (DatetimeArray, TimedeltaArray)):  # the times in UTC, whatever the zone
        kind = "M8" if isinstance(now, DatetimeArray) else "m8"
        return _array_of(pair.was), getattr(now, "asi8").view(f"{kind}[{now.unit}]")  # noqa: B009 - the stubs lack it
    return (_array_of(pair.was), now) if isinstance(now, np.ndarray) and now.dtype.kind in "iufb" else (None, None)


def _array_of(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    is_whole = column.num_chunks == 1
    array: npt.NDArray[Any] = column.chunk(0).to_numpy(zero_copy_only=False) if is_whole else column.to_numpy()
    return array


class _References:
    """Shows the references of an array of Python objects as numbers."""

    def __init__(self, objects: npt.NDArray[Any]) -> None:
        self._objects = objects
        shown = objects.__array_interface__
        self.__array_interface__ = {**shown, "typestr": np.dtype(np.uintp).str, "descr": [("", np.dtype(np.uintp).str)]}


def _addresses(objects: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give a number for each object: the same number is the same object."""
    return np.asarray(_References(objects))


def _has_other_numbers(pair: _Pair) -> bool:
    """Whether the least number of a column is another, the largest, or how many are missing: it was overwritten."""
    if not (pa.types.is_integer(pair.was.type) or pa.types.is_floating(pair.was.type)) or not len(pair.was):
        return False
    if not isinstance(pair.now, np.ndarray) or pair.now.dtype.kind not in "iuf":
        return False
    before, after = _array_of(pair.was), pair.now
    # The first two pass over NaN.
    measures = (np.fmin.reduce, np.fmax.reduce, _count_nan)
    found = ((measure(before), measure(after)) for measure in measures)
    return any(was != now and not (np.isnan(was) and np.isnan(now)) for was, now in found)


def _count_nan(values: npt.NDArray[Any]) -> int:
    return int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0


def _numbers_if_same(pair: _Pair) -> Numbers | None:
    """Give numbers that stand for the values of a column that is as it was; None where it is not."""
    before, after = _without_nan(pair.was), _to_arrow(pair.now, pair.was.type)
    if after is None or not after.equals(before):
        return None
    if pa.types.is_nested(pair.was.type):
        return np.zeros(len(pair.was), np.uint64)
    return _number(before)[0].astype(np.uint64)


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
