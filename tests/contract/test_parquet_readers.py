"""The reader of the workers against Spark's reader: equal values and types, or a reason why Spark must read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql.functions import lit
from pyspark.sql.types import DataType, StructField, StructType

from sparkscore.config import Input
from sparkscore.errors import SourceSchemaError
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.parquet.casting import InexactError, find_cast
from sparkscore.plan import InputFile
from sparkscore.sources import PlannedRows, open_source, parquet_rows
from sparkscore.sources.footers import read_footers
from sparkscore.sources.parquet_source import ParquetSource
from sparkscore.sources.parquet_types import is_castable
from sparkscore.spark.schema import schema_of, to_arrow
from sparkscore.worker.intake import settle_types
from tests.support.all_types import write_all_types
from tests.support.both_readers import check_same_rows, read_by_spark
from tests.support.settings import session_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: More rounds than in `make test`, for a longer search.
ROUNDS = int(os.environ.get("PARQUET_READER_ROUNDS", "12"))


def opened(spark: SparkSession, place: Path, **more: Any) -> ParquetSource:
    config = Input.model_validate({"location": [str(place)], "format": "parquet", **more})
    source = open_source(spark, config, is_files_by_default=False)
    assert isinstance(source, ParquetSource)
    return source


def check_equal(spark: SparkSession, place: Path, reason: str = "", **more: Any) -> None:
    """Check that both readers give the same rows, or that Spark must read for a reason that contains a text."""
    check_same_rows(opened(spark, place, **more), reason)


def test_workers_get_from_spark_the_types_that_the_reader_gives(spark: SparkSession, tmp_path: Path) -> None:
    write_all_types(tmp_path / "in")
    source = opened(spark, tmp_path / "in")
    planned = source.planned_rows()
    assert isinstance(planned, PlannedRows)

    def schemas(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"schema": [settle_types(batch).schema.serialize().to_pybytes()]})

    frame = source.frame()
    assert frame is not None
    for row in frame.mapInArrow(schemas, "schema binary").collect():
        found = pa.ipc.read_schema(pa.py_buffer(bytes(row["schema"])))
        rows = pa.schema([field for field in found if field.name not in HIDDEN_COLUMNS])
        assert rows.equals(planned.reader.schema(), check_metadata=True)


@pytest.mark.parametrize("is_by_spark", [False, True])
def test_all_types_are_read_alike(spark: SparkSession, tmp_path: Path, *, is_by_spark: bool) -> None:
    write_all_types(tmp_path / "in")
    if is_by_spark:
        spark.read.parquet(str(tmp_path / "in")).write.partitionBy("day").parquet(str(tmp_path / "copy"))

    check_equal(spark, tmp_path / "copy" if is_by_spark else tmp_path / "in")


def test_files_of_pandas_are_read_alike(spark: SparkSession, tmp_path: Path) -> None:
    moments = pd.to_datetime(["1677-09-22", "", "2262-04-11"])
    frame = pd.DataFrame({
        "id": range(3),
        "clock": moments,
        "at": moments.tz_localize("UTC").tz_convert("Europe/Berlin"),
        "nothing": [None] * 3,
        "category": pd.Categorical(["a", None, "b"]),
        "number": pd.array([1, None, 2**63 - 1], "Int64"),
        "text": pd.array(["a", None, ""], "string"),
        "list": [[1.5, None], None, []],
    }, index=["x", "y", "z"])  # fmt: skip
    frame.to_parquet(tmp_path / "a.parquet")

    check_equal(spark, tmp_path / "a.parquet")


KEY_TYPES = {
    "n smallint": ["007", "-5.0", None],
    "x double": ["1e3", "NaN", None],
    "m decimal(5,2)": ["1.50", "-0.1", None],
    "b boolean": ["TRUE", "false", None],
    "d date": ["2026-1-5", "0001-01-01", None],
    "t timestamp": ["2026-03-29 02:30", "2026-03-29T02:30:00.5+02:00", None],
    "l timestamp_ntz": ["2026-03-29 02:30", "1500-01-01", None],
    "s string": ["007", "a b/c", None],
}


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_declared_keys_are_read_alike(spark: SparkSession, tmp_path: Path, zone: str | None) -> None:
    for number in range(3):
        place = tmp_path
        for declared, texts in KEY_TYPES.items():
            text = texts[number]
            value = "__HIVE_DEFAULT_PARTITION__" if text is None else quote(text, safe=" ")
            place /= f"{declared.split()[0]}={value}"
        place.mkdir(parents=True)
        pq.write_table(pa.table({"id": [number]}), place / "a.parquet")
    options = {} if zone is None else {"timeZone": zone}

    check_equal(spark, tmp_path, schema=", ".join(["id int", *KEY_TYPES]), options=options)


def test_integers_of_several_widths_are_read_alike(spark: SparkSession, tmp_path: Path) -> None:
    for number, name in enumerate(("int8", "int64", "int16", "uint32", "int32", "uint8")):
        bounds = np.iinfo(name)
        values = pa.array([int(bounds.min), None, int(bounds.max)], pa.type_for_alias(name))
        table = pa.table({"id": [number * 3, number * 3 + 1, number * 3 + 2], "x": values})
        pq.write_table(table, tmp_path / f"{number}.parquet")

    check_equal(spark, tmp_path)


def test_names_of_folders_that_spark_reads_otherwise_are_left_to_it(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "k=%C3%A9").mkdir()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "k=%C3%A9" / "a.parquet")
    source = opened(spark, tmp_path)

    assert "k=%C3%A9' has escaped bytes" in str(source.planned_rows())
    assert read_by_spark(source)["k"].to_pylist() != ["é"]


@pytest.mark.parametrize(
    ("values", "options", "told"),
    [
        (pa.array([0.5], pa.float16()), {}, r"\[INPUT_TYPES\] column 'x' .*/a\.parquet'.*halffloat"),
        (pa.array([bytes(16)], pa.uuid()), {}, r"\[INPUT_TYPES\] column 'x' .*/a\.parquet'.*arrow\.uuid"),
        (pa.array([1.5]), {"compression": "brotli"}, r"\[INPUT_CODEC\] .*/a\.parquet'.*BROTLI"),
    ],
    ids=["half", "uuid", "brotli"],
)
def test_what_only_the_workers_read_is_refused_where_spark_must_read(
    values: pa.Array, options: dict[str, str], told: str, spark: SparkSession, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"id": [1], "x": values}), tmp_path / "a.parquet", **options)

    assert isinstance(opened(spark, tmp_path).planned_rows(), PlannedRows)
    with pytest.raises(SourceSchemaError, match=rf"{told}.*'input.reader' is spark.*Set 'input.reader: worker'"):
        opened(spark, tmp_path, reader="spark")
    source = opened(spark, tmp_path, options={"datetimeRebaseMode": "LEGACY"})
    with pytest.raises(SourceSchemaError, match=rf"{told}.*'input.options' has datetimeRebaseMode: LEGACY"):
        source.planned_rows()
    with pytest.raises(SourceSchemaError, match=rf"{told}.*needs its rows"):
        source.frame()


# ---------------------------------------------------------------------------------------------------- casts of numbers
POWERS = [2**power + more for power in (0, 7, 15, 24, 31, 53, 60, 63) for more in (-1, 0, 1)]
EDGES = sorted({sign * power for power in POWERS for sign in (1, -1)})
OF_FLOATS = [
    0.0,
    -0.0,
    0.5,
    0.1,
    1.5,
    2.0**64,
    2.0**-149,
    float("nan"),
    float("inf"),
    -float("inf"),
    *map(float, EDGES),
]
UNITS = [0, 1, -1, 5, 10, 100, 99_999, -12_800, 12_800, 10**18, 10**20 - 1]
NUMBERS: dict[str, pa.Array] = {
    **{
        str(type_): pa.array([each for each in EDGES if -(2 ** (bits - 1)) <= each < 2 ** (bits - 1)], type_)
        for bits, type_ in ((8, pa.int8()), (16, pa.int16()), (32, pa.int32()), (64, pa.int64()))
    },
    "uint32": pa.array([0, 2**24 + 1, 2**31, 2**32 - 1], pa.uint32()),
    "float": pa.array(OF_FLOATS, pa.float32()),
    "double": pa.array([*OF_FLOATS, 1e300, 5e-324, 0.10000000149011612], pa.float64()),
    "decimal": pa.array([Decimal(unit).scaleb(-2) for unit in UNITS], pa.decimal128(22, 2)),
    "whole": pa.array([Decimal(unit) for unit in UNITS], pa.decimal128(22, 0)),
    "date": pa.array([-719_162, 0, 2_932_896], pa.int32()).cast(pa.date32()),
}
TARGETS = (
    *("tinyint", "smallint", "int", "bigint", "float", "double", "timestamp_ntz"),
    *("decimal(5,2)", "decimal(20,0)", "decimal(21,2)", "decimal(38,4)"),
)


def arrow_type(data_type: DataType) -> pa.DataType:
    return to_arrow(StructType([StructField("x", data_type)])).field("x").type


def cast_one_by_one(array: pa.Array, target: pa.DataType) -> list[Any] | None:
    """Return the values after the cast, with None for those that the type does not hold, or None without a cast."""
    cast = find_cast(array.type, target)
    if cast is None:
        return None
    found = []
    for position in range(len(array)):
        try:
            found += cast(array.slice(position, 1)).to_pylist()
        except InexactError:
            found.append(None)
    return found


def test_a_cast_is_exact_where_sparks_is(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    length = max(map(len, NUMBERS.values()))
    padded = {
        name: pa.concat_arrays([array, pa.nulls(length - len(array), array.type)]) for name, array in NUMBERS.items()
    }
    pq.write_table(pa.table({"id": range(length), **padded}), tmp_path / "a.parquet")
    # Where a value would be refused, it is NULL.
    monkeypatch.setattr(parquet_rows, "refuse_value", lambda _, data_type: lit(None).cast(data_type))
    (footer,) = read_footers([InputFile(str(tmp_path / "a.parquet"), 1, 1)]).of_files
    assert footer is not None
    targets = {target: schema_of({"x": target})["x"].dataType for target in TARGETS}
    types = {name: found.spark for name, found in footer.columns.items() if name in NUMBERS and found.spark is not None}
    pairs = [(name, target) for name in types for target in TARGETS if is_castable(types[name], targets[target])]
    values = [
        parquet_rows._value(name, footer.columns[name], types[name], targets[target]).alias(f"{name} {target}")
        for name, target in pairs
    ]
    expected = spark.read.parquet(str(tmp_path / "a.parquet")).select("id", *values).toArrow().sort_by("id")

    without = set()
    for name, target in pairs:
        array = NUMBERS[name].cast(arrow_type(types[name]))
        found = cast_one_by_one(array, arrow_type(targets[target]))
        if found is None:
            without.add((name, target))
            continue
        by_spark = expected[f"{name} {target}"].to_pylist()[: len(array)]
        assert list(map(repr, found)) == list(map(repr, by_spark)), (name, target)

    floats, decimals_ = {"float", "double"}, {"decimal", "whole", *(each for each in TARGETS if "decimal" in each)}
    assert {pair for pair in pairs if floats & {*pair} and decimals_ & {*pair}} == without


# ------------------------------------------------------------------------------------------------------- random files
@dataclass(frozen=True)
class Kind:
    """A type in the files, with a strategy for its values."""

    type: pa.DataType
    each: st.SearchStrategy[Any]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
MICROSECONDS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


def integers(type_: pa.DataType) -> Kind:
    bits = type_.bit_width - (not pa.types.is_unsigned_integer(type_))
    least = 0 if pa.types.is_unsigned_integer(type_) else -(2**bits)
    return Kind(type_, st.integers(least, 2**bits - 1))


def times(unit: str, zone: str | None) -> Kind:
    per_second = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[unit]
    limits = (-9_000_000_000, 9_000_000_000) if unit == "ns" else (-62_135_596_800, 253_402_300_799)
    moments = st.integers(*(limit * min(per_second, 10**6) for limit in limits))
    return Kind(pa.timestamp(unit, zone), moments.map(lambda value: value * 1000) if unit == "ns" else moments)


def decimals(type_: Callable[[int, int], pa.DataType], most: int) -> st.SearchStrategy[Kind]:
    def of_size(size: tuple[int, int]) -> Kind:
        precision, scale = max(size), min(size)
        units = st.integers(-(10**precision) + 1, 10**precision - 1)
        return Kind(type_(precision, scale), units.map(lambda unit: Decimal(f"{unit}e-{scale}")))

    return st.tuples(st.integers(1, most), st.integers(0, most)).map(of_size)


FLAT = st.one_of(
    st.sampled_from([
        Kind(pa.bool_(), st.booleans()),
        *(integers(type_) for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
        *(integers(type_) for type_ in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
        Kind(pa.float32(), st.floats(width=32)),
        Kind(pa.float64(), st.floats()),
        *(Kind(type_, TEXTS) for type_ in (pa.string(), pa.large_string(), pa.string_view())),
        *(Kind(type_, st.binary(max_size=6)) for type_ in (pa.binary(), pa.large_binary(), pa.binary_view())),
        Kind(pa.binary(3), st.binary(min_size=3, max_size=3)),
        Kind(pa.date32(), st.dates()),
        Kind(pa.date64(), st.dates()),
        Kind(pa.dictionary(pa.int8(), pa.string()), TEXTS),
        *(times(unit, zone) for unit in ("s", "ms", "us") for zone in (None, "UTC", "Europe/Berlin")),
    ]),
    decimals(pa.decimal128, 38),
    decimals(pa.decimal256, 38),
    decimals(pa.decimal32, 9),
)  # fmt: skip
NANOS = st.sampled_from([times("ns", None), times("ns", "Asia/Tokyo")])


def lists_of(kind: Kind) -> st.SearchStrategy[Kind]:
    values = st.lists(st.none() | kind.each, max_size=3)
    pairs = st.lists(kind.each, min_size=2, max_size=2)
    return st.sampled_from([
        Kind(pa.list_(kind.type), values),
        Kind(pa.large_list(kind.type), values),
        Kind(pa.list_view(kind.type), values),
        Kind(pa.list_(kind.type, 2), pairs),
    ])  # fmt: skip


def maps_of(kind: Kind) -> st.SearchStrategy[Kind]:
    values = st.dictionaries(TEXTS, st.none() | kind.each, max_size=3).map(lambda found: list(found.items()))
    return st.just(Kind(pa.map_(pa.string(), kind.type), values))


def structs_of(kind: Kind) -> st.SearchStrategy[Kind]:
    fields = {"a b.c": kind.each | st.none(), "n": st.none() | st.integers(-9, 9)}
    return st.just(Kind(pa.struct([("a b.c", kind.type), ("n", pa.int16())]), st.fixed_dictionaries(fields)))


@st.composite
def nested(draw: st.DrawFn) -> Kind:
    # PyArrow cannot write views inside of lists.
    kind = draw(FLAT.filter(lambda flat: "view" not in str(flat.type)))
    for wrap in draw(st.lists(st.sampled_from([lists_of, maps_of, structs_of]), min_size=1, max_size=3)):
        kind = draw(wrap(kind))
    return kind


KINDS = FLAT | NANOS | nested()


@st.composite
def a_column(draw: st.DrawFn, files: int, rows: int) -> list[pa.Array | None]:
    """Return the values of a column in each file: None if the file lacks it, and sometimes an array without a type."""
    kind = draw(KINDS)
    values = kind.each if "fixed_size_list" in str(kind.type) else st.none() | kind.each
    forms = draw(
        st.lists(st.sampled_from(["typed", "typed", "typed", "missing", "null"]), min_size=files, max_size=files)
    )
    found: list[pa.Array | None] = []
    for form in forms:
        drawn = draw(st.lists(values, min_size=rows, max_size=rows))
        found.append(None if form == "missing" else pa.nulls(rows) if form == "null" else pa.array(drawn, kind.type))
    return found


OPTIONS = st.fixed_dictionaries({
    "data_page_version": st.sampled_from(["1.0", "2.0"]),
    "compression": st.sampled_from(["snappy", "zstd", "gzip", "lz4", "none"]),
    "use_dictionary": st.booleans(),
    "row_group_size": st.integers(1, 4),
    "store_schema": st.booleans(),
    "write_page_index": st.booleans(),
    "write_page_checksum": st.booleans(),
    "use_deprecated_int96_timestamps": st.sampled_from([False, False, True]),
    "write_batch_size": st.integers(1, 3),
    # Pages smaller than a value may have no value, for which PyArrow 25 raises an error.
    "data_page_size": st.sampled_from([20, 1 << 20]),
})  # fmt: skip
ZONES = ("UTC", "America/New_York", "Asia/Kolkata")


def encodings_of(arrow_type: pa.DataType, *, is_int96: bool) -> list[str]:
    """Return encodings for a column without a dictionary that both readers have. Spark 4.2 lacks BYTE_STREAM_SPLIT."""
    is_time = pa.types.is_timestamp(arrow_type) and not is_int96
    if is_time or pa.types.is_integer(arrow_type) or pa.types.is_date32(arrow_type):
        return ["PLAIN", "DELTA_BINARY_PACKED"]
    if arrow_type in {pa.string(), pa.large_string(), pa.binary(), pa.large_binary()}:
        return ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]
    return ["PLAIN"]


@st.composite
def encodings(draw: st.DrawFn, schema: pa.Schema, *, is_int96: bool) -> dict[str, str]:
    """Return the encoding of each column that has several."""
    found = {field.name: encodings_of(field.type, is_int96=is_int96) for field in schema}
    return {name: draw(st.sampled_from(names)) for name, names in found.items() if len(names) > 1}


def has_lists_in_maps(arrow_type: pa.DataType) -> bool:
    """Return whether PyArrow 25 may not read small pages of version 2: of lists of structs that are values of maps."""
    text = str(arrow_type)
    return "map<" in text and "list" in text and "struct<" in text


@st.composite
def some_files(draw: st.DrawFn) -> list[tuple[str, pa.Table, dict[str, Any]]]:
    """Return the folder, the rows and the writer's options of each file."""
    count, rows = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    columns = draw(st.lists(a_column(count, rows), min_size=15, max_size=25))
    keys = draw(st.booleans())
    # Within one input, timestamps are stored in one way.
    options: dict[str, Any] = draw(OPTIONS)
    found = []
    for number in range(count):
        present = {f"c{index}": arrays[number] for index, arrays in enumerate(columns) if arrays[number] is not None}
        names = draw(st.permutations(list(present)))
        ids = pa.array(range(number * rows, (number + 1) * rows), pa.int64())
        table = pa.table({"id": ids, **{name: present[name] for name in names}})
        text = draw(TEXTS.filter(lambda text: text.strip(". ") and text.isprintable())) if keys else ""
        escaped = "".join(quote(each, safe="") if each.isascii() else each for each in text)
        options = {**draw(OPTIONS), "use_deprecated_int96_timestamps": options["use_deprecated_int96_timestamps"]}
        if not options["use_dictionary"]:
            is_int96 = options["use_deprecated_int96_timestamps"]
            options["column_encoding"] = draw(encodings(table.schema, is_int96=is_int96))
        if options["data_page_version"] == "2.0" and any(has_lists_in_maps(field.type) for field in table.schema):
            options["data_page_size"] = 1 << 20
        found.append((f"k={escaped}" if keys else ".", table, options))
    return found


# Without shrinking, which takes minutes with Spark.
@settings(
    max_examples=ROUNDS, derandomize=ROUNDS == 12, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(files=some_files(), session_zone=st.sampled_from(ZONES), zone=st.sampled_from([None, *ZONES]))
def test_random_files_are_read_alike(
    files: list[tuple[str, pa.Table, dict[str, Any]]],
    session_zone: str,
    zone: str | None,
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.mktemp("random")
    for number, (folder, table, options) in enumerate(files):
        (place / folder).mkdir(exist_ok=True)
        pq.write_table(table, place / folder / f"{number}.parquet", **options)

    has_fixed_lists = any("fixed_size_list" in str(table.schema) for _, table, _ in files)
    reason = "has lists of a fixed length" if has_fixed_lists else ""
    with session_settings(spark, {"spark.sql.session.timeZone": session_zone}):
        check_equal(spark, place, reason, options={} if zone is None else {"timeZone": zone})

    shutil.rmtree(place)
