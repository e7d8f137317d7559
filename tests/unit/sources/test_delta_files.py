"""Which data files of a Delta table the workers may read themselves, and the reasons against it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.errors import SourceError
from sparkscore.object_store import Keys, ObjectStore
from sparkscore.parquet import FilePart
from sparkscore.parquet.stored import UnreadableError
from sparkscore.sources.delta_files import DataFiles, plan_data_files
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.spark.schema import schema_of
from tests.support.s3_server import ACCESS, SECRET, s3_server

NO_KEYS = pa.RecordBatch.from_pylist([], pa.schema([]))


def written(folder: Path, *tables: pa.Table, keys: pa.RecordBatch = NO_KEYS, **options: Any) -> DataFiles:
    paths = [folder / f"{number} %20.parquet" for number in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path, **options)
    rows, sizes = tuple(table.num_rows for table in tables), tuple(path.stat().st_size for path in paths)
    return DataFiles(tuple(path.as_uri() for path in paths), rows, sizes, keys)


def read(planned: PlannedRows) -> pa.Table:
    parts = [FilePart(path, 0, rows) for path, rows in planned.rows_of_files.items()]
    batches = [batch for part in parts for batch in planned.reader.read(part)]
    return pa.Table.from_batches(batches, planned.reader.schema())


def test_rows_have_the_columns_and_keys_of_the_table(tmp_path: Path) -> None:
    keys = pa.RecordBatch.from_pydict({"k": pa.array([7, None], pa.int16())})
    files = written(tmp_path, pa.table({"id": [1, 2]}), pa.table({"k": ["x"], "new": ["n"], "id": [3]}), keys=keys)

    planned = plan_data_files(files, schema_of({"id": "bigint", "k": "smallint", "new": "string"}))

    assert read(planned).to_pylist() == [
        {"id": 1, "k": 7, "new": None},
        {"id": 2, "k": 7, "new": None},
        {"id": 3, "k": None, "new": "n"},
    ]
    assert files.measure() == (3, sum(files.sizes))


@pytest.mark.parametrize(
    ("stored", "declared"),
    [
        (pa.array([1, None], pa.int8()), "bigint"),
        (pa.array([1, None], pa.int32()), "int"),
        (pa.array([1, None], pa.uint16()), "int"),
        (pa.array([1, None], pa.timestamp("us", "UTC")), "timestamp"),
        (pa.array([{"a": 1}, None]), "struct<b: string, a: bigint>"),
        (pa.array([[{"a": 1}], None]), "array<struct<a: bigint, b: string>>"),
        (pa.array([[("k", {"a": 1})], None], pa.map_(pa.string(), pa.struct({"a": pa.int64()}))),
         "map<string, struct<a: bigint, b: string>>"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)  # fmt: skip
def test_types_may_widen_and_structs_grow(stored: pa.Array, declared: str, tmp_path: Path) -> None:
    files = written(tmp_path, pa.table({"x": stored}))

    found = read(plan_data_files(files, schema_of({"x": declared})))

    assert found["x"].null_count == 1


@pytest.mark.parametrize(
    ("stored", "declared"),
    [
        (pa.array([1]), "int"),
        (pa.array([1]), "double"),
        (pa.array([1.5], pa.float32()), "double"),
        (pa.array([[1]], pa.list_(pa.int32())), "array<bigint>"),
        (pa.array([{"a": 1, "b": 2}]), "struct<a: bigint>"),
        (pa.array([{"a": 1}]), "array<bigint>"),
        (pa.array([1], pa.timestamp("us")), "timestamp"),
        (pa.array([1000], pa.timestamp("ns", "UTC")), "timestamp"),
        (pa.array([1], pa.duration("us")), "bigint"),
        (pa.nulls(1), "int"),
        (pa.array([0.5], pa.float16()), "float"),
        (pa.array([1], pa.date32()), "timestamp_ntz"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_other_types_are_left_to_spark(stored: pa.Array, declared: str, tmp_path: Path) -> None:
    files = written(tmp_path, pa.table({"id": [1]}), pa.table({"x": stored}))

    with pytest.raises(UnreadableError, match=r"column 'x' is stored as .* in '.*1 %20\.parquet'"):
        plan_data_files(files, schema_of({"id": "bigint", "x": declared}))


def test_old_times_may_have_parts_of_a_microsecond(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([1], pa.timestamp("ns"))})
    files = written(tmp_path, table, use_deprecated_int96_timestamps=True)

    with pytest.raises(UnreadableError, match="column 'x' is stored as int96"):
        plan_data_files(files, schema_of({"x": "timestamp"}))


def test_names_that_differ_in_case_are_left_to_spark(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="column 'x' is spelled in another way"):
        plan_data_files(written(tmp_path, pa.table({"X": [1]})), schema_of({"x": "bigint"}))


def test_a_column_with_a_default_must_be_in_all_files(tmp_path: Path) -> None:
    files = replace(written(tmp_path, pa.table({"x": [1]}), pa.table({"id": [1]})), with_default=frozenset({"x"}))
    schema = schema_of({"id": "bigint", "x": "bigint"})

    with pytest.raises(UnreadableError, match=r"'x', which has a default, is missing in '.*1 %20\.parquet'"):
        plan_data_files(files, schema)
    plan_data_files(files, schema_of({"id": "bigint"}))


def test_files_that_are_not_as_in_the_log_are_left_to_spark(tmp_path: Path) -> None:
    files, schema = written(tmp_path, pa.table({"x": [1, 2]})), schema_of({"x": "bigint"})

    with pytest.raises(UnreadableError, match=r"some rows of '.*' are deleted"):
        plan_data_files(replace(files, rows=(1,)), schema)
    with pytest.raises(UnreadableError, match=r"the log has '.*' twice"):
        plan_data_files(replace(files, rows=(4,)), schema)
    twice = replace(files, uris=(*files.uris, files.uris[0].replace("///", "/")), rows=(2, 2), sizes=files.sizes * 2)
    with pytest.raises(UnreadableError, match="the log has a file twice"):
        plan_data_files(twice, schema)
    with pytest.raises(UnreadableError, match="is in another store than the table"):
        plan_data_files(replace(files, uris=("s3://b/x%20y",)), schema)
    for other in (replace(files, sizes=(7,)), replace(files, uris=("file:///missing",))):
        with pytest.raises(UnreadableError, match="cannot be read, or its size is not that in the table's log"):
            plan_data_files(other, schema)


def test_files_in_a_store_are_planned_from_their_footers_and_states(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    local = written(tmp_path / "bucket", pa.table({"id": [1, 2]}), pa.table({"id": [3]}))
    files = replace(local, uris=tuple(f"s3a://bucket/{number}%20%2520.parquet" for number in range(2)))
    schema = schema_of({"id": "bigint"})
    with s3_server(tmp_path) as server:
        store = ObjectStore(server.endpoint, "http", "us-east-1", keys=Keys(ACCESS, SECRET))

        planned = plan_data_files(files, schema, store=store)

        assert len(server.requests) == 6  # two for each file, and two more for the first, which has the layout of all
        assert read(planned).to_pylist() == [{"id": 1}, {"id": 2}, {"id": 3}]
        with pytest.raises(UnreadableError, match="its size is not that in the table's log"):
            plan_data_files(replace(files, sizes=(1, 2)), schema, store=store)
        with pytest.raises(UnreadableError, match="cannot be read"):
            plan_data_files(replace(files, uris=(files.uris[0], "s3a://bucket/none")), schema, store=store)
        with pytest.raises(UnreadableError, match="is in another store than the table"):
            plan_data_files(replace(files, uris=local.uris), schema, store=store)
        refused = replace(store, keys=None, is_anonymous=True)
        with pytest.raises(SourceError, match="ACCESS_DENIED"):
            plan_data_files(files, schema, store=refused)
