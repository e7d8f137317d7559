"""Which files the workers may read themselves, and the reasons against it."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import DayTimeIntervalType, LongType, StringType, StructField, StructType

from sparkscore.parquet import FolderKeys, ParquetReader, conversion, stored
from sparkscore.parquet.stored import StoredFile
from sparkscore.plan import InputFile
from sparkscore.sources import footers
from sparkscore.sources.footers import read_footers
from sparkscore.sources.parquet_reader import choose_reader
from sparkscore.spark.schema import columns_of, from_arrow, schema_of

Choose = Callable[..., "ParquetReader | str"]


@pytest.fixture
def choose(tmp_path: Path) -> Choose:
    """Return a function that writes files and decides how to read them as a schema."""

    def write_and_choose(ddl: dict[str, str], *tables: pa.Table, **more: Any) -> ParquetReader | str:
        options, keys = more.pop("options", None), more.pop("keys", None)
        files = []
        for number, table in enumerate(tables):
            path = tmp_path / f"{number}.parquet"
            pq.write_table(table, path, **more)
            files.append(InputFile(str(path), path.stat().st_size, 1))
        return choose_reader(files, read_footers(files).of_files, schema_of(ddl), keys, options)

    return write_and_choose


def test_files_of_several_types_are_read_by_the_workers(choose: Choose) -> None:
    reader = choose(
        {"id": "bigint", "x": "double", "k": "string"},
        pa.table({"id": [1], "x": pa.array([1], pa.int32())}),
        pa.table({"x": pa.nulls(1), "id": pa.array([1], pa.uint8())}),
        pa.table({"id": [1], "other": pa.array([dt.time(1)])}),
        pa.table({"id": pa.array([], pa.string())}),
        keys=FolderKeys("/", ("k",)),
    )

    assert isinstance(reader, ParquetReader)
    assert reader.schema() == pa.schema({"id": pa.int64(), "x": pa.float64(), "k": pa.string()})


def test_what_only_the_workers_can_read_is_read_by_them(choose: Choose) -> None:
    halves = pa.table({"x": pa.array([0.5], pa.float16()), "u": pa.array([bytes(16)], pa.uuid())})

    reader = choose({"x": "float", "u": "string"}, halves, compression="brotli")

    assert isinstance(reader, ParquetReader)


def test_the_columns_that_all_files_with_rows_have_are_known(choose: Choose) -> None:
    reader = choose(
        {"id": "bigint", "x": "double", "k": "string"},
        pa.table({"id": [1], "x": [1.0], "k": ["a"]}),
        pa.table({"id": [1], "k": ["a"]}),
        pa.table({"other": pa.array([], pa.int8())}),
        keys=FolderKeys("/", ("k",)),
    )

    assert isinstance(reader, ParquetReader)
    assert {column.name: column.is_everywhere for column in reader.columns} == {"id": True, "x": False, "k": False}
    empty = choose({"id": "bigint"}, pa.table({"id": pa.array([], pa.int64())}))
    assert isinstance(empty, ParquetReader)
    assert not empty.columns[0].is_everywhere


DECIMAL = pa.array([decimal.Decimal("0.1")])


@pytest.mark.parametrize(
    ("target", "values", "reason"),
    [
        ("string", pa.array([1]), "has the type bigint, which does not become string in the same way"),
        ("timestamp", pa.array([1], pa.timestamp("us")), "has the type timestamp_ntz"),
        ("timestamp_ntz", pa.array([1], pa.timestamp("us", "UTC")), "has the type timestamp,"),
        ("bigint", pa.array([1], pa.timestamp("us")), "has the type timestamp_ntz"),
        ("double", DECIMAL, r"has the type decimal\(1,1\)"),
        ("decimal(10,2)", pa.array([0.1]), "has the type double"),
        ("decimal(38,30)", pa.array([1]), "has the type bigint"),
        ("bigint", pa.array([b"a" * 16], pa.uuid()), "has the type string, which does not become bigint"),
        ("binary", pa.array([b"a" * 16], pa.uuid()), "has the type string, which does not become binary"),
        ("string", pa.array([dt.time(1)]), "has values of the type Time"),
        ("array<bigint>", pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), "has lists of a fixed length"),
        ("array<string>", pa.array([[1]]), "has the type bigint"),
        ("struct<a: bigint>", pa.array([{"A": 1}]), "has the type"),
        ("struct<a: bigint, b: bigint>", pa.array([{"b": 1, "A": 1}]), "has the type"),
        ("struct<a: bigint>", pa.array([[1]]), "has the type array<bigint>"),
        ("map<string, bigint>", pa.array([{"a": 1}]), "has the type struct"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)  # fmt: skip
def test_types_that_spark_might_read_otherwise_are_left_to_it(
    target: str, values: pa.Array, reason: str, choose: Choose, tmp_path: Path
) -> None:
    found = choose({"x": target}, pa.table({"x": values}))

    assert isinstance(found, str)
    assert re.search(f"column 'x'.*{reason}.* in '{re.escape(str(tmp_path))}/0.parquet'$", found), found


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pa.table({"X": [1]}), "column 'x' is spelled in another way"),
        (pa.table({"x": [1], "X": [1]}), "column '.' cannot be told from another one"),
        (pa.table({"x": [{"y": 1}], "x.y": [1]}), "column 'x.*' cannot be told from another one"),
    ],
)
def test_names_that_spark_might_match_otherwise_are_left_to_it(table: pa.Table, reason: str, choose: Choose) -> None:
    assert re.match(reason, str(choose({"x": "bigint"}, table)))


def test_lists_in_an_old_layout_are_left_to_spark(choose: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = stored.describe

    def with_other_paths(metadata: pq.FileMetaData) -> StoredFile:
        found = describe(metadata)
        return replace(found, leaves=tuple(replace(leaf, path="x.array") for leaf in found.leaves))

    monkeypatch.setattr(footers, "describe", with_other_paths)

    assert "column 'x' has lists or maps in an old layout" in str(
        choose({"x": "array<bigint>"}, pa.table({"x": [[1]]}))
    )


def test_times_of_old_writers_are_instants(choose: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = stored.describe
    old = "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds, is_from_converted_type=true)"

    def with_converted_type(metadata: pq.FileMetaData) -> StoredFile:
        found = describe(metadata)
        return replace(found, leaves=tuple(replace(leaf, logical=old) for leaf in found.leaves))

    monkeypatch.setattr(footers, "describe", with_converted_type)
    table = pa.table({"x": pa.array([1], pa.timestamp("us"))})

    assert isinstance(choose({"x": "timestamp"}, table), ParquetReader)
    assert "has the type timestamp, " in str(choose({"x": "timestamp_ntz"}, table))


def of_spark(*fields: StructField) -> dict[str, str]:
    return {
        "org.apache.spark.version": "4.2.0",
        "org.apache.spark.sql.parquet.row.metadata": StructType(list(fields)).json(),
    }


def test_files_of_spark_are_read_by_the_workers(choose: Choose) -> None:
    alias = {"__autoGeneratedAlias": "true"}  # of Spark 4.0 and earlier, for an expression without a name
    written = of_spark(StructField("x", LongType(), metadata=alias), StructField("other", DayTimeIntervalType()))
    table = pa.table({"x": [1], "other": [1]}).replace_schema_metadata(written)

    assert isinstance(choose({"x": "bigint"}, table), ParquetReader)


CHAR = StructField("x", StringType(), metadata={"__CHAR_VARCHAR_TYPE_STRING": "char(5)"})


@pytest.mark.parametrize(
    ("values", "texts", "reason"),
    [
        (["a"], of_spark(CHAR), "column 'x' has another type in Spark's schema"),
        ([1], of_spark(StructField("x", DayTimeIntervalType())), "column 'x' has another type in Spark's schema"),
        ([1], of_spark(StructField("other", LongType())), "column 'x' has another type in Spark's schema"),
        ([1], {"org.apache.spark.sql.parquet.row.metadata": "{"}, "Spark's schema cannot be read"),
        (
            [dt.date(2026, 1, 1)],
            {"org.apache.spark.version": "2.4.8"},
            "column 'x' has dates or times in the calendar of Spark 2",
        ),
    ],
)
def test_what_spark_wrote_in_its_own_way_is_left_to_it(
    values: list[Any], texts: dict[str, str], reason: str, choose: Choose
) -> None:
    table = pa.table({"x": values}).replace_schema_metadata(texts)
    target = columns_of(from_arrow(table.schema))

    assert str(choose(target, table)).startswith(reason)


def test_a_type_that_only_spark_knows_in_the_schema_is_left_to_it() -> None:
    assert choose_reader([], [], StructType([CHAR])) == "column 'x' has a type that only Spark knows"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"DatetimeRebaseMode": "legacy"}, "'input.options' has datetimeRebaseMode: legacy"),
        ({"int96RebaseMode": "EXCEPTION"}, "'input.options' has int96RebaseMode: EXCEPTION"),
        ({"parquet.encryption.footer.key": "k"}, "'input.options' has an option for Hadoop, parquet.encryption.foote"),
        ({"mergeSchema": "true", "datetimeRebaseMode": "CORRECTED", "timeZone": "UTC"}, ""),
    ],
)
def test_options_that_change_values_are_left_to_spark(options: dict[str, str], reason: str, choose: Choose) -> None:
    found = choose({"x": "bigint"}, pa.table({"x": [1]}), options=options)

    assert found.startswith(reason) if isinstance(found, str) else not reason


def test_files_that_cannot_be_read_and_codecs_that_arrow_lacks_are_left_to_spark(
    choose: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"PAR1")
    files = [InputFile(str(tmp_path / "x"), 4, 1)]
    found = choose_reader(files, read_footers(files).of_files, StructType())
    assert found == f"the footer of '{tmp_path / 'x'}' cannot be read"

    monkeypatch.setattr(conversion, "_CODECS", frozenset({"LZO"}))
    assert str(choose({"x": "bigint"}, pa.table({"x": [1]}))).startswith("values are packed with SNAPPY in ")
