from __future__ import annotations

import heapq
import random
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import ConfigError
from sparkscore.minibatch import MiniBatch
from sparkscore.plan import InputFile, Plan, Snapshot, digest_of_files, first_mini_batches, plan_run
from sparkscore.stage.plan_file import PLAN_SCHEMA

# Up to 32 mini-batches have a work unit each; beyond that they share.
SIZES = st.lists(st.integers(0, 1000), max_size=20) | st.lists(st.integers(0, 1000), min_size=65, max_size=150)


def snapshot_of(sizes: list[int], kind: str = "files") -> Snapshot:
    files = tuple(InputFile(f"/in/{number:05d}", size, 7) for number, size in enumerate(sizes))
    return Snapshot(kind, "/in", digest_of_files(files), sum(sizes), len(files), files)


def planned(sizes: list[int], mini_batch_files: int = 1) -> tuple[Plan, dict[int, list[tuple[str, list[str]]]]]:
    plan = plan_run(snapshot_of(sizes), mini_batch_files, task_slots=8)
    assert plan.mini_batches is not None
    assert plan.mini_batches.schema == PLAN_SCHEMA
    units: dict[int, list[tuple[str, list[str]]]] = defaultdict(list)
    for row in plan.mini_batches.to_pylist():
        if not units[row["unit"]] or units[row["unit"]][-1][0] != row["mini_batch"]:
            units[row["unit"]].append((row["mini_batch"], []))
        units[row["unit"]][-1][1].append(row["path"])
    return plan, units


@given(SIZES, st.integers(1, 12))
def test_every_file_is_planned_once_and_mini_batches_are_neighbours_in_the_listing(sizes: list[int], size: int) -> None:
    plan, units = planned(sizes, size)

    mini_batches = sorted((int(name), files) for unit in units.values() for name, files in unit)
    paths = [file.path for file in plan.snapshot.files]
    assert [number for number, _ in mini_batches] == list(range(-(-len(sizes) // size)))
    assert [files for _, files in mini_batches] == [paths[at : at + size] for at in range(0, len(paths), size)]


@given(SIZES, st.integers(1, 12))
def test_a_plan_is_ordered_by_unit_and_no_unit_is_empty(sizes: list[int], size: int) -> None:
    plan, units = planned(sizes, size)

    assert plan.mini_batches is not None
    numbers = plan.mini_batches.column("unit").to_pylist()
    assert numbers == sorted(numbers)
    assert sorted(units) == list(range(plan.unit_count or 0))
    assert all([int(name) for name, _ in unit] == sorted(int(name) for name, _ in unit) for unit in units.values())


@given(SIZES, st.integers(1, 12))
def test_the_same_listing_gives_the_same_plan(sizes: list[int], size: int) -> None:
    assert planned(sizes, size)[0] == planned(sizes, size)[0]


@given(SIZES, st.integers(1, 12), st.integers(0, 1000))
def test_bytes_do_not_decide_what_is_in_a_mini_batch(sizes: list[int], size: int, other: int) -> None:
    found = [
        sorted(unit for units in planned(s, size)[1].values() for unit in units) for s in (sizes, [other] * len(sizes))
    ]

    assert found[0] == found[1]


@given(SIZES)
def test_no_unit_is_heavier_than_its_share_and_one_mini_batch(sizes: list[int]) -> None:
    plan, units = planned(sizes)

    weights = [sum(sizes[int(name)] + 1 for name, _ in unit) for unit in units.values()]
    rounds = -(-(plan.unit_count or 0) // 8)
    shares = [rounds - unit // 8 for unit in range(plan.unit_count or 0)]
    largest = max(shares, default=0) * sum(weights) / max(1, sum(shares))
    assert max(weights, default=0) <= largest + max(sizes, default=0) + 1


@pytest.mark.parametrize("task_slots", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("mini_batches", [5, 37, 333, 2000])
def test_equal_mini_batches_keep_all_slots_busy_to_the_last_one(task_slots: int, mini_batches: int) -> None:
    plan = plan_run(snapshot_of([100] * mini_batches), 1, task_slots)

    assert busiest(plan, task_slots) <= 100 * -(-mini_batches // task_slots) * 1.02


@pytest.mark.parametrize("times", [2, 4])
def test_a_slot_that_is_slower_does_not_keep_the_other_one_waiting(times: int) -> None:
    plan, free = plan_run(snapshot_of([100] * 2000), 1, task_slots=2), [(0, times), (0, 1)]

    assert plan.mini_batches is not None
    for unit in plan.mini_batches.group_by("unit").aggregate([("path", "count")]).to_pylist():
        at, slowness = heapq.heappop(free)
        heapq.heappush(free, (at + unit["path_count"] * slowness, slowness))

    assert max(free)[0] <= 1.1 * 2000 / (1 + 1 / times)


def test_the_largest_mini_batches_are_dealt_out_first() -> None:
    _, units = planned([1] * 640 + [1000])

    assert [unit for unit in units.values() if ("640", ["/in/00640"]) in unit] == [[("640", ["/in/00640"])]]


def busiest(plan: Plan, task_slots: int) -> int:
    """Return the bytes of the busiest task slot, where each free slot takes the next work unit."""
    assert plan.mini_batches is not None
    size_of = {file.path: file.size_bytes for file in plan.snapshot.files}
    units: dict[int, int] = defaultdict(int)
    for row in plan.mini_batches.to_pylist():
        units[row["unit"]] += size_of[row["path"]]
    slots = [0] * task_slots
    for _, size in sorted(units.items()):
        heapq.heapreplace(slots, slots[0] + size)
    return max(slots)


@pytest.mark.parametrize("task_slots", [2, 3, 4, 8, 16, 32, 64])
def test_one_large_file_among_small_ones_is_the_only_one_that_is_waited_for(task_slots: int) -> None:
    sizes = [100 * 1024] * 50 + [64 * 1024 * 1024] + [100 * 1024] * 49

    plan = plan_run(snapshot_of(sizes), 10, task_slots)

    assert busiest(plan, task_slots) == sizes[50] + 9 * sizes[0]  # its own mini-batch


@pytest.mark.parametrize("task_slots", [2, 5, 16, 64])
@pytest.mark.parametrize("mini_batch_files", [1, 10])
def test_files_of_very_different_sizes_keep_all_slots_busy(task_slots: int, mini_batch_files: int) -> None:
    sizes = [int(1000 / (1 - number / 5000) ** 0.9) for number in range(5000)]  # up to 2 MB, most of them 2 KB
    random.Random(task_slots).shuffle(sizes)  # noqa: S311

    plan = plan_run(snapshot_of(sizes), mini_batch_files, task_slots)

    largest = max(sum(sizes[start : start + mini_batch_files]) for start in range(0, len(sizes), mini_batch_files))
    assert busiest(plan, task_slots) <= 1.1 * max(largest, sum(sizes) / task_slots)


@given(SIZES, st.integers(1, 12))
def test_the_largest_units_come_first(sizes: list[int], size: int) -> None:
    plan, units = planned(sizes, size)

    size_of = {file.path: file.size_bytes for file in plan.snapshot.files}
    totals = [sum(size_of[path] + 1 / size for _, files in units[unit] for path in files) for unit in sorted(units)]
    assert all(later <= earlier + 1 for earlier, later in pairwise(totals))


def test_empty_files_are_spread_as_well() -> None:
    _, units = planned([0] * 640)

    assert [len(unit) for unit in units.values()] == [32] * 8 + [24] * 8 + [16] * 8 + [8] * 8


@pytest.mark.parametrize(("mini_batches", "units"), [(0, 0), (1, 1), (32, 32), (8192, 32), (8193, 33)])
def test_the_number_of_units_grows_with_the_number_of_mini_batches(mini_batches: int, units: int) -> None:
    assert planned([1] * mini_batches)[0].unit_count == units


def test_there_is_a_largest_number_of_units() -> None:
    assert plan_run(snapshot_of([1] * 2500), 1, task_slots=1000).unit_count == 2000


@pytest.mark.parametrize("task_slots", [1, 8])
def test_the_probe_gets_the_first_files_of_the_input_and_much_larger_ones_last(task_slots: int) -> None:
    plan = plan_run(snapshot_of([5000, 10, 20, 10, 30, 10, 20]), 2, task_slots)

    found = first_mini_batches(plan, 3)

    assert [each.mini_batch_id for each in found] == ["1", "2", "0"]
    assert found[0] == MiniBatch("1", ("/in/00002", "/in/00003"), input_position="1")


@given(SIZES.filter(bool), st.integers(1, 12))
def test_the_probe_gets_mini_batches_of_the_plan(sizes: list[int], size: int) -> None:
    plan, units = planned(sizes, size)

    found = first_mini_batches(plan, 10)

    assert sorted(int(each.mini_batch_id) for each in found) == list(range(min(10, -(-len(sizes) // size))))
    whole = dict(pair for unit in units.values() for pair in unit)
    assert all(list(each.files) == whole[each.mini_batch_id] for each in found)


def test_an_input_without_files_has_no_first_mini_batch() -> None:
    assert first_mini_batches(plan_run(snapshot_of([]), 10, 8), 10) == []
    assert first_mini_batches(Plan(snapshot_of([1], "csv")), 10) == []


def test_rows_are_not_planned_on_the_driver() -> None:
    plan = plan_run(snapshot_of([1, 2], "parquet"), None, task_slots=8)

    assert (plan.unit_count, plan.mini_batches, plan.snapshot.item_type) == (None, None, "rows")


def test_files_cannot_be_cut_by_bytes() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_run(snapshot_of([1]), None, task_slots=8)

    assert caught.value.code == "MINI_BATCH_SIZE"


@pytest.mark.parametrize(
    "other",
    [InputFile("/in/b", 1, 1), InputFile("/in/a", 2, 1), InputFile("/in/a", 1, 2), InputFile("/in/a\udcff", 1, 1)],
)
def test_the_digest_of_a_listing_depends_on_names_sizes_and_times(other: InputFile) -> None:
    file = InputFile("/in/a", 1, 1)

    assert digest_of_files([file]) == digest_of_files([InputFile("/in/a", 1, 1)]) != digest_of_files([other])
    assert digest_of_files([file, other]) != digest_of_files([other, file])
