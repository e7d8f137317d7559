"""Divide rows that the workers read from files themselves into work units. Runs on the driver.

A work unit consists of parts of files, each with consecutive rows. The largest work units come first, so that Spark
starts them first. The small ones at the end even out how long the task slots are busy.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import pyarrow as pa

from sparkscore.minibatch import MiniBatchLimit
from sparkscore.stage.parts_file import PARTS_SCHEMA

# Between two work units, a task slot is idle for 50 ms, and for 250 to 550 ms where others use the cores too. Each work
# unit also adds a file to the result. A fast model scores 100 MB in a quarter of a second. If the model is known to be
# fast, a work unit of the largest size takes little more than a second.
_LARGEST_UNIT: Final = 512 * 1024 * 1024
_SMALLEST_UNIT: Final = 96 * 1024 * 1024
_UNITS_PER_SLOT: Final = 4
_MOST_UNITS: Final = 2000
# Small segments are dealt out more evenly. Those that follow each other in a work unit are read as one.
_SEGMENTS_PER_SLOT: Final = 8
_SEGMENTS_PER_UNIT: Final = 4
# If mini-batches are limited in bytes, only files larger than this are cut, as in Spark.
_LEAST_CUT: Final = 128 * 1024 * 1024
# Row groups are cut only if task slots would otherwise wait for more than a twentieth of the time, and if the run is
# then shorter. Each cut has a cost: the rows of the row group before the cut are decoded again, which takes about a
# fifth of the time for scoring them.
_GOOD: Final = 1.05
_SHORTER: Final = 1.02
_MOST_CUTS: Final = 16
_LEAST_ROWS: Final = 1000
_DECODING: Final = 0.2
# Reading a part of a file takes about a millisecond more than reading its rows, and a call of the scorer as much. In
# this time, a model with 100 trees scores about as many bytes.
_OPENING: Final = 128 * 1024
# A run is told of a large row group if smaller ones would make it shorter by a tenth and by the work for 8 MB. Below
# that, the other steps of a run take longer.
_SLOWER: Final = 1.1
_LEAST_LOSS: Final = 8 * 1024 * 1024
#: Size in bytes, before compression, up to which a row group is not large.
LARGE_GROUP: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of a file.

    Attributes:
        path: path of the file.
        rows: the number of rows of each row group.
        sizes: the size of each row group in bytes, before compression.
    """

    path: str
    rows: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LargeGroup:
    """A row group that makes a run longer.

    Attributes:
        path: path of its file.
        rows: number of rows.
        size: size in bytes, before compression.
        slowdown: the estimated work of the busiest task slot, divided by that with row groups of at most `LARGE_GROUP`.
    """

    path: str
    rows: int
    size: int
    slowdown: float


@dataclass(frozen=True, slots=True)
class _Segment:
    """Consecutive rows of a file that stay together.

    Attributes:
        file: number of the file.
        first_row: number of the first row in the file.
        row_count: number of rows.
        weight: the estimated work, in bytes.
    """

    file: int
    first_row: int
    row_count: int
    weight: float


def plan_row_units(
    files: Sequence[FileRows], limit: MiniBatchLimit, task_slots: int, *, is_fast: bool = False
) -> pa.Table:
    """Divide the rows of files into work units.

    Each work unit begins at the start of a mini-batch, so that the mini-batches depend only on the files and the limit:

    - If the limit is a number of rows, a work unit begins at a row whose number in the file is a multiple of the limit.
    - If it is a number of bytes, a work unit begins at the start of a file or, in files larger than 128 MB, of a row
      group.
    - If each mini-batch is a whole file, a work unit begins at the start of a file.

    Args:
        files: the files, in the order of the input.
        limit: the maximum size of a mini-batch.
        task_slots: number of tasks that can run at the same time.
        is_fast: whether scoring the rows is known to take no longer than reading them. There are fewer work units then.

    Returns:
        a table with the columns of `PARTS_SCHEMA`, ordered by work unit. Files without rows are left out.
    """
    least = _LARGEST_UNIT if is_fast else _SMALLEST_UNIT
    whole = _segments(files, limit, task_slots, least, cuts=1)
    best = _deal_out(whole, task_slots, least)
    ideal = sum(segment.weight for segment in whole) / task_slots
    cuts = 2
    while limit.items is not None and cuts <= _MOST_CUTS and _duration(best, task_slots) > _GOOD * ideal:
        found = _deal_out(_segments(files, limit, task_slots, least, cuts=cuts), task_slots, least)
        if _duration(found, task_slots) * _SHORTER < _duration(best, task_slots):
            best = found
        cuts *= 2
    numbered = [(unit, part) for unit, parts in enumerate(best) for part in _joined(parts)]
    columns = [
        [unit for unit, _ in numbered],
        [files[part.file].path for _, part in numbered],
        [part.first_row for _, part in numbered],
        [part.row_count for _, part in numbered],
    ]
    return pa.table([pa.array(*each) for each in zip(columns, PARTS_SCHEMA.types, strict=True)], schema=PARTS_SCHEMA)


def find_large_group(
    files: Sequence[FileRows], units: pa.Table, limit: MiniBatchLimit, task_slots: int, *, is_fast: bool = False
) -> LargeGroup | None:
    """Return the largest row group if a run would be clearly shorter with smaller row groups, or None.

    Args:
        files: the files, in the order of the input.
        units: the work units of these files, from `plan_row_units` with the same arguments.
        limit: the maximum size of a mini-batch.
        task_slots: number of tasks that can run at the same time.
        is_fast: whether scoring the rows is known to take no longer than reading them.
    """
    groups = [
        (size, rows, file.path)
        for file in files
        if max(file.sizes, default=0) > LARGE_GROUP and not _is_whole(file, limit)
        for size, rows in zip(file.sizes, file.rows, strict=True)
        if rows
    ]
    size, rows, path = max(groups, key=lambda group: group[0], default=(0, 0, ""))
    ideal = _ideal(files, task_slots)
    # A row group makes a run longer by its own size at most. The ratio of 100,000 files takes half a second.
    if size <= LARGE_GROUP or size <= (_SLOWER - 1) * ideal:
        return None
    ratio = ratio_to_ideal(files, units, task_slots)
    if ratio <= _SLOWER:
        return None
    smaller = [_with_small_groups(file) for file in files]
    possible = ratio_to_ideal(smaller, plan_row_units(smaller, limit, task_slots, is_fast=is_fast), task_slots)
    is_clear = ratio > _SLOWER * possible and (ratio - possible) * ideal >= _LEAST_LOSS
    return LargeGroup(path, rows, size, ratio / possible) if is_clear else None


def ratio_to_ideal(files: Sequence[FileRows], units: pa.Table, task_slots: int) -> float:
    """Return the estimated work of the busiest task slot, divided by that if all slots worked equally long.

    In the ideal, no row is decoded a second time either.

    Args:
        files: the files.
        units: the work units of these files, from `plan_row_units`.
        task_slots: number of tasks that can run at the same time.
    """
    parts: dict[str, list[tuple[int, int]]] = {}
    columns = (units.column(name).to_pylist() for name in ("unit", "path", "first_row"))
    for unit, path, first in zip(*columns, strict=True):
        parts.setdefault(path, []).append((first, unit))
    work: dict[int, float] = {}
    for file in files:
        own = sorted(parts.get(file.path, ()))
        bounds = [*(first for first, _ in own), sum(file.rows)]
        for (_, unit), weight in zip(own, _weights(file, bounds), strict=True):
            work[unit] = work.get(unit, 0.0) + weight + _OPENING
    slots = [0.0] * task_slots
    for unit in sorted(work):
        heapq.heapreplace(slots, slots[0] + work[unit])
    ideal = _ideal(files, task_slots)
    return max(slots) / ideal if ideal else 1.0


def _ideal(files: Sequence[FileRows], task_slots: int) -> float:
    return sum(sum(file.sizes) + _OPENING for file in files if sum(file.rows)) / task_slots


def _with_small_groups(file: FileRows) -> FileRows:
    """Return a file with the same rows, in row groups of at most `LARGE_GROUP` as far as the number of rows allows."""
    if max(file.sizes, default=0) <= LARGE_GROUP:
        return file
    rows: list[int] = []
    sizes: list[int] = []
    for count, size in zip(file.rows, file.sizes, strict=True):
        parts = max(1, min(count, -(-size // LARGE_GROUP)))
        rows += [count * (part + 1) // parts - count * part // parts for part in range(parts)]
        sizes += [size * (part + 1) // parts - size * part // parts for part in range(parts)]
    return FileRows(file.path, tuple(rows), tuple(sizes))


def _segments(
    files: Sequence[FileRows], limit: MiniBatchLimit, task_slots: int, least: int, cuts: int
) -> list[_Segment]:
    """Divide the files into segments of about the size that a work unit should have.

    Args:
        files: the files.
        limit: the maximum size of a mini-batch.
        task_slots: number of tasks that can run at the same time.
        least: bytes that a work unit should have at least.
        cuts: number of parts into which a row group may be divided.
    """
    sizes = [sum(file.sizes) for file in files]
    total = sum(sizes)
    target = (
        min(_target(total, task_slots, least) / _SEGMENTS_PER_UNIT, total / (_SEGMENTS_PER_SLOT * task_slots)) / cuts
    )
    segments: list[_Segment] = []
    for number, (file, size) in enumerate(zip(files, sizes, strict=True)):
        if size <= target:  # the bounds of 100,000 small files would take seconds
            if row_count := sum(file.rows):
                segments.append(_Segment(number, 0, row_count, size + _OPENING))
            continue
        bounds = _bounds(file, limit, cuts)
        weights = _weights(file, bounds)
        first, weight = 0, 0.0
        for (start, end), more in zip(pairwise(bounds), weights, strict=True):
            if weight and weight + more > target:
                segments.append(_Segment(number, first, start - first, weight + _OPENING))
                first, weight = start, 0.0
            weight += more
            if end == bounds[-1]:
                segments.append(_Segment(number, first, end - first, weight + _OPENING))
    return segments


def _target(total: int, task_slots: int, least: int) -> float:
    """Return the intended size of a work unit in bytes, given the size of the input."""
    wanted = max(task_slots, min(_UNITS_PER_SLOT * task_slots, -(-total // least)), -(-total // _LARGEST_UNIT))
    return total / min(wanted, max(_MOST_UNITS, task_slots))


def _bounds(file: FileRows, limit: MiniBatchLimit, cuts: int) -> list[int]:
    """Return the numbers of the rows at which a work unit may begin or end, from 0 to the number of rows.

    The list has a single element if the file has no rows.
    """
    ends = list(accumulate(file.rows))
    total = ends[-1] if ends else 0
    if not total:
        return [0]
    if _is_whole(file, limit):
        return [0, total]
    if limit.size_bytes:
        return sorted({0, *ends})
    step = limit.items or 1
    wished = [
        end - rows * part // parts
        for end, rows in zip(ends, file.rows, strict=True)
        for parts in [max(1, min(cuts, rows // _LEAST_ROWS))]
        for part in range(parts)
    ]
    return sorted({0, total, *(bound for wish in wished if (bound := -(-wish // step) * step) < total)})


def _is_whole(file: FileRows, limit: MiniBatchLimit) -> bool:
    """Return whether the rows of a file stay together, whatever its row groups are."""
    return limit.is_file or bool(limit.size_bytes and sum(file.sizes) <= _LEAST_CUT)


def _weights(file: FileRows, bounds: Sequence[int]) -> Iterator[float]:
    """Yield the estimated work for the rows between each pair of neighboring bounds.

    If the first bound of a pair lies inside a row group, the estimate includes the work of decoding the earlier rows
    of the row group again.
    """
    ends = list(accumulate(file.rows))
    per_row = [size / rows if rows else 0.0 for size, rows in zip(file.sizes, file.rows, strict=True)]
    for start, end in pairwise(bounds):
        group = bisect_left(ends, start + 1)
        begin = ends[group] - file.rows[group]
        weight, at = _DECODING * (start - begin) * per_row[group], start
        while at < end:
            till = min(end, ends[group])
            weight += (till - at) * per_row[group]
            at, group = till, group + 1
        yield weight


def _deal_out(segments: Sequence[_Segment], task_slots: int, least: int) -> list[list[_Segment]]:
    """Distribute segments over work units, and return the work units, the largest first."""
    total = sum(segment.weight for segment in segments)
    wanted = max(task_slots, min(_UNITS_PER_SLOT * task_slots, -(-int(total) // least)))
    count = min(len(segments), max(-(-wanted // task_slots) * task_slots, -(-int(total) // _LARGEST_UNIT)), _MOST_UNITS)
    units: list[list[_Segment]] = [[] for _ in range(count)]
    # The first work unit of each task slot gets the most, the last one the least: it evens out how long slots are busy.
    rounds = -(-count // task_slots)
    shares = [rounds - unit // task_slots for unit in range(count)]
    emptiest = [(0.0, unit) for unit in range(count)]
    for segment in sorted(segments, key=lambda segment: (-segment.weight, segment.file, segment.first_row)):
        filled, unit = heapq.heappop(emptiest)
        units[unit].append(segment)
        heapq.heappush(emptiest, (filled + segment.weight / shares[unit], unit))
    in_order = [sorted(unit, key=lambda segment: (segment.file, segment.first_row)) for unit in units]
    return sorted(in_order, key=lambda unit: (-_weight(unit), unit[0].file, unit[0].first_row))


def _weight(unit: Sequence[_Segment]) -> float:
    return sum(segment.weight for segment in unit)


def _duration(units: Sequence[Sequence[_Segment]], task_slots: int) -> float:
    """Return the work of the busiest task slot if each free slot takes the next work unit, as in Spark."""
    slots = [0.0] * task_slots
    for unit in units:
        heapq.heappush(slots, heapq.heappop(slots) + _weight(unit))
    return max(slots)


def _joined(parts: Sequence[_Segment]) -> Iterator[_Segment]:
    """Yield the segments, after joining those that directly follow each other in a file."""
    held: _Segment | None = None
    for part in parts:
        if held is not None and (held.file, held.first_row + held.row_count) == (part.file, part.first_row):
            held = _Segment(held.file, held.first_row, held.row_count + part.row_count, held.weight + part.weight)
            continue
        if held is not None:
            yield held
        held = part
    if held is not None:
        yield held
