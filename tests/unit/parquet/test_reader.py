"""The reader of the workers, on files of PyArrow, against what was written."""

from __future__ import annotations

import datetime as dt
import pickle
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import SourceError, SourceSchemaError
from sparkscore.parquet import ColumnRead, FilePart, FolderKeys, ParquetReader
from sparkscore.parquet import reader as module
from sparkscore.parquet.uuids import as_texts

Read = Callable[..., pa.Table]
ELEMENT = pa.field("element", pa.int64())
UTC = pa.timestamp("us", "UTC")


def columns(**types: pa.DataType) -> ParquetReader:
    return ParquetReader(tuple(ColumnRead(name, type_) for name, type_ in types.items()))


def whole(path: Path) -> FilePart:
    return FilePart(str(path), 0, pq.read_metadata(path).num_rows)


def rows_of(reader: ParquetReader, part: FilePart) -> pa.Table:
    return pa.Table.from_batches(list(reader.read(part)), reader.schema())


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that writes one column and reads it as a type."""

    def write_and_read(values: pa.Array, target: pa.DataType, **options: Any) -> pa.ChunkedArray:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"x": values}), path, **options)
        return rows_of(columns(x=target), whole(path))["x"]

    return write_and_read


HALVES = [0.5, None, -0.0, 65504.0, 2.0**-24, float("inf"), -float("inf")]
UUIDS = [uuid.UUID("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), None, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]
UUID_TEXTS = [None if each is None else str(each) for each in UUIDS]
STORED_UUIDS = pa.array([None if each is None else each.bytes for each in UUIDS], pa.uuid())
MOST_FLOATS = [0.10000000149011612, -0.0, float("inf"), None]
DAYS = [dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]
EXACT = [
    (pa.array([-128, 127, None], pa.int8()), pa.int8(), [-128, 127, None]),
    (pa.array([255, None], pa.uint8()), pa.int16(), [255, None]),
    (pa.array([2**16 - 1, None], pa.uint16()), pa.int32(), [2**16 - 1, None]),
    (pa.array([2**32 - 1, None], pa.uint32()), pa.int64(), [2**32 - 1, None]),
    (pa.array([2**64 - 1, None], pa.uint64()), pa.decimal128(20, 0), [Decimal(2**64 - 1), None]),
    (pa.array([255, None], pa.uint8()), pa.int64(), [255, None]),
    (pa.array(MOST_FLOATS, pa.float32()), pa.float64(), MOST_FLOATS),
    (pa.array(HALVES, pa.float16()), pa.float32(), HALVES),
    (pa.array(HALVES, pa.float16()), pa.float64(), HALVES),
    (pa.array([HALVES, None], pa.list_(pa.float16())), pa.list_(pa.field("element", pa.float32())), [HALVES, None]),
    (STORED_UUIDS, pa.string(), UUID_TEXTS),
    (STORED_UUIDS.slice(1), pa.string(), UUID_TEXTS[1:]),
    (pa.nulls(3, pa.uuid()), pa.string(), [None] * 3),
    (pa.array(["a", None, "a", "é"]).dictionary_encode(), pa.string(), ["a", None, "a", "é"]),
    (pa.array([7, None, 7]).dictionary_encode(), pa.int64(), [7, None, 7]),
    (pa.array(["a", None], pa.large_string()), pa.string(), ["a", None]),
    (pa.array(["a", None], pa.string_view()), pa.string(), ["a", None]),
    (pa.array([b"\0", None], pa.large_binary()), pa.binary(), [b"\0", None]),
    (pa.array([b"ab", None], pa.binary(2)), pa.binary(), [b"ab", None]),
    (pa.array([None, None], pa.null()), pa.list_(ELEMENT), [None, None]),
    (pa.array(DAYS), pa.date32(), DAYS),
    (pa.array([dt.date(1500, 3, 1), None]), pa.timestamp("us"), [dt.datetime.fromisoformat("1500-03-01"), None]),
    (pa.array([86_400_000], pa.date64()), pa.date32(), [dt.date(1970, 1, 2)]),
    (pa.array([1_000, None, -1_000], pa.timestamp("ns")), pa.timestamp("us"), [1, None, -1]),
    (pa.array([1_001, None], pa.timestamp("ns")), pa.int64(), [1_001, None]),
    (pa.array([3, None], pa.timestamp("ms", "Asia/Tokyo")), UTC, [3_000, None]),
    (pa.array([3, None], pa.timestamp("s")), pa.timestamp("us"), [3_000_000, None]),
    (pa.array([5, None], pa.duration("us")), pa.int64(), [5, None]),
    (pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)), pa.decimal128(38, 10), [Decimal("1.5000000000"), None]),
    (pa.array([Decimal("2.00"), None], pa.decimal128(5, 2)), pa.int8(), [2, None]),
    (pa.array([Decimal("1.5")], pa.decimal32(5, 1)), pa.decimal128(5, 1), [Decimal("1.5")]),
    (pa.array([Decimal("1.5")], pa.decimal256(5, 1)), pa.decimal128(5, 1), [Decimal("1.5")]),
    (pa.array([12, None]), pa.decimal128(4, 2), [Decimal("12.00"), None]),
    (pa.array([2**60, -(2**63), None]), pa.float64(), [2.0**60, -(2.0**63), None]),
    (pa.array([2.0, -0.0, -(2.0**63), None]), pa.int64(), [2, 0, -(2**63), None]),
    (pa.array([0.5, float("-inf"), None]), pa.float32(), [0.5, float("-inf"), None]),
    (pa.array([[1, None], None, [], [2]]), pa.list_(pa.field("element", pa.float64())), [[1.0, None], None, [], [2.0]]),
    (pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)), pa.list_(ELEMENT), [[1, 2], [3, 4]]),
    (pa.array([[1], None, [], [2, 3]], pa.large_list(pa.int64())), pa.list_(ELEMENT), [[1], None, [], [2, 3]]),
    (pa.array([[1], None, [], [2, 3]], pa.list_view(pa.int64())), pa.list_(ELEMENT), [[1], None, [], [2, 3]]),
    (
        pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
        pa.struct([("b", pa.string()), ("more", pa.date32()), ("a", pa.int64())]),
        [{"b": "x", "more": None, "a": 1}, None, {"b": None, "more": None, "a": None}],
    ),
    (
        pa.array([[("k", [1])], None, [], [("l", None), ("m", [])]], pa.map_(pa.string(), pa.list_(pa.uint8()))),
        pa.map_(pa.string(), pa.list_(pa.field("element", pa.int16()))),
        [[("k", [1])], None, [], [("l", None), ("m", [])]],
    ),
]  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0", "compression": "zstd", "use_dictionary": False}])
@pytest.mark.parametrize(
    ("stored", "target", "expected"), EXACT, ids=lambda value: str(getattr(value, "type", value))[:40]
)
def test_stored_values_become_those_of_the_type(
    stored: pa.Array, target: pa.DataType, expected: list[Any], options: dict[str, Any], read: Read
) -> None:
    found = read(stored, target, **options)

    assert found.type == target
    assert found.combine_chunks().validate(full=True) is None
    if pa.types.is_timestamp(target) and isinstance(next(iter(expected)), int):
        found = found.cast(pa.int64())
    assert [repr(each) for each in found.to_pylist()] == [repr(each) for each in expected]


@pytest.mark.parametrize("stored", [pa.float16(), pa.float64()], ids=str)
def test_nan_stays_nan_as_another_float(stored: pa.DataType, read: Read) -> None:
    assert str(read(pa.array([float("nan")], stored), pa.float32()).to_pylist()) == "[nan]"


def test_each_half_float_is_the_same_number_as_a_float(read: Read) -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)

    found = read(pa.array(halves), pa.float32()).to_numpy()

    np.testing.assert_array_equal(found, halves.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(found), np.signbit(halves))


JSON = pa.array(['{"a": 1}', None], pa.json_())


@pytest.mark.parametrize(
    ("stored", "target", "expected"),
    [
        (STORED_UUIDS, pa.string(), UUID_TEXTS),
        (JSON, pa.string(), ['{"a": 1}', None]),
        (pa.ListArray.from_arrays([0, 2], JSON), pa.list_(pa.field("element", pa.string())), [['{"a": 1}', None]]),
    ],
    ids=["uuid", "json", "list of json"],
)
def test_a_meaning_that_is_not_in_arrows_own_schema_is_found(
    stored: pa.Array, target: pa.DataType, expected: list[Any], read: Read
) -> None:
    assert read(stored, target, store_schema=False).to_pylist() == expected


@given(st.lists(st.none() | st.uuids(), max_size=20), st.integers(0, 20), st.integers(0, 20))
def test_uuids_have_the_text_that_python_gives_them(values: list[uuid.UUID | None], start: int, count: int) -> None:
    stored = pa.array([None if each is None else each.bytes for each in values], pa.binary(16)).slice(start, count)

    found = as_texts(stored)

    found.validate(full=True)
    assert found.to_pylist() == [None if each is None else str(each) for each in values[start : start + count]]


@pytest.mark.parametrize(
    ("stored", "target", "says"),
    [
        (pa.array([1_000, 1_001], pa.timestamp("ns")), pa.timestamp("us"), "a time with parts of a microsecond"),
        (pa.array([2**62], pa.timestamp("ms")), pa.timestamp("us"), "a time that timestamp_ntz does not hold"),
        (pa.array([1, 2**53 + 1]), pa.float64(), "a bigint that double does not hold exactly"),
        (pa.array([2**63 - 1]), pa.float64(), "a bigint that double"),
        (pa.array([2**24 + 1], pa.int32()), pa.float32(), "an? int that float"),
        (pa.array([1, 300]), pa.int8(), "a bigint that tinyint"),
        (pa.array([1.0, 1.5]), pa.int64(), "a double that bigint"),
        (pa.array([2.0**63]), pa.int64(), "a double that bigint"),
        (pa.array([2.0**31], pa.float32()), pa.int32(), "a float that int"),
        (pa.array([1.0, float("nan")]), pa.int64(), "a double that bigint"),
        (pa.array([float("inf")]), pa.int64(), "a double that bigint"),
        (pa.array([1.0, 0.1]), pa.float32(), "a double that float"),
        (pa.array([Decimal("9.995")]), pa.decimal128(10, 2), r"a decimal\(4,3\) that decimal\(10,2\)"),
        (pa.array([Decimal("100.0")]), pa.decimal128(3, 1), r"a decimal\(4,1\) that decimal\(3,1\)"),
        (pa.array([Decimal("1.5")]), pa.int64(), "a decimal"),
        (pa.array([100]), pa.decimal128(4, 2), "a bigint that decimal"),
        (pa.array([[1], [2**53 + 1]]), pa.list_(pa.float64()), "a bigint that double"),
        (pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), pa.timestamp("us"), "a date that timestamp_ntz"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)  # fmt: skip
def test_a_value_that_the_type_does_not_hold_is_an_error(
    stored: pa.Array, target: pa.DataType, says: str, read: Read, tmp_path: Path
) -> None:
    with pytest.raises(SourceSchemaError, match=says) as caught:
        read(stored, target)

    assert str(caught.value).startswith(f"[INPUT_VALUE] column 'x' of input file '{tmp_path / 'a.parquet'}'")


def test_old_times_are_instants(read: Read) -> None:
    times = pa.array([-1_000, None, 10_413_792_000_000_000_000 // 2], pa.timestamp("ns"))

    found = read(times, UTC, use_deprecated_int96_timestamps=True)

    assert found.to_pylist() == times.cast(UTC).to_pylist()


def test_columns_are_found_by_name_and_missing_ones_are_null(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"b": [1, 2], "left out": [0, 0], "a.b": ["x", None], "s": [{"b": 1}, None]}), tmp_path / "a.parquet"
    )
    reader = columns(**{"a.b": pa.string(), "c": pa.map_(pa.string(), pa.int8()), "b": pa.int64()})

    found = rows_of(reader, whole(tmp_path / "a.parquet"))

    assert found.to_pylist() == [{"a.b": "x", "c": None, "b": 1}, {"a.b": None, "c": None, "b": 2}]


def test_a_column_that_each_file_had_and_one_lacks_now_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    planned = [ColumnRead(name, pa.int64(), is_everywhere=name != "c") for name in "abc"]
    part = whole(tmp_path / "a.parquet")

    with pytest.raises(SourceError, match=r"\[INPUT_CHANGED\].*a\.parquet.*got no column 'b', expected the columns"):
        list(ParquetReader(tuple(planned)).read(part))
    # A column that the task does not need is not looked for.
    assert rows_of(ParquetReader(tuple(planned)).only(["a", "c"]), part).to_pylist() == [{"a": 1, "c": None}]


@pytest.mark.parametrize(
    "field",
    [
        pa.field("x", pa.int64()),
        pa.field("x", pa.int64(), nullable=False),
        pa.field("x", pa.int64(), metadata={"PARQUET:field_id": "7"}),
        pa.field("x", pa.list_(ELEMENT)),
        pa.field("x", pa.large_string()),
    ],
    ids=str,
)
def test_rows_have_the_schema_of_the_reader_whatever_that_of_the_file_says(field: pa.Field, tmp_path: Path) -> None:
    is_text = pa.types.is_large_string(field.type)
    types = {"x": pa.string() if is_text else field.type, "y": pa.float32()}
    values = pa.array([[1], []] if pa.types.is_nested(field.type) else ["a", "b"] if is_text else [1, 2])
    table = pa.Table.from_arrays(
        [values.cast(field.type), pa.array([0.5, None], pa.float32())],
        schema=pa.schema([field, ("y", pa.float32())], metadata={"pandas": "{}"}),
    )
    pq.write_table(table, tmp_path / "a.parquet")
    reader = columns(**types)

    batches = list(reader.read(whole(tmp_path / "a.parquet")))

    assert all(batch.schema.equals(reader.schema(), check_metadata=True) for batch in batches)
    assert pa.Table.from_batches(batches).to_pylist() == table.to_pylist()


def test_a_reader_of_some_columns_keeps_their_order_and_can_be_sent(tmp_path: Path) -> None:
    (tmp_path / "k=a b" / "day=__HIVE_DEFAULT_PARTITION__").mkdir(parents=True)
    path = tmp_path / "k=a b" / "day=__HIVE_DEFAULT_PARTITION__" / "a.parquet"
    pq.write_table(pa.table({"x": [1, 2], "y": [3, 4]}), path)
    wanted = [("k", pa.string()), ("x", pa.int64()), ("y", pa.int64()), ("day", pa.string())]
    reader = ParquetReader(tuple(ColumnRead(*each) for each in wanted), FolderKeys(str(tmp_path), ("k", "day")))

    for chosen in (["y", "k"], ["day"], ["x"], []):
        some = pickle.loads(pickle.dumps(reader.only(chosen)))  # noqa: S301 - it was pickled here
        found = list(some.read(whole(path)))
        values = {"k": "a b", "x": 1, "y": 3, "day": None}
        assert [batch.num_rows for batch in found] == [2]
        assert found[0].schema == some.schema()
        assert found[0].slice(0, 1).to_pylist() == [{name: values[name] for name in values if name in chosen}]


@given(
    row_count=st.integers(0, 40),
    group=st.integers(1, 15),
    sizes=st.tuples(st.integers(1, 20), st.none() | st.integers(1, 20)),
    part=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    names=st.sampled_from(["xl", "l", "o"]),
)
def test_any_rows_of_a_file_can_be_read(
    row_count: int,
    group: int,
    sizes: tuple[int, int | None],
    part: tuple[int, int],
    names: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("parts") / "a.parquet"
    (start, count), (batch, step) = part, sizes
    lists = pa.array([[number] * (number % 3) for number in range(row_count)], pa.list_(pa.int64()))
    table = pa.table({"x": pa.array(range(row_count), pa.int64()), "l": lists})
    pq.write_table(table, path, row_group_size=group)
    reader = columns(x=pa.int64(), l=pa.list_(ELEMENT), o=pa.int8()).only(names)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_MOST_ROWS", batch)
        patched.setattr(module, "_MOST_FIXED_ROWS", batch)
        if start + count > row_count:
            with pytest.raises(SourceError, match=rf"\[INPUT_CHANGED\].*got {row_count} rows"):
                list(reader.read(FilePart(str(path), start, count)))
            return
        found = list(reader.read(FilePart(str(path), start, count), step))

    assert sum(each.num_rows for each in found) == count
    assert all(each.num_rows > 0 for each in found)
    expected = table.append_column("o", pa.nulls(row_count)).slice(start, count)
    for name in names:
        assert [value for each in found for value in each[name].to_pylist()] == expected[name].to_pylist()


def test_batches_of_large_rows_are_small(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": ["a" * 100_000] * 400}), tmp_path / "a.parquet", use_dictionary=False)

    found = list(columns(x=pa.string()).read(whole(tmp_path / "a.parquet")))

    assert max(batch.nbytes for batch in found) < 20_000_000


@pytest.mark.parametrize(
    ("width", "type_", "sizes"),
    [
        (1, pa.int64(), [60_000, 10_000]),
        (1, pa.string(), [10_000] * 7),
        (30, pa.float64(), [60_000, 10_000]),
        (70, pa.float64(), [20_000] * 3 + [10_000]),
    ],
)
def test_rows_of_a_fixed_size_are_read_in_large_batches_of_whole_mini_batches(
    width: int, type_: pa.DataType, sizes: list[int], tmp_path: Path
) -> None:
    values = pa.repeat(pa.scalar(1, pa.int64()), 70_000).cast(type_)  # a byte for each in the file, at most
    pq.write_table(pa.table({f"x{number}": values for number in range(width)}), tmp_path / "a.parquet")
    reader = columns(**{f"x{number}": type_ for number in range(width)})

    assert [batch.num_rows for batch in reader.read(whole(tmp_path / "a.parquet"), 10_000)] == sizes


@pytest.mark.parametrize(("first", "count", "size"), [(0, 10, 10), (5, 10, 15), (0, 70_000, 65_536)])
def test_a_record_batch_has_no_more_rows_than_are_wanted(
    first: int, count: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"x": range(70_000)}), tmp_path / "a.parquet")
    sizes = []
    iter_batches = pq.ParquetFile.iter_batches

    def noted(file: Any, rows: int, *args: Any, **options: Any) -> Any:
        sizes.append(rows)
        return iter_batches(file, rows, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)

    found = rows_of(columns(x=pa.int64()), FilePart(str(tmp_path / "a.parquet"), first, count))

    assert sizes == [size]
    assert found["x"].to_pylist() == list(range(first, first + count))


def test_what_follows_the_part_is_not_decoded(tmp_path: Path) -> None:
    values = pa.array([1_000] * 10 + [1_001] * 10, pa.timestamp("ns"))
    pq.write_table(pa.table({"x": values}), tmp_path / "a.parquet", row_group_size=15)

    assert rows_of(columns(x=pa.timestamp("us")), FilePart(str(tmp_path / "a.parquet"), 0, 10)).num_rows == 10


@pytest.mark.parametrize("names", [["id", "x"], ["x"]])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_rows_that_pyarrow_misses_are_an_error(names: list[str], count: int, tmp_path: Path) -> None:
    table = pa.table({"id": range(4), "x": pa.array([None, [1], [2], [3]], pa.list_(pa.uint8()))})
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, table.schema, data_page_size=1) as writer:
        # PyArrow 25 reads no row of this row group, and would go on with the next one.
        writer.write_table(table.slice(0, 1))
        writer.write_table(table.slice(1))
    assert [batch["x"].to_pylist() for batch in pq.ParquetFile(path).iter_batches(1)] == [[[1]], [[2]], [[3]]]
    reader = columns(id=pa.int64(), x=pa.list_(pa.field("element", pa.int16()))).only(names)

    with pytest.raises(SourceError, match=r"\[INPUT_UNREADABLE\].*got 0 of 1 rows"):
        list(reader.read(FilePart(str(path), 0, count)))


VALUE = 123_456_789


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<q", VALUE))] ^= 2
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def with_a_hole(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(500) + content[504:])


@pytest.mark.parametrize("change", [damaged, truncated, emptied, with_a_hole, Path.unlink])
def test_a_file_that_cannot_be_read_is_named(change: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"id": pa.array([1, VALUE, 2**40] * 200, pa.int64())})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    part = whole(path)
    change(path)

    with pytest.raises(SourceError, match=r"\[INPUT_UNREADABLE\]") as caught:
        list(columns(id=pa.int64()).read(part))

    assert str(path) in str(caught.value)
    assert str(VALUE) not in str(caught.value)
    # Spark's reader might read a damaged file, but not one that is gone.
    assert ("'input.reader: spark'" in caught.value.next_step) == path.exists()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"x": ["1"]}, "column 'x' has the type string"),
        ({"X": [1]}, "column 'x' is spelled in another way"),
        ({"x": [1], "X": [1]}, "column 'x' cannot be told from another"),
    ],
)
def test_a_file_that_is_no_longer_the_planned_one_is_not_read(table: dict[str, Any], says: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(table), tmp_path / "a.parquet")

    with pytest.raises(SourceError, match=rf"\[INPUT_CHANGED\].*{says}"):
        list(columns(x=pa.int64()).read(whole(tmp_path / "a.parquet")))
