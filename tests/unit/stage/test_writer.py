from __future__ import annotations

import datetime as dt
import gc
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkscore.errors import OutputContractError
from sparkscore.stage import writer as stage
from sparkscore.stage.chunks import write_chunk
from sparkscore.stage.dictionaries import encode_texts, repeat_text
from sparkscore.stage.progress import ProgressFile
from sparkscore.stage.report import StagedFile
from sparkscore.stage.writer import NULL_PARTITION, StageWriter, check_partition_values, escape_path

# Spark 4.2, ExternalCatalogUtils.charToEscape.
SPARK_ESCAPES = {*map(chr, range(1, 32)), *"\"#%'*/:=?\\\x7f{[]^"}
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda text: text != NULL_PARTITION
)
KEYS = {
    "text": (pa.string(), TEXTS | st.sampled_from([".", "..", "a/b", "é", " ", "a%20b", "1", "true", "null"])),
    "number": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "flag": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), st.dates()),
}


def written(
    folder: Path, tables: list[pa.Table], *partition_by: str, left_out: tuple[str, ...] = ()
) -> tuple[StagedFile, ...]:
    with StageWriter(str(folder), 3, partition_by=partition_by, left_out=left_out) as writer:
        for table in tables:
            writer.write(table)
        return writer.finish()


def read_back(
    folder: Path, files: tuple[StagedFile, ...], schema: pa.Schema, partition_by: list[str]
) -> list[dict[str, Any]]:
    """Read the files with another reader, which knows Hive's layout."""
    if not files:
        return []
    attempt = folder / "/".join(files[0].path.split("/")[:2])
    layout = ds.partitioning(pa.schema([schema.field(name) for name in partition_by]), flavor="hive")
    data = ds.dataset([str(folder / file.path) for file in files], schema, "parquet", None, layout, str(attempt))
    rows: list[dict[str, Any]] = data.to_table().to_pylist()
    return rows


@pytest.mark.parametrize(
    "partition_by", [["text"], ["number"], ["flag"], ["day"], ["day", "text"], ["flag", "text", "number"]]
)
@settings(max_examples=15)
@given(st.data())
def test_a_partitioned_stage_reads_back_as_it_was_written(partition_by: list[str], data: st.DataObject) -> None:
    cells = st.fixed_dictionaries({name: kind[1] | st.none() for name, kind in KEYS.items()})
    rows = data.draw(st.lists(cells, max_size=8))
    schema = pa.schema([(name, kind[0]) for name, kind in KEYS.items()]).append(pa.field("row", pa.int64()))
    table = pa.Table.from_pylist([{**row, "row": number} for number, row in enumerate(rows)], schema)

    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder), [table.slice(0, 3), table.slice(3)], *partition_by)
        found = read_back(Path(folder), files, schema, partition_by)

    assert sorted(found, key=lambda row: row["row"]) == table.to_pylist()
    assert sum(file.rows for file in files) == table.num_rows


@given(TEXTS)
def test_names_are_escaped_as_spark_does(text: str) -> None:
    expected = "".join(f"%{ord(char):02X}" if char in SPARK_ESCAPES else char for char in text)

    assert escape_path(text) == expected
    assert "/" not in escape_path(text)


@pytest.mark.parametrize("character", sorted(SPARK_ESCAPES))
def test_each_of_sparks_characters_is_escaped(character: str) -> None:
    assert escape_path(f"a{character}b") == f"a%{ord(character):02X}b"


def test_the_folders_of_a_partition_are_named_as_spark_does(tmp_path: Path) -> None:
    rows = pa.table({"flag": [True, False, None], "a b=c": ["x/y", "é", None], "n": [1, 2, 3]})

    files = written(tmp_path, [rows], "flag", "a b=c")

    folders = ["/".join(file.path.split("/")[2:-1]) for file in files]
    assert folders == [
        "flag=true/a b%3Dc=x%2Fy",
        "flag=false/a b%3Dc=é",
        f"flag={NULL_PARTITION}/a b%3Dc={NULL_PARTITION}",
    ]
    assert pq.read_schema(tmp_path / files[0].path).names == ["n"]


def test_the_order_of_rows_is_kept_in_each_folder(tmp_path: Path) -> None:
    rows = pa.table({"key": ["a", "b"] * 500, "row": range(1000)})

    files = written(tmp_path, [rows.slice(start, 7) for start in range(0, 1000, 7)], "key")

    assert len(files) == 2
    assert [pq.read_table(tmp_path / file.path).column("row").to_pylist() for file in files] == [
        list(range(0, 1000, 2)), list(range(1, 1000, 2)),
    ]  # fmt: skip


def test_more_partition_values_than_open_files_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_BUFFER_ROWS", 100)
    most = 0
    alive: Counter[str] = Counter()

    class Counting(stage.OpenFile):
        def __init__(self, *arguments: Any) -> None:
            nonlocal most
            super().__init__(*arguments)
            alive["now"] += 1
            most = max(most, alive["now"])

        def close(self) -> StagedFile:
            alive["now"] -= 1
            return super().close()

    monkeypatch.setattr(stage, "OpenFile", Counting)
    keys = [number % 100 for number in range(300)]
    rows = pa.table({"key": pa.array(keys, pa.int64()), "row": pa.array(range(300), pa.int64())})

    files = written(tmp_path, [rows.slice(start, 50) for start in range(0, 300, 50)], "key")

    assert (most, alive["now"]) == (64, 0)
    assert len({file.path for file in files}) == len(files) > 100
    found = read_back(tmp_path, files, rows.schema, ["key"])
    assert sorted((row["row"], row["key"]) for row in found) == list(enumerate(keys))


def test_a_folder_stays_open_while_its_rows_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_BUFFER_ROWS", 1)
    monkeypatch.setattr(stage, "_OPEN_FILES", 2)
    tables = [pa.table({"key": [key], "n": [1]}) for key in "abacad"]

    files = written(tmp_path, tables, "key")

    assert Counter(file.path.split("/")[2] for file in files) == {"key=a": 1, "key=b": 1, "key=c": 1, "key=d": 1}


def test_rows_come_together_in_row_groups_bounded_by_rows(tmp_path: Path) -> None:
    table = pa.table({"n": pa.array(range(10_000), pa.int32())})

    (file,) = written(tmp_path, [table] * 30)

    groups = pq.read_metadata(tmp_path / file.path)
    assert [groups.row_group(index).num_rows for index in range(groups.num_row_groups)] == [140_000, 140_000, 20_000]


def test_rows_come_together_in_row_groups_bounded_by_bytes(tmp_path: Path) -> None:
    table = pa.table({"blob": [b"\0" * 1024 * 1024] * 10})

    (file,) = written(tmp_path, [table] * 14)

    groups = pq.read_metadata(tmp_path / file.path)
    assert [groups.row_group(index).num_rows for index in range(groups.num_row_groups)] == [70, 70]


def test_memory_does_not_grow_with_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_BUFFER_BYTES", 4 * 1024 * 1024)

    def tables() -> Iterator[pa.Table]:
        for number in range(100):
            yield pa.table({"blob": [number.to_bytes(4, "big") * 256 * 1024]})

    gc.collect()
    before, most = pa.total_allocated_bytes(), 0
    with StageWriter(str(tmp_path), 0) as writer:
        for table in tables():
            writer.write(table)
            del table
            most = max(most, pa.total_allocated_bytes() - before)
        (file,) = writer.finish()

    assert file.rows == 100
    assert most < 30 * 1024 * 1024  # of 100 MiB


def test_the_time_per_mini_batch_does_not_grow_with_the_task(tmp_path: Path) -> None:
    table = pa.table({"a": [1], "b": ["x"], "c": [0.5]})
    start = time.process_time()

    (file,) = written(tmp_path, [table] * 10_000)

    assert file.rows == 10_000
    assert time.process_time() - start < 5


def test_dictionaries_that_differ_become_one_plain_column_with_a_dictionary_in_the_file(tmp_path: Path) -> None:
    texts = [repeat_text(text, 1000) for text in ("a", None, "b", "a")]
    tables = [pa.table({"text": column, "n": range(1000)}) for column in texts]

    (file,) = written(tmp_path, tables)

    found = pq.ParquetFile(tmp_path / file.path)
    assert found.schema_arrow.types == [pa.string(), pa.int64()]
    assert found.read()["text"].to_pylist() == ["a"] * 1000 + [None] * 1000 + ["b"] * 1000 + ["a"] * 1000
    assert found.metadata.row_group(0).column(0).total_uncompressed_size < 500


@pytest.mark.parametrize("by", [["text"], ["n", "text"]])
def test_a_dictionary_can_be_a_partition_column(by: list[str], tmp_path: Path) -> None:
    rows = pa.table({"text": encode_texts(["a", None, "b", "a"]), "n": [1, 1, 2, 2], "row": [0, 1, 2, 3]})

    check_partition_values(rows, tuple(by))
    files = written(tmp_path, [rows.slice(0, 3), rows.slice(3)], *by)

    schema = pa.schema([("text", pa.string()), ("n", pa.int64()), ("row", pa.int64())])
    found = read_back(tmp_path, files, schema, by)
    assert sorted(found, key=lambda row: row["row"]) == rows.to_pylist()


def test_a_dictionary_with_a_text_that_no_folder_can_tell_is_refused() -> None:
    with pytest.raises(OutputContractError):
        check_partition_values(pa.table({"key": encode_texts(["fine", ""])}), ("key",))


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ({"id": [1], "at": pa.array([0], pa.timestamp("us")), "run": repeat_text("night", 1)}, 16 * 1024),
        ({"id": [1], "text": ["a"]}, 1024),
        ({"id": [1], "bytes": [b"a"]}, 1024),
        ({"id": [1], "values": [[1]]}, 1024),
        ({"id": [1], "struct": [{"text": "a"}]}, 1024),
    ],
)
def test_texts_and_lists_are_written_in_small_batches_lest_pages_become_large(
    columns: dict[str, Any], rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    make = pq.ParquetWriter

    def noted(*args: Any, **options: Any) -> Any:
        given.append(options["write_batch_size"])
        return make(*args, **options)

    monkeypatch.setattr(pq, "ParquetWriter", noted)

    written(tmp_path, [pa.table(columns)])

    assert given == [rows]


TYPES = [
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.binary(),
    pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.decimal128(5, 2), pa.decimal128(38, 10),
    pa.list_(pa.field("element", pa.float32(), nullable=False)), pa.map_(pa.string(), pa.list_(pa.int8())),
    pa.struct([pa.field("x", pa.int16()), pa.field("y", pa.timestamp("us"))]),
]  # fmt: skip


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_the_file_alone_says_each_type_that_spark_has(type_: pa.DataType, tmp_path: Path) -> None:
    rows = pa.table({"c": pa.nulls(3, type_), "n": [1, 2, 3]})

    (file,) = written(tmp_path, [rows])

    assert pq.read_schema(tmp_path / file.path).field("c").type == _as_read(type_)


def _as_read(type_: pa.DataType) -> pa.DataType:
    is_list = pa.types.is_list(type_)
    return pa.list_(type_.value_field.with_name("element")) if is_list else type_


def test_keys_and_scores_are_written_without_a_dictionary(tmp_path: Path) -> None:
    rows = pa.table(
        {"id": range(200_000), "score": np.random.default_rng(1).random(200_000), "label": ["a", "b"] * 100_000}
    )

    (file,) = written(tmp_path, [rows])

    group = pq.read_metadata(tmp_path / file.path).row_group(0)
    found = [any("DICTIONARY" in encoding for encoding in group.column(at).encodings) for at in range(3)]
    assert found == [False, False, True]


def test_a_file_is_described_by_its_path_rows_and_bytes(tmp_path: Path) -> None:
    (file,) = written(tmp_path, [pa.table({"n": [1, 2], "run_id": ["a", "a"]})], left_out=("run_id",))

    path = tmp_path / file.path
    assert file.path.startswith("attempts/00003-")
    assert (file.rows, file.size_bytes) == (2, path.stat().st_size)
    assert pq.read_table(path).to_pylist() == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("tables", [[], [pa.table({"n": pa.array([], pa.int64())})]])
def test_no_rows_make_no_file(tables: list[pa.Table], tmp_path: Path) -> None:
    assert written(tmp_path, tables) == ()
    assert list(tmp_path.iterdir()) == []


def test_attempts_at_the_same_unit_never_share_a_file(tmp_path: Path) -> None:
    rows = pa.table({"key": ["a", "b"]})

    attempts = [written(tmp_path, [rows], "key") for _ in range(3)]

    paths = [file.path for files in attempts for file in files]
    folders = {path.split("/")[1] for path in paths}
    assert len(set(paths)) == 6
    assert len({Path(path).name for path in paths}) == 6
    assert len(folders) == 3
    assert len(list(tmp_path.rglob("*.parquet"))) == 6


def test_an_attempt_that_ends_early_closes_its_files_and_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_BUFFER_ROWS", 1)

    with pytest.raises(OSError, match="disk"), StageWriter(str(tmp_path), 0, partition_by=("key",)) as writer:  # noqa: PT012 - the scene
        writer.write(pa.table({"key": ["a", "b"], "n": [1, 2]}))
        opened = [file.writer for file in writer._open.values()]
        raise OSError("disk")

    assert len(opened) == 2
    assert not any(parquet.is_open for parquet in opened)
    assert not writer._open


LONGEST = "x" * (255 - len("key="))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("value", ["", NULL_PARTITION, "a\0b", LONGEST + "x", "é" * 126, "/" * 84])
def test_a_partition_value_that_no_folder_can_tell_is_refused(value: str, kind: pa.DataType) -> None:
    rows = pa.table({"n": [1, 2], "key": pa.array(["fine", value], kind)})

    with pytest.raises(OutputContractError) as caught:
        check_partition_values(rows, ("n", "key"))

    assert (caught.value.code, caught.value.what) == ("OUTPUT_PARTITION_VALUE", "partition column 'key'")
    assert value in {"", NULL_PARTITION} or value not in str(caught.value)


@pytest.mark.parametrize("value", [None, "x", " ", LONGEST, "null", "__hive_default_partition__"])
def test_other_partition_values_pass_and_can_be_written(value: str | None, tmp_path: Path) -> None:
    rows = pa.table({"key": pa.array([value], pa.string()), "day": [dt.date(2026, 1, 1)], "n": [1]})

    check_partition_values(rows, ("key", "day"))

    assert read_back(tmp_path, written(tmp_path, [rows], "key"), rows.schema, ["key"]) == rows.to_pylist()


def test_a_value_of_another_column_may_be_anything() -> None:
    check_partition_values(pa.table({"key": ["a"], "text": [""]}), ("key",))


def test_a_task_that_outlives_its_run_makes_no_stage_again(tmp_path: Path) -> None:
    gone = tmp_path / "stage"

    writer = StageWriter(str(gone), 0)
    writer.write(pa.table({"x": [1]}))
    with pytest.raises(FileNotFoundError):
        writer.finish()
    progress = ProgressFile(str(gone), 0)
    progress.add(1, 0)
    progress.close()
    with pytest.raises(FileNotFoundError):
        write_chunk(str(gone), 0, 0, [])

    assert not gone.exists()


@pytest.mark.parametrize("partition_by", [(), ("key",)])
def test_files_have_about_the_size_that_is_asked_for(tmp_path: Path, partition_by: tuple[str, ...]) -> None:
    size, values = 256 * 1024, np.random.default_rng(1).random(400_000)
    rows = pa.table({"key": ["a", "b"] * 200_000, "x": values})

    with StageWriter(str(tmp_path), 0, partition_by=partition_by, file_bytes=size) as writer:
        for first in range(0, 400_000, 4000):
            writer.write(rows.slice(first, 4000))
        files = writer.finish()

    last = {file.path.rpartition("/")[0]: file for file in files}.values()
    assert all(size / 2 < file.size_bytes < 1.5 * size for file in files if file not in last)
    assert len(files) > 8
    of_one = [file for file in files if not partition_by or "key=a" in file.path]
    found = pa.concat_tables([pq.ParquetFile(tmp_path / file.path).read(["x"]) for file in of_one])
    assert np.array_equal(found["x"].to_numpy(), values[::2] if partition_by else values)
