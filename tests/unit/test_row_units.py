from __future__ import annotations

import heapq
from itertools import accumulate, groupby

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.minibatch import MiniBatchLimit
from sparkscore.row_units import (
    LARGE_GROUP,
    FileRows,
    LargeGroup,
    find_large_group,
    plan_row_units,
    ratio_to_ideal,
)

MB = 1024 * 1024
GROUPS = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 64 * MB)), max_size=4)
FILES = st.lists(GROUPS, max_size=6).map(
    lambda files: [
        FileRows(f"/in/{number}", tuple(rows for rows, _ in groups), tuple(size for _, size in groups))
        for number, groups in enumerate(files)
    ]
)
LIMITS = st.one_of(
    st.integers(1, 9000).map(lambda count: MiniBatchLimit(items=count)),
    st.integers(1, 10**6).map(lambda size: MiniBatchLimit(size_bytes=size)),
    st.just(MiniBatchLimit()),
)


def parts_of(units: pa.Table) -> list[tuple[int, str, int, int]]:
    return [(row["unit"], row["path"], row["first_row"], row["row_count"]) for row in units.to_pylist()]


def seconds(files: list[FileRows], units: pa.Table, task_slots: int) -> float:
    """Return the time that Spark needs at a megabyte a second, where each free slot takes the next work unit."""
    per_row = {file.path: sum(file.sizes) / max(1, sum(file.rows)) / MB for file in files}
    slots = [0.0] * task_slots
    for _, parts in groupby(parts_of(units), key=lambda part: part[0]):
        work = sum(count * per_row[path] for _, path, _, count in parts)
        heapq.heappush(slots, heapq.heappop(slots) + work)
    return max(slots)


@given(FILES, LIMITS, st.integers(1, 40))
def test_every_row_is_in_one_unit_and_a_unit_begins_where_a_mini_batch_begins(
    files: list[FileRows], limit: MiniBatchLimit, task_slots: int
) -> None:
    parts = parts_of(plan_row_units(files, limit, task_slots))

    for file in files:
        bounds = sorted((first, first + count) for _, path, first, count in parts if path == file.path)
        ends = [0, *(end for _, end in bounds)]
        assert ends[-1] == sum(file.rows)
        assert [first for first, _ in bounds] == ends[:-1]
        if limit.items:
            assert all(first % limit.items == 0 for first, _ in bounds)
        elif limit.is_file or sum(file.sizes) <= 128 * MB:
            assert len(bounds) <= 1
        else:
            assert {first for first, _ in bounds} <= {0, *accumulate(file.rows)}
    units = [unit for unit, _, _, _ in parts]
    assert units == sorted(units)
    assert set(units) == set(range(len(set(units))))
    assert all(count > 0 for _, _, _, count in parts)


@given(FILES, LIMITS, st.integers(1, 40))
def test_the_units_are_the_same_for_the_same_input(
    files: list[FileRows], limit: MiniBatchLimit, task_slots: int
) -> None:
    assert plan_row_units(files, limit, task_slots).equals(plan_row_units(files, limit, task_slots))


@pytest.mark.parametrize("task_slots", [1, 2, 3, 4, 8])
def test_one_large_file_among_many_small_ones_ends_with_the_others(task_slots: int) -> None:
    large = FileRows("/in/large", (160_000,) * 4, (16 * MB,) * 4)
    small = [FileRows(f"/in/{number}", (1000,), (100 * 1024,)) for number in range(99)]

    units = plan_row_units([*small[:50], large, *small[50:]], MiniBatchLimit(items=10_000), task_slots)

    ideal = (64 + 99 * 100 / 1024) / task_slots
    assert seconds([large, *small], units, task_slots) <= 1.1 * ideal


def work_of(files: list[FileRows], parts: list[tuple[int, str, int, int]]) -> float:
    """Return the work for parts of files in MB: to open each, to decode what is before it in a row group, to score."""
    file_of = {file.path: file for file in files}
    work = 0.0
    for _, path, first, count in parts:
        work += 1 / 8
        file = file_of[path]
        for end, rows, size in zip(accumulate(file.rows), file.rows, file.sizes, strict=True):
            start, till = max(first, end - rows), min(first + count, end)
            if start < till:
                work += (till - start + (start - (end - rows)) / 5) * size / rows / MB
    return work


def makespan(files: list[FileRows], units: pa.Table, task_slots: int) -> float:
    slots = [0.0] * task_slots
    for _, parts in groupby(parts_of(units), key=lambda part: part[0]):
        heapq.heapreplace(slots, slots[0] + work_of(files, list(parts)))
    return max(slots)


@pytest.mark.parametrize("task_slots", [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
@pytest.mark.parametrize("group_mb", [2, 4, 8, 16])
def test_one_large_file_costs_a_tenth_or_what_decoding_a_row_group_costs(group_mb: int, task_slots: int) -> None:
    groups = 64 // group_mb
    large = FileRows("/in/large", (10_000 * group_mb,) * groups, (group_mb * MB,) * groups)
    files = [*(FileRows(f"/in/{number}", (1000,), (100 * 1024,)) for number in range(99)), large]

    units = plan_row_units(files, MiniBatchLimit(items=1000), task_slots)

    ideal = sum(work_of(files, [(0, file.path, 0, sum(file.rows))]) for file in files) / task_slots
    assert makespan(files, units, task_slots) <= 1.1 * ideal + group_mb / 5


@pytest.mark.parametrize("task_slots", [2, 4, 8])
def test_thousands_of_tiny_files_beside_a_large_one_are_shared_by_all_slots(task_slots: int) -> None:
    large = FileRows("/in/large", (10_000,) * 64, (MB,) * 64)
    files = [large, *(FileRows(f"/in/{number}", (10,), (1024,)) for number in range(5000))]

    units = plan_row_units(files, MiniBatchLimit(items=1000), task_slots)

    ideal = (64 + 5000 / 1024 + 5001 / 8) / task_slots
    assert makespan(files, units, task_slots) <= 1.1 * ideal


@pytest.mark.parametrize("limit", [MiniBatchLimit(items=10_000), MiniBatchLimit(size_bytes=MB), MiniBatchLimit()])
def test_the_largest_units_come_first(limit: MiniBatchLimit) -> None:
    sizes = [1, 30, 2, 50, 4, 8]
    files = [FileRows(f"/in/{size}", (10_000 * size,), (size * MB,)) for size in sizes]

    parts = parts_of(plan_row_units(files, limit, 2))

    rows = [sum(count for *_, count in own) for _, own in groupby(parts, key=lambda part: part[0])]
    assert rows == sorted(rows, reverse=True)


def test_a_large_row_group_is_cut_only_where_slots_would_wait() -> None:
    one = FileRows("/in/one", (1_000_000,), (100 * MB,))
    limit = MiniBatchLimit(items=10_000)

    assert len({unit for unit, *_ in parts_of(plan_row_units([one], limit, 1))}) == 1
    assert seconds([one], plan_row_units([one], limit, 2), 2) == pytest.approx(50, rel=0.25)
    many = [FileRows(f"/in/{number}", (100_000,), (20 * MB,)) for number in range(40)]
    assert all(first == 0 for _, _, first, _ in parts_of(plan_row_units(many, limit, 4)))


def test_a_few_rows_are_not_spread_over_many_processes() -> None:
    units = plan_row_units([FileRows("/in/a", (20,), (200,))], MiniBatchLimit(items=1), 32)

    assert parts_of(units) == [(0, "/in/a", 0, 20)]


def test_a_large_input_has_few_units_and_small_ones_at_the_end() -> None:
    files = [FileRows(f"/in/{number}", (1_000_000,) * 8, (64 * MB,) * 8) for number in range(20)]

    units = plan_row_units(files, MiniBatchLimit(items=10_000), 2)

    rows = [sum(count for *_, count in own) for _, own in groupby(parts_of(units), key=lambda part: part[0])]
    assert len(rows) <= 22  # 512 MB each on average
    assert rows[0] >= 2 * rows[-1]
    assert makespan(files, units, 2) <= 1.02 * sum(rows) * 64 / 1_000_000 / 2


@pytest.mark.parametrize(("megabytes", "expected"), [(40, 2), (180, 2), (350, 4), (3500, 8)])
def test_units_take_much_longer_than_what_spark_needs_for_a_task(megabytes: int, expected: int) -> None:
    groups = megabytes // 5
    files = [FileRows("/in/a", (50_000,) * groups, (5 * MB,) * groups)]

    units = plan_row_units(files, MiniBatchLimit(items=10_000), 2)

    assert len(set(units.column("unit").to_pylist())) == expected
    assert makespan(files, units, 2) <= 1.05 * (megabytes / 2 + 1)


@pytest.mark.parametrize(("megabytes", "expected"), [(40, 2), (180, 2), (350, 2), (1000, 2), (1500, 4), (3500, 8)])
def test_a_fast_model_has_larger_units(megabytes: int, expected: int) -> None:
    groups = megabytes // 5
    files = [FileRows("/in/a", (50_000,) * groups, (5 * MB,) * groups)]

    units = plan_row_units(files, MiniBatchLimit(items=10_000), 2, is_fast=True)

    assert len(set(units.column("unit").to_pylist())) == expected
    assert makespan(files, units, 2) <= 1.05 * (megabytes / 2 + 1)


@pytest.mark.parametrize("task_slots", [1, 2, 6, 16])
@pytest.mark.parametrize("group_mb", [4, 16, 64])
def test_how_far_a_plan_is_from_the_ideal_is_known(group_mb: int, task_slots: int) -> None:
    groups = 64 // group_mb
    large = FileRows("/in/large", (10_000 * group_mb,) * groups, (group_mb * MB,) * groups)
    files = [*(FileRows(f"/in/{number}", (1000,), (100 * 1024,)) for number in range(99)), large]
    units = plan_row_units(files, MiniBatchLimit(items=1000), task_slots)

    ratio = ratio_to_ideal(files, units, task_slots)

    ideal = sum(work_of(files, [(0, file.path, 0, sum(file.rows))]) for file in files) / task_slots
    assert ratio == pytest.approx(makespan(files, units, task_slots) / ideal)
    assert ratio > 0.999
    assert ratio_to_ideal([], units.slice(0, 0), task_slots) == 1


def large_group_of(files: list[FileRows], task_slots: int, limit: MiniBatchLimit) -> LargeGroup | None:
    return find_large_group(files, plan_row_units(files, limit, task_slots), limit, task_slots)


@pytest.mark.parametrize(
    ("limit", "least", "most"), [(MiniBatchLimit(items=10_000), 1.2, 1.6), (MiniBatchLimit(size_bytes=MB), 3, 4)]
)
def test_a_row_group_that_makes_a_run_longer_is_found(limit: MiniBatchLimit, least: float, most: float) -> None:
    small = [FileRows(f"/in/{number}", (1000,), (100 * 1024,)) for number in range(9)]
    large = FileRows("/in/large", (30_000, 1_000_000), (20 * MB, 400 * MB))

    found = large_group_of([*small, large], 4, limit)

    assert found is not None
    assert (found.path, found.rows, found.size) == ("/in/large", 1_000_000, 400 * MB)
    assert least <= found.slowdown <= most
    divided = FileRows("/in/large", (40_000,) * 26, (16 * MB,) * 26)
    assert large_group_of([*small, divided], 4, limit) is None


@pytest.mark.parametrize(
    ("files", "task_slots", "limit"),
    [
        pytest.param([(1_000_000, 400)], 1, MiniBatchLimit(items=1000), id="one task slot"),
        pytest.param([(100_000, 64)] * 40, 4, MiniBatchLimit(items=1000), id="many files"),
        pytest.param([(40_000, 16)], 4, MiniBatchLimit(items=1000), id="no large row group"),
        pytest.param([(50_000, 20)], 4, MiniBatchLimit(items=1000), id="a small run"),
        pytest.param([(3, 400)], 4, MiniBatchLimit(items=3), id="fewer mini-batches than task slots"),
        pytest.param([(1_000_000, 400)], 4, MiniBatchLimit(items=10**6), id="one mini-batch"),
        pytest.param([(1_000_000, 100)], 4, MiniBatchLimit(size_bytes=MB), id="a file that is not cut"),
        pytest.param([(1_000_000, 400)], 4, MiniBatchLimit(), id="files as mini-batches"),
        pytest.param([], 4, MiniBatchLimit(items=1000), id="no files"),
    ],
)
def test_a_row_group_that_is_not_the_reason_is_not_found(
    files: list[tuple[int, int]], task_slots: int, limit: MiniBatchLimit
) -> None:
    of_one_group = [FileRows(f"/in/{number}", (rows,), (size * MB,)) for number, (rows, size) in enumerate(files)]

    assert large_group_of(of_one_group, task_slots, limit) is None


@given(FILES, LIMITS, st.integers(1, 40))
def test_only_a_large_row_group_of_the_input_is_found(
    files: list[FileRows], limit: MiniBatchLimit, task_slots: int
) -> None:
    found = large_group_of(files, task_slots, limit)

    groups = {(file.path, *group) for file in files for group in zip(file.rows, file.sizes, strict=True)}
    assert found is None or (found.size > LARGE_GROUP and found.slowdown > 1.1)
    assert found is None or (found.path, found.rows, found.size) in groups
