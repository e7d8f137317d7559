from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import ScoringError
from sparkscore.minibatch import BLOCK_COLUMNS, SOURCE_FILE_COLUMN, MiniBatch, MiniBatchLimit, split_into_mini_batches

TEXTS = st.text("ab", max_size=40) | st.none()
FILES = st.lists(
    st.tuples(st.sampled_from(["file:/a", "file:/b", "file:/c", None]), st.lists(TEXTS, max_size=12)), max_size=5
)
CUTS = st.lists(st.integers(0, 9), max_size=30)


def rows_of(files: list[tuple[str | None, list[str | None]]]) -> pa.Table:
    rows = [(file, value) for file, values in files for value in values]
    return pa.table(
        {
            "text": pa.array([value for _, value in rows], pa.string()),
            "number": pa.array(range(len(rows)), pa.int64()),
            SOURCE_FILE_COLUMN: pa.array([file for file, _ in rows], pa.string()),
        }
    )


def cut(rows: pa.Table, lengths: list[int]) -> Iterator[pa.RecordBatch]:
    """Cut rows into record batches as Spark might, some of them empty."""
    whole = rows.combine_chunks().to_batches()[0] if rows.num_rows else pa.RecordBatch.from_pylist([], rows.schema)
    start = 0
    for length in lengths:
        yield whole.slice(start, length)
        start += length
    yield whole.slice(start)


def split(rows: pa.Table, limit: MiniBatchLimit, lengths: list[int]) -> list[MiniBatch]:
    return list(split_into_mini_batches(cut(rows, lengths), limit, unit=3))


@given(FILES, CUTS, st.integers(1, 7), st.sampled_from(["items", "bytes"]))
def test_mini_batches_joined_are_the_input_and_none_crosses_a_file(
    files: list[tuple[str | None, list[str | None]]], lengths: list[int], size: int, unit: str
) -> None:
    rows = rows_of(files)
    limit = MiniBatchLimit(size_bytes=size * 20) if unit == "bytes" else MiniBatchLimit(items=size)

    found = split(rows, limit, lengths)

    joined = [
        (mini_batch.files[0] if mini_batch.files else None, *row.values())
        for mini_batch in found
        if mini_batch.rows is not None
        for row in mini_batch.rows.to_pylist()
    ]
    assert joined == [(row[SOURCE_FILE_COLUMN], row["text"], row["number"]) for row in rows.to_pylist()]
    assert all(mini_batch.item_count for mini_batch in found)
    assert [mini_batch.mini_batch_id for mini_batch in found] == [f"3-{position}" for position in range(len(found))]
    assert all(
        mini_batch.rows is not None and mini_batch.rows.column_names == ["text", "number"] for mini_batch in found
    )


@given(FILES, CUTS, st.integers(1, 7))
def test_all_but_the_last_mini_batch_of_a_file_have_the_configured_size_however_spark_cuts(
    files: list[tuple[str | None, list[str | None]]], lengths: list[int], size: int
) -> None:
    rows = rows_of(files)

    found = split(rows, MiniBatchLimit(items=size), lengths)

    per_file = [len(list(group)) for _, group in groupby(rows.column(SOURCE_FILE_COLUMN).to_pylist())]
    expected = [min(size, count - start) for count in per_file for start in range(0, count, size)]
    assert [mini_batch.item_count for mini_batch in found] == expected


@given(FILES, CUTS, st.integers(1, 120))
def test_only_a_single_row_exceeds_the_limit_in_bytes_however_spark_cuts(
    files: list[tuple[str | None, list[str | None]]], lengths: list[int], size_bytes: int
) -> None:
    found = split(rows_of(files), MiniBatchLimit(size_bytes=size_bytes), lengths)

    sizes = [
        [8 + 4 + len(row["text"] or "") for row in mini_batch.rows.to_pylist()]
        for mini_batch in found
        if mini_batch.rows is not None
    ]
    assert all(sum(of_rows) <= size_bytes or len(of_rows) == 1 for of_rows in sizes)
    whole = split(rows_of(files), MiniBatchLimit(size_bytes=size_bytes), [])
    assert [mini_batch.rows for mini_batch in found] == [mini_batch.rows for mini_batch in whole]


def test_rows_of_very_different_size_do_not_exceed_the_limit_in_bytes() -> None:
    rows = pa.RecordBatch.from_pydict({"text": ["x"] * 9 + ["x" * 900] * 3 + ["x"] * 9})

    found = list(split_into_mini_batches([rows], MiniBatchLimit(size_bytes=1000), unit=0))

    assert [mini_batch.item_count for mini_batch in found] == [10, 1, 10]


@pytest.mark.parametrize("limit", [MiniBatchLimit(items=4), MiniBatchLimit(size_bytes=32)])
def test_mini_batches_in_one_record_batch_are_as_full_as_the_limit_lets_them(limit: MiniBatchLimit) -> None:
    rows = pa.RecordBatch.from_pydict({"number": range(10)})

    found = list(split_into_mini_batches([rows], limit, unit=0))

    assert [mini_batch.item_count for mini_batch in found] == [4, 4, 2]


@pytest.mark.parametrize("limit", [MiniBatchLimit(items=2), MiniBatchLimit(size_bytes=16)])
def test_a_full_mini_batch_comes_before_the_next_record_batch_is_asked_for(limit: MiniBatchLimit) -> None:
    asked: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(2):
            asked.append(number)
            yield pa.RecordBatch.from_pydict({"number": [number, number]})

    mini_batches = split_into_mini_batches(batches(), limit, unit=0)

    assert next(mini_batches).item_count == 2
    assert asked == [0]


def test_rows_without_a_file_have_no_files() -> None:
    empty, rows = (pa.RecordBatch.from_pydict({"number": pa.array(numbers, pa.int64())}) for numbers in ([], [1, 2]))

    found = list(split_into_mini_batches([empty, rows, empty, rows], MiniBatchLimit(items=3), unit=0))

    assert [(mini_batch.files, mini_batch.item_count) for mini_batch in found] == [((), 3), ((), 1)]


def test_no_record_batches_give_no_mini_batches() -> None:
    assert list(split_into_mini_batches([], MiniBatchLimit(items=3), unit=0)) == []


def test_rows_of_which_only_the_file_was_read_are_counted() -> None:
    rows = pa.RecordBatch.from_pydict({SOURCE_FILE_COLUMN: ["file:/a"] * 3})

    found = list(split_into_mini_batches([rows], MiniBatchLimit(items=2), unit=0))

    assert [mini_batch.item_count for mini_batch in found] == [2, 1]


def test_the_file_may_come_as_arrows_large_text() -> None:
    rows = pa.record_batch({"x": [1, 2], SOURCE_FILE_COLUMN: pa.array(["file:/a", "file:/b"], pa.large_string())})

    found = list(split_into_mini_batches([rows], MiniBatchLimit(items=2), unit=0))

    assert [mini_batch.files for mini_batch in found] == [("file:/a",), ("file:/b",)]


def test_the_items_of_a_mini_batch_of_files_are_its_files() -> None:
    assert MiniBatch("0", ("/a", "/b")).item_count == 2


def with_blocks(blocks: list[tuple[str, int, int]]) -> pa.RecordBatch:
    """Give ten rows of each block: file, start and length."""
    rows = [block for block in blocks for _ in range(10)]
    names = (SOURCE_FILE_COLUMN, *BLOCK_COLUMNS)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return pa.RecordBatch.from_pydict({"x": list(range(len(rows))), **columns})


def test_a_whole_file_is_one_mini_batch_however_it_arrives() -> None:
    rows = with_blocks([("file:/a", 0, 90), ("file:/b", 0, 70)])

    found = list(split_into_mini_batches([rows.slice(0, 3), rows.slice(3, 9), rows.slice(12)], MiniBatchLimit(), 0))

    assert [(one.files, one.item_count, one.is_indivisible) for one in found] == [
        (("file:/a",), 10, True),
        (("file:/b",), 10, True),
    ]


def test_a_file_that_spark_split_is_no_whole_file() -> None:
    rows = with_blocks([("file:/a", 0, 90), ("file:/a", 90, 90)])

    with pytest.raises(ScoringError, match=r"'file:/a'.*byte 90") as caught:
        list(split_into_mini_batches([rows], MiniBatchLimit(), 0))

    assert caught.value.code == "FILE_SPLIT"


def test_some_items_of_a_mini_batch_keep_its_name() -> None:
    files = MiniBatch("3-1", ("/in/a", "/in/b", "/in/c"))
    rows = MiniBatch("3-1", (), pa.table({"x": [10, 20, 30]}))

    assert files.only([2, 0]) == MiniBatch("3-1", ("/in/c", "/in/a"))
    assert files.without({1}).files == ("/in/a", "/in/c")
    left = rows.without({0}).rows
    assert left is not None
    assert left["x"].to_pylist() == [20, 30]
