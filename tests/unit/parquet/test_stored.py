from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.parquet.stored import StoredFile, UnreadableError, describe, is_by_statistics, layout_key, quick_key

PAIR = pa.list_(pa.int64(), 2)


def metadata_of(path: Path, table: pa.Table, **options: Any) -> pq.FileMetaData:
    pq.write_table(table, path / "a.parquet", **options)
    return pq.read_metadata(path / "a.parquet")


def stored(path: Path, table: pa.Table, **options: Any) -> StoredFile:
    return describe(metadata_of(path, table, **options))


def test_each_column_has_its_own_leaves(tmp_path: Path) -> None:
    nested = pa.map_(pa.string(), pa.list_(pa.struct({"x": pa.int8()})))
    table = pa.table({"a.b": [1], "m": pa.array([[("k", [{"x": 1}])]], nested), "c": ["x"]})

    found = stored(tmp_path, table).columns()

    paths = {name: [leaf.path for leaf in column.leaves] for name, column in found.items()}
    assert paths == {"a.b": ["a.b"], "m": ["m.key_value.key", "m.key_value.value.list.element.x"], "c": ["c"]}


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"s": [{"a": 1}], "s.a": [1]}),
        pa.table({"id": [1], "ID": [1]}),
        pa.table([[1], [2]], ["a", "a"]),
        pa.table({"s": [1], "s.a": [1]}),
    ],
    ids=str,
)
def test_a_column_that_cannot_be_told_from_another_is_an_error(table: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="cannot be told from another one"):
        stored(tmp_path, table).columns()


@pytest.mark.parametrize(
    ("texts", "is_legacy"),
    [
        ({}, False),
        ({"org.apache.spark.version": "4.2.0"}, False),
        ({"org.apache.spark.version": "3.1.0"}, False),
        ({"org.apache.spark.version": "3.0.1"}, True),
        ({"org.apache.spark.version": "2.4.8"}, True),
        ({"org.apache.spark.version": "4.2.0", "org.apache.spark.legacyDateTime": ""}, True),
        ({"org.apache.spark.version": "4.2.0", "org.apache.spark.legacyINT96": ""}, True),
        ({"org.apache.spark.legacyINT96": ""}, False),
    ],
)
def test_files_in_the_calendar_of_spark_2_are_told_by_what_spark_wrote(
    texts: dict[str, str], *, is_legacy: bool, tmp_path: Path
) -> None:
    found = stored(tmp_path, pa.table({"a": [1]}).replace_schema_metadata(texts))

    assert (found.is_legacy, found.is_by_spark) == (is_legacy, bool(texts))


@pytest.mark.parametrize(
    ("rows", "options", "names"),
    [
        ([[1, 2], [3, 4]], {}, set()),
        ([[1, 2], None], {}, {"f"}),
        ([[1, 2], [3, 4]], {"write_statistics": False}, {"f"}),
    ],
)
def test_lists_of_a_fixed_length_may_be_null_unless_statistics_say_otherwise(
    rows: list[Any], options: dict[str, Any], names: set[str], tmp_path: Path
) -> None:
    inner = pa.array([{"x": row} for row in rows], pa.struct({"x": PAIR}))
    table = pa.table({"id": [1] * len(rows), "f": inner, "l": pa.array([[1]] * len(rows), pa.list_(pa.int64()))})

    assert stored(tmp_path, table, row_group_size=1, **options).null_lists == names


def test_equal_layouts_have_equal_keys(tmp_path: Path) -> None:
    first = pa.table({"a": [1], "f": pa.array([[1, 2]], PAIR)})
    keys = [
        layout_key(metadata_of(tmp_path, table, **options))
        for table, options in [
            (first, {}),
            (pa.table({"a": [7], "f": pa.array([[1, 3]], PAIR)}).replace_schema_metadata({"pandas": "{}"}), {}),
            (pa.table({"a": [7], "f": pa.array([None], PAIR)}), {}),
            (first, {"compression": "zstd"}),
            (first.replace_schema_metadata({"org.apache.spark.version": "2.4.8"}), {}),
            (first.set_column(0, "a", pa.array([1], pa.duration("us"))), {}),
        ]
    ]

    assert keys[0] == keys[1]
    assert len(set(keys)) == len(keys) - 1


def test_equal_quick_keys_mean_equal_layouts(tmp_path: Path) -> None:
    first = pa.table({"a": [1], "s": [{"x": 1}]})
    tables = [
        first,
        pa.table({"a": [7], "s": [None, {"x": 2}][1:]}),
        first.replace_schema_metadata({"pandas": "{}"}),
        first.replace_schema_metadata({"org.apache.spark.version": "2.4.8"}),
        first.set_column(0, "a", pa.array([1], pa.duration("us"))),
        first.set_column(1, "s", pa.array([{"y": 1}])),
        first.slice(1),
    ]
    found = [metadata_of(tmp_path, table) for table in tables] + [metadata_of(tmp_path, first, compression="zstd")]
    keys = [quick_key(each) for each in found]

    assert keys[0] == keys[1]
    for key, metadata in zip(keys, found, strict=True):
        layouts = {layout_key(other) for each, other in zip(keys, found, strict=True) if each == key}
        assert layouts == {layout_key(metadata)}
    assert not is_by_statistics(first.schema)
    assert is_by_statistics(pa.schema({"s": pa.struct({"f": PAIR})}))
