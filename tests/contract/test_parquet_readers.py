"""The reader of the workers against Spark's reader: equal values and types, or a reason why Spark must read."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.functions import lit
from pyspark.sql.types import DataType, StructField, StructType

from sparkscore.config import Input
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.parquet import FilePart, ParquetReader
from sparkscore.parquet.casting import InexactError, find_cast
from sparkscore.parquet.stored import UnreadableError
from sparkscore.plan import InputFile
from sparkscore.sources import open_source, parquet_rows
from sparkscore.sources.folder_keys import read_keys
from sparkscore.sources.footers import read_footers
from sparkscore.sources.parquet_reader import choose_reader
from sparkscore.sources.parquet_source import ParquetSource
from sparkscore.sources.parquet_types import is_castable
from sparkscore.spark.schema import schema_of, to_arrow
from sparkscore.worker.intake import settle_types
from tests.support.all_types import write_all_types

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def opened(spark: SparkSession, place: Path, **more: Any) -> ParquetSource:
    config = Input.model_validate({"location": [str(place)], "format": "parquet", **more})
    source = open_source(spark, config, is_files_by_default=False)
    assert isinstance(source, ParquetSource)
    return source


def read_by_spark(source: ParquetSource) -> pa.Table:
    """Return the rows as a worker gets them from Spark."""
    frame = source.frame()
    assert frame is not None
    table = frame.drop(*HIDDEN_COLUMNS).toArrow().combine_chunks()
    return pa.Table.from_batches([settle_types(batch) for batch in table.to_batches()])


def chosen(spark: SparkSession, source: ParquetSource, **more: Any) -> ParquetReader | str:
    files, schema = source._files, source.columns()
    assert schema is not None
    keys = None
    if files.folder is not None:
        keys = read_keys(spark, files.files, files.folder, schema, files.keys, files.zone)
    return choose_reader(files.files, source._footers.of_files, schema, keys, more.get("options"))


def read_by_workers(source: ParquetSource, reader: ParquetReader) -> pa.Table:
    parts = [FilePart(file.path, 0, pq.read_metadata(file.path).num_rows) for file in source.snapshot.files]
    batches = [batch for part in parts if part.row_count for batch in reader.read(part)]
    return pa.Table.from_batches(batches, reader.schema())


def texts_of(table: pa.Table) -> dict[str, list[str]]:
    """Return the rows, ordered by id, in a form in which NaN equals itself, and 0.0 does not equal -0.0."""
    return {name: [repr(value) for value in table.sort_by("id")[name].to_pylist()] for name in table.schema.names}


def check_equal(spark: SparkSession, place: Path, reason: str = "", **more: Any) -> None:
    """Check that both readers give the same rows, or that Spark must read for a reason that contains a text."""
    source = opened(spark, place, **more)
    reader = chosen(spark, source, **more)
    if isinstance(reader, str) and reason and reason in reader:
        return
    assert isinstance(reader, ParquetReader), reader

    expected, found = read_by_spark(source), read_by_workers(source, reader)

    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.num_rows == source.snapshot.items
    by_spark, by_workers = texts_of(expected), texts_of(found)
    for name, values in by_spark.items():
        assert by_workers[name] == values, name


def test_workers_get_from_spark_the_types_that_the_reader_gives(spark: SparkSession, tmp_path: Path) -> None:
    write_all_types(tmp_path / "in")
    source = opened(spark, tmp_path / "in")
    reader = chosen(spark, source)
    assert isinstance(reader, ParquetReader)

    def schemas(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"schema": [settle_types(batch).schema.serialize().to_pybytes()]})

    frame = source.frame()
    assert frame is not None
    for row in frame.mapInArrow(schemas, "schema binary").collect():
        found = pa.ipc.read_schema(pa.py_buffer(bytes(row["schema"])))
        rows = pa.schema([field for field in found if field.name not in HIDDEN_COLUMNS])
        assert rows.equals(reader.schema(), check_metadata=True)


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


def test_names_of_folders_that_spark_reads_otherwise_are_left_to_it(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "k=%C3%A9").mkdir()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "k=%C3%A9" / "a.parquet")
    source = opened(spark, tmp_path)

    with pytest.raises(UnreadableError, match="k=%C3%A9' has escaped bytes"):
        chosen(spark, source)
    assert read_by_spark(source)["k"].to_pylist() != ["é"]


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
