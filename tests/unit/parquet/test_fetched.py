"""Objects of a store as files for PyArrow, over a file in memory that counts the requests that a store would get."""

from __future__ import annotations

import io
import os
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.parquet import fetched
from sparkscore.parquet.fetched import FetchedObject, join_ranges, ranges_of

SIZE = 1_000_000
RANGES = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).map(lambda each: (each[0], sum(each))))


class Store(io.BytesIO):
    """The content of an object, and the ranges that were requested of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.content = content
        self.requests: list[tuple[int, int]] = []

    def size(self) -> int:
        return len(self.content)

    def read_at(self, count: int, start: int) -> bytes:
        self.requests.append((start, start + count))
        return self.content[start : start + count]


@given(RANGES)
def test_each_range_is_a_part_of_one_that_is_fetched(ranges: list[tuple[int, int]]) -> None:
    joined = join_ranges(ranges, SIZE)

    for start, end in ranges:
        assert any(first <= start and min(end, SIZE) <= last for first, last in joined)
    assert joined == sorted(joined)
    assert all(first < last <= SIZE for first, last in joined)


def test_ranges_are_joined_over_small_gaps_up_to_a_size() -> None:
    gap, most = fetched._GAP_BYTES, fetched._MOST_BYTES

    assert join_ranges([(gap + 10, gap + 20), (0, 10)], 10 * most) == [(0, gap + 20)]
    assert join_ranges([(0, 10), (gap + 11, gap + 20)], 10 * most) == [(0, 10), (gap + 11, gap + 20)]
    assert join_ranges([(0, 10), (10, most), (most, most + 1)], 10 * most) == [(0, most), (most, most + 1)]
    assert join_ranges([(0, 3 * most)], 10 * most) == [(0, 3 * most)]


def nested_file(writer: str = "2.6") -> bytes:
    """Return a file of two row groups, with columns whose names contain others."""
    numbers = np.random.default_rng(1).permutation(20_000)
    table = pa.table(
        {
            "a": numbers,
            "a.b": numbers + 1,
            "ab": [str(each) for each in numbers],
            "s": pa.array([{"x": int(each), "y": [int(each)]} for each in numbers]),
            "last": pa.array(numbers).dictionary_encode(),
        }
    )
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=10_000, version=writer)
    return content.getvalue()


def read_groups(store: Store, columns: Collection[str]) -> pa.Table:
    source = FetchedObject(store)
    file = pq.ParquetFile(source, pre_buffer=False, buffer_size=0)
    batches = []
    for group in range(file.num_row_groups):
        source.fetch(ranges_of(file.metadata.row_group(group), columns))
        batches += list(file.iter_batches(3_000, [group], columns=list(columns), use_threads=False))
    return pa.Table.from_batches(batches)


@pytest.mark.parametrize(
    "columns", [["a"], ["a.b"], ["ab"], ["s"], ["last"], ["a", "s"], ["a", "a.b", "ab", "s", "last"]]
)
def test_columns_of_a_row_group_are_fetched_before_they_are_read(
    columns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched, "_SMALL_BYTES", 0)
    monkeypatch.setattr(fetched, "_GAP_BYTES", 0)
    content = nested_file()
    store = Store(content)

    found = read_groups(store, columns)

    assert found.equals(pq.read_table(io.BytesIO(content), columns=columns))
    metadata = pq.read_metadata(io.BytesIO(content))
    wanted = [join_ranges(ranges_of(metadata.row_group(group), columns), len(content)) for group in range(2)]
    assert sorted(store.requests[1:]) == [each for ranges in wanted for each in ranges]
    assert sum(end - start for start, end in store.requests[1:]) < len(content) * (1 if len(columns) > 3 else 0.7)


def test_columns_far_from_each_other_are_fetched_in_threads_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "_SMALL_BYTES", 0)
    monkeypatch.setattr(fetched, "_GAP_BYTES", -1_000)
    content = nested_file()
    store = Store(content)

    columns = ["ab", "s", "last"]
    assert read_groups(store, columns).equals(pq.read_table(io.BytesIO(content), columns=columns))

    # For the footer; and in each row group for two columns, and for two columns inside of the third.
    assert len(store.requests) == 1 + 2 * 4


def test_a_small_object_is_fetched_as_a_whole() -> None:
    content = nested_file()
    store = Store(content)

    assert read_groups(store, ["a", "last"]).equals(pq.read_table(io.BytesIO(content), columns=["a", "last"]))

    assert store.requests == [(0, len(content))]


def test_bytes_that_were_not_fetched_are_fetched_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "_SMALL_BYTES", 0)
    store = Store(bytes(range(100)))
    file = FetchedObject(store)
    file.fetch([(10, 20)])

    assert (file.seek(15), file.read(5), file.tell()) == (15, bytes(range(15, 20)), 20)
    assert (file.seek(-2, os.SEEK_CUR), file.read(4)) == (18, bytes(range(18, 22)))
    assert (file.seek(-3, os.SEEK_END), file.read(10), file.read()) == (97, bytes(range(97, 100)), b"")
    assert store.requests == [(10, 20), (18, 22), (97, 100), (100, 100)]
    assert not file.closed
    file.close()
    assert file.closed
