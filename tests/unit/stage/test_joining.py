from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.stage import joining, layout
from sparkscore.stage.checksums import find_changed
from sparkscore.stage.dictionaries import repeat_text
from sparkscore.stage.joining import groups_to_join, join_groups
from sparkscore.stage.report import StagedFile
from sparkscore.stage.statistics import float_statistics
from sparkscore.stage.writer import OpenFile, RowBuffer, StageWriter
from tests.support.all_types import write_all_types

# Pairs of the size of a file and its partition.
FILES = st.lists(st.tuples(st.integers(1, 120), st.sampled_from(["", "day=1/", "day=2/shop=a/"])), max_size=30)


def file_of(number: int, size: int, partition: str) -> StagedFile:
    return StagedFile(f"attempts/{number:05d}-{'0' * 32}/{partition}part-{number}.parquet", 1, size)


def partition_of(file: StagedFile) -> str:
    return layout.within_task_attempt(file.path).rpartition("/")[0]


@given(FILES)
def test_neighbors_of_a_partition_are_joined_up_to_the_size(sizes: list[tuple[int, str]]) -> None:
    files = [file_of(number, size, partition) for number, (size, partition) in enumerate(sizes)]

    groups = groups_to_join(files, 100)

    joined = [file for group in groups for file in group]
    assert len(joined) == len(set(joined))
    for partition in {partition_of(file) for file in files}:
        own = [file for file in files if partition_of(file) == partition]
        grouped = {file: group for group in groups for file in group}
        together = list(dict.fromkeys(grouped.get(file, (file,)) for file in own))
        # In their order, none is missing, none is too large, and no two neighbors could have been joined.
        assert [file for group in together for file in group] == own
        bytes_of = [sum(file.size_bytes for file in group) for group in together]
        assert all(size <= 100 or len(group) == 1 for size, group in zip(bytes_of, together, strict=True))
        assert all(size + after[0].size_bytes > 100 for size, after in zip(bytes_of, together[1:], strict=False))


def test_files_without_rows_are_not_joined() -> None:
    files = [file_of(number, 10, "") for number in range(3)]

    assert groups_to_join([files[0], replace(files[1], rows=0), files[2]], 100) == [(files[0], files[2])]


def staged(stage: Path, *tables: pa.Table, partition_by: tuple[str, ...] = ()) -> list[StagedFile]:
    found: list[StagedFile] = []
    for unit, table in enumerate(tables):
        with StageWriter(str(stage), unit, partition_by=partition_by) as writer:
            writer.write(table)
            found += writer.finish()
    return found


def all_types(folder: Path) -> pa.Table:
    write_all_types(folder)
    tables = [pq.ParquetFile(path).read() for path in sorted(folder.rglob("*.parquet"))]
    return pa.concat_tables(tables).append_column("run_id", repeat_text("night", 16))


def test_a_joined_file_has_the_same_rows_in_their_order_with_their_types(tmp_path: Path) -> None:
    rows, stage = all_types(tmp_path / "in"), tmp_path / "stage"
    stage.mkdir()
    files = staged(stage, rows.slice(0, 1), rows.slice(1, 7), rows.slice(8))

    (joined,) = join_groups(str(stage), [tuple(files)])

    assert joined is not None
    assert joined.rows == 16
    assert joined.path.startswith("attempts/00000-")
    assert not find_changed(stage, [joined, *files], reads_all=True)
    before = pa.concat_tables([pq.ParquetFile(stage / file.path).read() for file in files])
    after = pq.ParquetFile(stage / joined.path).read()
    assert after.schema.equals(before.schema)
    names = [name for name in before.schema.names if name != "single"]  # NaN is not equal to itself
    assert after.select(names).equals(before.select(names).combine_chunks())
    bits = [table["single"].combine_chunks().fill_null(7).to_numpy().view(np.int32) for table in (before, after)]
    assert np.array_equal(*bits)
    found = pq.read_metadata(stage / joined.path)
    assert found.schema.equals(pq.read_metadata(stage / files[0].path).schema)
    assert "RLE_DICTIONARY" in found.row_group(0).column(found.num_columns - 1).encodings


def test_each_group_stays_in_its_partition_and_all_are_in_one_folder_of_an_attempt(tmp_path: Path) -> None:
    tables = [pa.table({"day": ["1", "2", None], "n": [number, number + 10, number + 20]}) for number in range(3)]
    files = staged(tmp_path, *tables, partition_by=("day",))

    joined = join_groups(str(tmp_path), groups_to_join(files, 1024 * 1024))

    assert all(joined)
    rows = {partition_of(file): pq.ParquetFile(tmp_path / file.path).read()["n"].to_pylist() for file in joined if file}
    assert rows == {
        "day=1": [0, 1, 2],
        "day=2": [10, 11, 12],
        "day=__HIVE_DEFAULT_PARTITION__": [20, 21, 22],
    }
    assert len({layout.task_attempt_of(file.path) for file in joined if file}) == 1


def test_statistics_of_floats_are_those_of_all_rows(tmp_path: Path) -> None:
    files = staged(tmp_path, pa.table({"x": [1.5, None]}), pa.table({"x": [-2.0]}))

    (joined,) = join_groups(str(tmp_path), [tuple(files)])

    assert joined is not None
    found = float_statistics(pq.read_metadata(tmp_path / joined.path).metadata)
    assert (found["x"].nulls, found["x"].bounds) == (1, (-2.0, 1.5))


def test_rows_come_together_in_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = staged(tmp_path, *(pa.table({"n": [number] * 10}) for number in range(10)))
    monkeypatch.setattr("sparkscore.stage.writer._BUFFER_ROWS", 40)

    (joined,) = join_groups(str(tmp_path), [tuple(files)])

    assert joined is not None
    found = pq.read_metadata(tmp_path / joined.path)
    assert [found.row_group(group).num_rows for group in range(found.num_row_groups)] == [40, 40, 20]


def test_joining_needs_memory_for_one_row_group_however_large_the_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, random = 32 * 1024, np.random.default_rng(0)
    monkeypatch.setattr("sparkscore.stage.writer._BUFFER_ROWS", rows)
    texts = [repeat_text(f"{number}" * 100, rows) for number in range(4)]
    groups = [pa.table({"key": random.integers(0, 2**62, rows), "text": text}) for text in texts * 5]
    files: list[StagedFile] = []
    for unit in range(2):
        with StageWriter(str(tmp_path), unit) as writer:
            for group in groups:
                writer.write(group)
            files += writer.finish()
    group_bytes = rows * 12
    before, alive = pa.total_allocated_bytes(), list[int]()
    add = RowBuffer.add

    def noted(buffer: RowBuffer, added: pa.Table) -> None:
        alive.append(pa.total_allocated_bytes() - before)
        add(buffer, added)

    monkeypatch.setattr(RowBuffer, "add", noted)
    tracemalloc.start()
    try:
        (joined,) = join_groups(str(tmp_path), [files])
        _, read_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert joined is not None
    assert pq.ParquetFile(tmp_path / joined.path).read()["text"].to_pylist() == [
        "0123"[number // rows % 4] * 100 for number in range(40 * rows)
    ]
    assert max(alive) < 3.5 * group_bytes  # the texts of a group alone are 8 times as large
    assert read_bytes < files[0].size_bytes / 2


def texts(count: int, seed: int) -> list[str]:
    return [bytes(row).hex() for row in np.random.default_rng(seed).integers(0, 255, (count, 24), np.uint8)]


@pytest.mark.parametrize(
    "columns",
    [
        [[None] * 500, texts(60_000, 1)],
        [["x"] * 500, texts(60_000, 2)],
        [texts(50, number) * 40 for number in range(20)],
        [[text for number in range(20) for text in [*texts(50, number), None] * 40]] * 2,
    ],
    ids=["NULLs, then others", "one text, then others", "own texts in each file", "own texts in each part of a file"],
)
def test_a_joined_file_is_no_larger_than_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: list[list[str | None]]
) -> None:
    monkeypatch.setattr("sparkscore.stage.writer._BUFFER_ROWS", 2_000)
    monkeypatch.setattr(joining, "_BATCH_ROWS", 2_040)
    files = staged(tmp_path, *(pa.table({"text": pa.array(column, pa.string())}) for column in columns))

    (joined,) = join_groups(str(tmp_path), [files])

    assert joined is not None
    assert joined.size_bytes < 1.2 * sum(file.size_bytes for file in files)
    assert pq.read_table(tmp_path / joined.path)["text"].to_pylist() == [text for column in columns for text in column]


def test_texts_that_repeat_are_joined_with_the_statistics_of_all_files(tmp_path: Path) -> None:
    texts: list[str | None] = [*["b"] * 300, *[None, "c"] * 150, *["a"] * 300, *map(str, range(300))]
    table = pa.table({"t.ext": texts})
    files = staged(tmp_path, *(table.slice(first, 300) for first in range(0, 1200, 300)))

    (joined,) = join_groups(str(tmp_path), [files])

    assert joined is not None
    assert pq.ParquetFile(tmp_path / joined.path).read()["t.ext"].to_pylist() == texts
    found = pq.read_metadata(tmp_path / joined.path).row_group(0).column(0).statistics
    assert (found.min, found.max, found.null_count) == ("0", "c", 150)


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[6] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [damage, lambda file: file.unlink(), lambda file: file.write_bytes(b"PAR1")],
    ids=["a bit", "removed", "another file"],
)
def test_a_group_with_a_file_that_was_changed_stays_as_it_is(tmp_path: Path, change: Any) -> None:
    files = staged(tmp_path, *(pa.table({"n": [number]}) for number in range(4)))
    change(tmp_path / files[1].path)

    first, second = join_groups(str(tmp_path), [tuple(files[:2]), tuple(files[2:])])

    assert first is None
    assert second is not None


def test_files_with_other_columns_are_not_joined(tmp_path: Path) -> None:
    files = staged(tmp_path, pa.table({"n": [1]}), pa.table({"n": pa.array([1], pa.int32())}))
    texts = staged(tmp_path, pa.table({"t": ["x"] * 99}), pa.table({"u": ["x"] * 99}), pa.table({"t": [1]}))

    assert join_groups(str(tmp_path), [files, texts[:2], texts[::2]]) == [None, None, None]


def test_a_full_disk_leaves_the_files_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = staged(tmp_path, pa.table({"n": [1]}), pa.table({"n": [2]}))

    class Full(OpenFile):
        def close(self) -> StagedFile:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(joining, "OpenFile", Full)

    assert join_groups(str(tmp_path), [tuple(files)]) == [None]
    assert not find_changed(tmp_path, files, reads_all=True)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
