from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import ArrayType, CharType, DataType, DoubleType, StructField, StructType, VarcharType

from sparkscore.errors import SourceSchemaError
from sparkscore.plan import InputFile
from sparkscore.sources import parquet_plan
from sparkscore.sources.footers import read_footers
from sparkscore.sources.parquet_plan import ParquetPlan, plan_parquet
from sparkscore.sources.parquet_types import in_order_of
from sparkscore.spark.schema import columns_of, schema_of

Plan = Callable[..., ParquetPlan | None]
NS = pa.timestamp("ns")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    def plan_tables(*tables: pa.Table, declared: str = "", wanted: Any = None, **options: Any) -> ParquetPlan | None:
        files = []
        for number, table in enumerate(tables):
            path = tmp_path / f"{'abcd'[number]}.parquet"
            pq.write_table(table, path, **options)
            files.append(InputFile(str(path), path.stat().st_size, 1))
        told = schema_of(dict(each.split(" ", 1) for each in declared.split("; "))) if declared else None
        return plan_parquet(files, read_footers(files).of_files, told, wanted)

    return plan_tables


def told(plan: Plan, *tables: pa.Table, **more: Any) -> str:
    with pytest.raises(SourceSchemaError) as caught:
        plan(*tables, **more)
    return str(caught.value)


def types(found: ParquetPlan | None) -> dict[str, str]:
    assert found is not None
    return columns_of(found.schema)


def test_files_that_spark_reads_as_they_are_are_left_to_it(plan: Plan) -> None:
    first = pa.table({"a": [1], "s": ["x"], "d": [dt.date(2026, 1, 1)], "l": [[1]], "o": [{"x": 1}]})
    second = pa.table({"o": [{"y": 1.5}], "a": [2], "more": [0.5]})

    assert plan(first, second) is None
    assert plan(first, declared="a bigint; d date; l array<bigint>") is None


def test_times_in_nanoseconds_are_planned(plan: Plan) -> None:
    table = pa.table({"id": [1], "clock": pa.array([1000], NS), "at": pa.array([1000], pa.timestamp("ns", "UTC"))})

    assert types(plan(table)) == {"id": "bigint", "clock": "timestamp_ntz", "at": "timestamp"}
    assert types(plan(table, declared="at timestamp")) == {"at": "timestamp"}
    assert types(plan(table, declared="at bigint")) == {"at": "bigint"}
    assert types(plan(table, wanted=["id"])) == {"id": "bigint"}
    assert "'input.schema: clock timestamp_ntz'" in told(plan, table, declared="clock timestamp")


def test_a_field_with_char_in_its_name_is_checked(plan: Plan) -> None:
    table = pa.table({"s": [{"charge": 2**40}]})

    assert plan(table, declared="s struct<charge:bigint>") is None
    assert "'input.schema: s struct<charge:bigint>'" in told(plan, table, declared="s struct<charge:int>")


@pytest.mark.parametrize(
    ("name", "declared", "of_file"),
    [
        ("t", VarcharType(5), "string"),
        ("t", CharType(5), "string"),
        ("i", VarcharType(5), "bigint"),
        ("l", ArrayType(VarcharType(5)), "array<string>"),
    ],
)
def test_a_text_with_a_length_is_refused(tmp_path: Path, name: str, declared: DataType, of_file: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": ["abcdefgh"], "i": [123456], "l": [["abcdefgh"]]}), path)
    files = [InputFile(str(path), path.stat().st_size, 1)]

    with pytest.raises(SourceSchemaError, match=f"'input.schema: {name} {of_file}'"):
        plan_parquet(files, read_footers(files).of_files, StructType([StructField(name, declared)]), None)


def test_a_column_that_is_all_null_takes_the_type_of_the_others(plan: Plan) -> None:
    nothing = pa.table({"id": [1], "x": pa.nulls(1)})

    assert types(plan(nothing, pa.table({"id": [2], "x": ["a"]}))) == {"id": "bigint", "x": "string"}
    assert types(plan(pa.table({"x": [0.5]}), nothing))["x"] == "double"
    assert types(plan(nothing))["x"] == "string"
    assert types(plan(nothing, declared="x double"))["x"] == "double"


def test_a_file_without_rows_says_nothing_of_types(plan: Plan) -> None:
    empty = pa.table({"id": pa.array([], pa.float64()), "t": pa.array([], pa.time32("s"))})
    whole = pa.table({"id": [1], "t": ["x"]})

    found = plan(empty, whole)

    assert types(found) == {"id": "bigint", "t": "string"}
    assert found is not None
    assert [len(group.files) for group in found.groups] == [1]
    assert types(plan(empty, whole, declared="id bigint; t string")) == {"id": "bigint", "t": "string"}
    assert plan(whole.slice(0, 0), whole) is None


def test_a_declared_type_that_only_some_files_have_is_not_advised_against(plan: Plan) -> None:
    message = told(plan, pa.table({"x": ["a"]}), pa.table({"x": [1]}), declared="x string")

    assert "have it as bigint and string: write it with one type" in message


def test_fields_are_read_in_the_order_of_all_files(plan: Plan) -> None:
    one, other = pa.table({"x": [{"a": None, "b": 5}]}), pa.table({"x": [{"b": 7, "a": 2}]})

    found = plan(one, other)

    assert types(found) == {"x": "struct<a:bigint,b:bigint>"}
    assert found is not None
    read = [group.columns["x"].read for group in found.groups]
    assert [
        in_order_of(arrow_type, found.schema["x"].dataType).simpleString()
        for arrow_type in read
        if arrow_type is not None
    ] == [
        "struct<a:int,b:bigint>",
        "struct<a:bigint,b:bigint>",
    ]
    assert types(plan(other, one)) == {"x": "struct<b:bigint,a:bigint>"}


def test_lists_that_are_all_empty_in_one_file_take_the_type_of_the_others(plan: Plan) -> None:
    nothing = pa.table({"x": pa.array([[], None], pa.list_(pa.null()))})
    whole = pa.table({"x": [["a"]]})

    assert types(plan(nothing, whole)) == {"x": "array<string>"}
    assert types(plan(nothing)) == {"x": "array<string>"}
    assert types(plan(nothing, whole, declared="x array<string>")) == {"x": "array<string>"}
    assert "inner values are all NULL" in told(plan, nothing, pa.table({"x": [[["a"]]]}))


@pytest.mark.parametrize(
    ("one", "other", "advice"),
    [
        (pa.int64(), pa.float32(), "id double"),
        (pa.float32(), pa.float64(), "id double"),
        (pa.decimal128(4, 2), pa.decimal128(5, 3), "id decimal(5,3)"),
        (pa.uint64(), pa.int64(), "id decimal(20,0)"),
        (pa.decimal128(38, 30), pa.int64(), "id double"),
        (pa.int64(), pa.string(), "one type in all files"),
        (pa.bool_(), pa.int64(), "one type in all files"),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), "one type in all files"),
        (pa.date32(), pa.timestamp("us"), "id timestamp_ntz"),
        (pa.list_(pa.int32()), pa.list_(pa.int64()), "id array<bigint>"),
    ],
    ids=str,
)
def test_two_types_are_refused_with_both_files_and_what_helps(
    one: pa.DataType, other: pa.DataType, advice: str, plan: Plan, tmp_path: Path
) -> None:
    tables = [pa.table({"id": pa.nulls(2, arrow_type), "n": [1, 2]}) for arrow_type in (one, one, other)]

    message = told(plan, *tables)

    assert message.startswith("[INPUT_TYPES] column 'id'")
    assert f"'{tmp_path / 'a.parquet'}'" in message
    assert f"'{tmp_path / 'c.parquet'}'" in message
    assert advice in message
    assert plan(*tables, wanted=["n"]) is None
    if "one type" not in advice:
        assert types(plan(*tables, declared=advice)) == dict([advice.split(" ", 1)])


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (pa.array([dt.time(1)]), "time64[us]"),
        (pa.array([1], pa.time32("ms")), "time32[ms]"),
        (pa.array([1], pa.duration("ns")), "duration[ns]"),
        (pa.array([None], pa.decimal256(50, 2)), "decimal"),
        (pa.array([[1]], pa.list_(NS)), "timestamp[ns]"),
        (pa.array([[1]], pa.list_(pa.time32("s"))), "time32"),
        (pa.array([1], pa.int8()).cast(pa.bool8()), "arrow.bool8"),
        (pa.Array.from_pandas(pd.Series(pd.period_range("2026", periods=1, freq="D"))), "pandas.period"),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_types_that_spark_cannot_read_or_takes_for_bare_numbers_are_refused(
    values: pa.Array, type_: str, plan: Plan, tmp_path: Path
) -> None:
    message = told(plan, pa.table({"id": range(len(values)), "c": values}))

    assert message.startswith(f"[INPUT_TYPES] column 'c' of the Parquet file '{tmp_path / 'a.parquet'}'")
    assert type_ in message
    assert "Correct the files: write it" in message
    assert types(plan(pa.table({"id": range(len(values)), "c": values}), wanted=["id"])) == {"id": "bigint"}


def test_the_stored_numbers_of_a_duration_can_be_declared(plan: Plan) -> None:
    assert types(plan(pa.table({"c": pa.array([1], pa.duration("ns"))}), declared="c bigint")) == {"c": "bigint"}


@pytest.mark.parametrize(
    ("types_of_files", "name"),
    [
        ((pa.int32(), pa.int64()), "bigint"),
        ((pa.int64(), pa.int8(), pa.int32()), "bigint"),
        ((pa.int8(), pa.int16()), "smallint"),
        ((pa.uint8(), pa.int8()), "smallint"),
        ((pa.int16(), pa.uint32(), pa.null()), "bigint"),
        ((pa.int32(), pa.int64(), pa.float64(), pa.int8()), "double"),
    ],
    ids=str,
)
def test_integers_of_several_widths_have_the_widest(
    types_of_files: tuple[pa.DataType, ...], name: str, plan: Plan
) -> None:
    tables = [pa.table({"x": pa.nulls(2, arrow_type)}) for arrow_type in types_of_files]

    found = plan(*tables)

    assert types(found) == {"x": name}
    assert found is not None
    assert len(found.groups) == len(tables)
    assert types(plan(*tables[::-1])) == {"x": name}


def test_a_codec_that_no_reader_has_is_refused(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for codec in ("snappy", "zstd", "gzip", "lz4", "brotli", "none"):
        assert plan(pa.table({"id": [1]}), compression=codec) is None
    # PyArrow cannot write LZO.
    monkeypatch.setattr(parquet_plan, "_NO_CODEC", "SNAPPY")

    message = told(plan, pa.table({"id": [1]}))

    assert message.startswith(f"[INPUT_CODEC] Parquet file '{tmp_path / 'a.parquet'}': got values packed with SNAPPY")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("integer", [pa.int8(), pa.int64(), pa.uint32()], ids=str)
def test_integers_in_one_file_and_doubles_in_the_next_are_doubles_whose_values_are_checked(
    integer: pa.DataType, order: int, plan: Plan
) -> None:
    tables = [pa.table({"x": pa.array([1, None], each)}) for each in (integer, pa.float64(), integer)]

    found = plan(*tables[::order])

    assert types(found) == {"x": "double"}
    assert found is not None
    assert {group.columns["x"].spark for group in found.groups} >= {DoubleType()}
    assert plan(tables[1]) is None


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (pa.array(np.array([1, 2], "float16")), "float"),
        (pa.array([bytes(16)], pa.uuid()), "string"),
        (pa.array([[0.5], None], pa.list_(pa.float16())), "array<float>"),
        (pa.StructArray.from_arrays([pa.array([bytes(16)], pa.uuid())], ["u"]), "struct<u:string>"),
        (pa.array([[("k", 0.5)]], pa.map_(pa.string(), pa.float16())), "map<string,float>"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_types_that_only_the_workers_read_are_planned(values: pa.Array, name: str, plan: Plan) -> None:
    table = pa.table({"id": range(len(values)), "c": values})

    found = plan(table)

    assert types(found)["c"].startswith(name)
    assert found is not None
    (group,) = found.groups
    assert group.columns["c"].needs_worker
    assert "write it as" in group.columns["c"].fix
    # Spark reads the types of all columns of a file, also of those that are left out.
    assert types(plan(table, wanted=["id"])) == {"id": "bigint"}
    assert types(plan(table, declared=f"id bigint; c {types(found)['c']}")) == types(found)


def test_a_half_float_may_be_a_float_in_another_file_and_be_declared_as_a_double(plan: Plan) -> None:
    half, single = (pa.table({"x": pa.array([0.5], type_)}) for type_ in (pa.float16(), pa.float32()))

    assert types(plan(half, single)) == {"x": "float"}
    assert types(plan(half, declared="x double")) == {"x": "double"}
    assert "float (halffloat)" in told(plan, half, pa.table({"x": ["a"]}))


@pytest.mark.parametrize(
    ("arrow_type", "declared", "is_planned"),
    [
        (pa.int32(), "bigint", True),
        (pa.int64(), "int", True),
        (pa.float32(), "double", True),
        (pa.int64(), "double", True),
        (pa.float64(), "bigint", True),
        (pa.uint32(), "bigint", False),
        (pa.uint8(), "tinyint", True),
        (pa.large_string(), "string", False),
        (pa.dictionary(pa.int32(), pa.string()), "string", False),
        (pa.date32(), "timestamp_ntz", True),
    ],
    ids=str,
)
def test_declared_types_that_may_hold_the_values_are_accepted(
    arrow_type: pa.DataType, declared: str, plan: Plan, *, is_planned: bool
) -> None:
    assert (plan(pa.table({"c": pa.nulls(1, arrow_type)}), declared=f"c {declared}") is not None) is is_planned


@pytest.mark.parametrize(
    ("arrow_type", "declared"),
    [
        (pa.timestamp("us", "UTC"), "bigint"),
        (pa.timestamp("us"), "timestamp"),
        (pa.timestamp("us", "UTC"), "timestamp_ntz"),
        (pa.date32(), "int"),
        (pa.date32(), "timestamp"),
        (pa.int64(), "string"),
        (pa.string(), "bigint"),
        (pa.bool_(), "bigint"),
        (pa.int64(), "boolean"),
    ],
    ids=str,
)
def test_declared_types_that_mean_something_else_are_refused(
    arrow_type: pa.DataType, declared: str, plan: Plan
) -> None:
    message = told(plan, pa.table({"c": pa.nulls(1, arrow_type)}), declared=f"c {declared}")

    assert message.startswith("[INPUT_TYPES] column 'c' of the parquet files, declared")
    assert "'input.schema: c " in message


def test_a_footer_that_cannot_be_read_is_left_to_spark(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing PAR1")
    files = [InputFile(str(tmp_path / "a.parquet"), 17, 1)]

    assert plan_parquet(files, read_footers(files).of_files, None, None) is None


@pytest.mark.parametrize("nest", [pa.list_, pa.large_list, lambda inner: pa.list_(inner, 1)])
def test_old_times_are_instants_in_lists_of_any_layout(nest: Callable[[pa.DataType], pa.DataType], plan: Plan) -> None:
    times = pa.array([[1_000]], nest(NS))

    assert plan(pa.table({"x": times}), declared="x array<timestamp>", use_deprecated_int96_timestamps=True) is None
