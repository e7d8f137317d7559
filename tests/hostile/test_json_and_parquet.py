"""What Spark gives of JSON and Parquet files, value by value, against what was written."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sparkscore
from sparkscore import SparkscoreError
from sparkscore.config import Input
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.sources import json_survey, open_source, shares
from sparkscore.worker.intake import settle_types
from tests.support.ledger import read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkscore.sources import Source

MakeDeployment = Callable[..., Path]
UTC = dt.UTC


def opened(spark: SparkSession, place: Path, **more: Any) -> Source:
    return open_source(spark, Input.model_validate({"location": [str(place)], **more}), is_files_by_default=False)


def rows_of(source: Source, by: str = "id") -> list[dict[str, Any]]:
    """Give the rows as a worker gets them."""
    frame = source.frame()
    assert frame is not None
    batches = [settle_types(batch) for batch in frame.drop(*HIDDEN_COLUMNS).toArrow().to_batches()]
    return sorted((row for batch in batches for row in batch.to_pylist()), key=lambda row: row[by])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
COLUMNS = {
    "i": st.none() | st.integers(-(2**63), 2**63 - 1),
    "small": st.integers(-(2**53), 2**53),
    "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "mixed": st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    "t": st.none() | TEXTS,
    "b": st.none() | st.booleans(),
    "l": st.none() | st.lists(st.none() | st.integers(-5, 5), max_size=3),
    "o": st.none() | st.fixed_dictionaries({"k": TEXTS, "n": st.none() | st.integers(-9, 9)}),
}


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({}, optional=COLUMNS), min_size=1, max_size=12), form=st.integers(0, 3))
def test_json_values_arrive_as_they_were_written(
    rows: list[dict[str, Any]], form: int, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("json")
    records = [{"id": number, **row} for number, row in enumerate(rows)]
    end = ["\n", "\r\n", "\r", "\n\n"][form]
    dump = [json.dumps(record, ensure_ascii=form % 2 == 0) for record in records]
    (place / "a.json").write_bytes(("\ufeff" * (form == 1) + end.join(dump[: len(dump) // 2 + 1]) + end).encode())
    (place / "b.json").write_text("[" + ",\n ".join(dump[len(dump) // 2 + 1 :]).replace("\n", " ") + "]")

    found = rows_of(opened(spark, place))

    assert len(found) == len(records)
    for row, record in zip(found, records, strict=True):
        for name, value in record.items():
            assert row[name] == value
            assert value is None or not isinstance(value, int) or name == "mixed" or type(row[name]) is type(value)
        assert not any(value is not None for name, value in row.items() if name not in record)


def test_large_json_files_are_looked_at_by_the_workers(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_survey, "_FEW_BYTES", 0)
    monkeypatch.setattr(shares, "_SHARE_BYTES", 1000)
    lines = [json.dumps({"id": number, "x": 0.5 * number}) for number in range(300)]
    (tmp_path / "a.json").write_text("\n".join(lines))

    source = opened(spark, tmp_path / "a.json")
    assert [row["x"] for row in rows_of(source)] == [0.5 * number for number in range(300)]
    assert source.count_nulls(["id", "x"]) == {"id": 0, "x": 0}

    lines[222] = '{"id": 1} {"id": 2}'
    (tmp_path / "a.json").write_text("\n".join(lines))
    with pytest.raises(SparkscoreError, match=r"\[INPUT_RECORD\].*line 223.*another record"):
        opened(spark, tmp_path / "a.json")


DECLARED = {
    "tinyint": ("-128", -128),
    "bigint": ("9223372036854775807", 2**63 - 1),
    "double": ("5", 5.0),
    "float": ("0.5", 0.5),
    "decimal(10,2)": ("19.9", decimal.Decimal("19.90")),
    "decimal(38,0)": ("9223372036854775808", decimal.Decimal(2**63)),
    "string": ("1.50", "1.50"),
    "boolean": ("true", True),
    "date": ('"2026-1-5"', dt.date(2026, 1, 5)),
    "timestamp": ('"2026-01-05T10:00:00.123456+02:00"', dt.datetime(2026, 1, 5, 8, 0, 0, 123456, UTC)),
    "timestamp_ntz": ('"2026-01-05 10:00:00"', dt.datetime.fromisoformat("2026-01-05T10:00:00")),
    "binary": ('"AQI="', b"\x01\x02"),
    "array<double>": ("[1, 0.5, null]", [1.0, 0.5, None]),
    "map<string,bigint>": ('{"a": 1}', [("a", 1)]),
}


def test_declared_json_types_hold_what_was_written(spark: SparkSession, tmp_path: Path) -> None:
    values = ", ".join(f'"c{number}": {text}' for number, (text, _) in enumerate(DECLARED.values()))
    (tmp_path / "a.json").write_text(f'{{"id": 1, {values}}}')
    schema = ", ".join(["id int", *(f"c{number} {kind}" for number, kind in enumerate(DECLARED))])

    (row,) = rows_of(opened(spark, tmp_path / "a.json", schema=schema))

    assert [row[f"c{number}"] for number in range(len(DECLARED))] == [value for _, value in DECLARED.values()]


RESPELLED = {
    "bigint": ("9223372036854775807.0", 2**63 - 1),
    "int": ("-2.147483648e9", -(2**31)),
    "tinyint": ("5e0", 5),
    "array<bigint>": ("[5.0, 6, null]", [5, 6, None]),
    "map<string,smallint>": ('{"a": 5.0, "b": 6}', [("a", 5), ("b", 6)]),
    "struct<n: bigint, x: double, t: string>": (
        '{"n": 5.0, "x": 0.1, "t": "1.50"}',
        {"n": 5, "x": 0.1, "t": "1.50"},
    ),
}


def test_declared_integers_may_be_written_with_a_point(spark: SparkSession, tmp_path: Path) -> None:
    values = ", ".join(f'"c`.{number}": {text}' for number, (text, _) in enumerate(RESPELLED.values()))
    (tmp_path / "day=07").mkdir()
    (tmp_path / "day=07" / "a.json").write_text(f'{{"id": 1.0, {values}}}\n{{"id": 2, "c`.0": null}}')
    schema = ", ".join(["id int", *(f"`c``.{number}` {kind}" for number, kind in enumerate(RESPELLED))])

    row, other = rows_of(opened(spark, tmp_path, schema=schema))

    assert [row[f"c`.{number}"] for number in range(len(RESPELLED))] == [value for _, value in RESPELLED.values()]
    assert (row["id"], row["day"], other["id"], other["c`.0"], other["c`.1"]) == (1, "07", 2, None, None)


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16LE", "UTF-16BE"])
def test_json_in_another_encoding_is_read(encoding: str, spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes('{"id": 1, "t": "café"}\r\n{"id": 2, "t": "ÿ"}\n'.encode(encoding))

    found = rows_of(opened(spark, tmp_path / "a.json", options={"encoding": encoding}))

    assert [row["t"] for row in found] == ["café", "ÿ"]


@pytest.mark.parametrize("content", ['[\n {"id": 1},\n {"id": 2}\n]', '\ufeff[{"id": 1},\n{"id": 2}]'])
def test_one_array_over_several_lines_is_read_as_the_refusal_says(
    content: str, spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(SparkscoreError, match="multiLine: true"):
        opened(spark, tmp_path / "a.json")

    assert rows_of(opened(spark, tmp_path / "a.json", options={"multiLine": "true"})) == [{"id": 1}, {"id": 2}]


MOMENTS = pd.to_datetime(
    ["1677-09-22", "1969-12-31T23:59:59.999999", "2026-10-25T02:30", "2262-04-11"], format="ISO8601"
)
# What a script gets for each type, where that is not what PyArrow reads.
FRAME = pd.DataFrame(
    {
        "id": range(4),
        "clock": MOMENTS,
        "at": MOMENTS.tz_localize("UTC").tz_convert("Europe/Berlin"),
        "missing": [MOMENTS[0], None, None, MOMENTS[1]],
        "nothing": [None] * 4,
        "category": pd.Categorical(["a", "b", None, "a"]),
        "u8": np.array([0, 1, 254, 255], "uint8"),
        "u16": np.array([0, 1, 2, 65535], "uint16"),
        "u32": np.array([0, 1, 2, 2**32 - 1], "uint32"),
        "i8": np.array([0, 1, -128, 127], "int8"),
        "f32": np.array([0.1, 1e-45, 3e38, -0.0], "float32"),
        "b": pd.array([True, None, False, True], "boolean"),
        "I": pd.array([1, None, 2**63 - 1, -(2**63)], "Int64"),
        "day": [dt.date(1, 1, 1), None, dt.date(1582, 10, 10), dt.date(9999, 12, 31)],
        "money": [decimal.Decimal("1.50"), None, decimal.Decimal("-0.01"), decimal.Decimal("99.99")],
        "list": [[1.5, None], [], None, [2.5]],
        "struct": [{"x": 1}, None, {"x": None}, {"x": 3}],
        "bytes": [b"\x00\xff", None, b"", b"a"],
    }
)


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"compression": "lz4"}, {"version": "1.0"}], ids=str)
def test_parquet_from_pandas_arrives_as_pyarrow_reads_it(
    options: dict[str, Any], spark: SparkSession, tmp_path: Path
) -> None:
    FRAME.to_parquet(tmp_path / "a.parquet", index=False, **options)

    found = rows_of(opened(spark, tmp_path / "a.parquet"))

    assert found == pq.read_table(tmp_path / "a.parquet").to_pylist()


def test_unsigned_integers_keep_their_values(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "u": pa.array([2**64 - 1], pa.uint64())}), tmp_path / "a.parquet")

    assert rows_of(opened(spark, tmp_path / "a.parquet"))[0]["u"] == 2**64 - 1


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_files_of_other_types_are_read_as_declared(zone: str, spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in" / "k=1").mkdir(parents=True)
    day = dt.date(2026, 3, 29)
    tables = [
        {"id": pa.array([1], pa.int32()), "x": pa.array([0.1], pa.float32()), "n": pa.array([5]), "d": pa.array([day])},
        {
            "id": pa.array([2]),
            "x": pa.array([0.1]),
            "n": pa.array([5.0]),
            "d": pa.array([MOMENTS[2]], pa.timestamp("ns")),
        },
        {"id": pa.array([3]), "x": pa.nulls(1), "n": pa.nulls(1), "d": pa.array([None], pa.timestamp("us"))},
    ]
    for number, columns in enumerate(tables):
        pq.write_table(pa.table(columns), tmp_path / "in" / "k=1" / f"{number}.parquet")
    schema = "n bigint, id bigint, x double, d timestamp_ntz"

    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        found = rows_of(opened(spark, tmp_path / "in", schema=schema))
    finally:
        spark.conf.unset("spark.sql.session.timeZone")

    midnight = dt.datetime.fromisoformat("2026-03-29")
    assert found == [
        {"n": 5, "id": 1, "x": float(np.float32(0.1)), "d": midnight, "k": "1"},
        {"n": 5, "id": 2, "x": 0.1, "d": MOMENTS[2].to_pydatetime(), "k": "1"},
        {"n": None, "id": 3, "x": None, "d": None, "k": "1"},
    ]


@pytest.mark.parametrize(
    ("values", "declared", "says"),
    [
        (pa.array([1000, 1001], pa.timestamp("ns")), None, "parts of a microsecond"),
        (pa.array([-1, 1000], pa.timestamp("ns", "UTC")), None, "parts of a microsecond"),
        (pa.array([1, 2**53 + 1]), "double", "a bigint that double does not hold exactly"),
        (pa.array([1, 300]), "tinyint", "a bigint that tinyint does not hold exactly"),
        (pa.array([1.0, 1.5]), "bigint", "a double that bigint does not hold exactly"),
        (pa.array([1.0, float("nan")]), "bigint", "a double that bigint does not hold exactly"),
        (pa.array([1.0, 0.1]), "float", "a double that float does not hold exactly"),
        (pa.array([decimal.Decimal("19.990"), decimal.Decimal("19.995")]), "decimal(10,2)", "does not hold exactly"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_a_parquet_value_that_the_type_does_not_hold_fails_the_run(
    values: pa.Array,
    declared: str | None,
    says: str,
    spark: SparkSession,
    tmp_path: Path,
    make_deployment: MakeDeployment,
) -> None:
    pq.write_table(pa.table({"v c": values}), tmp_path / "a b.parquet")
    deployment = make_deployment("def run(frame): return [1] * len(frame)", isolation="none")
    options = {} if declared is None else {"input.schema": f"`v c` {declared}"}

    with pytest.raises(SparkscoreError) as caught:
        sparkscore.score(spark, deployment, input=tmp_path / "a b.parquet", output=tmp_path / "out", settings=options)

    assert str(caught.value).startswith("[INPUT_VALUE] column 'v c' of input file")
    assert f"'{tmp_path / 'a b.parquet'}'" in str(caught.value)
    assert says in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_run_carries_times_of_pandas(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> None:
    FRAME[["id", "clock", "at", "nothing"]].to_parquet(tmp_path / "a.parquet", index=False)
    script = "def run(frame): return [str(frame['clock'].dtype)] * len(frame)"

    sparkscore.score(spark, make_deployment(script), input=tmp_path / "a.parquet", output=tmp_path / "out")

    rows = sorted(read_table(tmp_path / "out").to_pylist(), key=lambda row: row["id"])
    assert [row["at"] for row in rows] == [moment.to_pydatetime() for moment in MOMENTS.tz_localize("UTC")]
    assert all(row["prediction"].startswith("datetime64") for row in rows)


def test_old_times_are_read_and_those_that_spark_would_cut_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    at = pa.array([MOMENTS[1], None, MOMENTS[2]], pa.timestamp("ns"))
    table = pa.table({"id": range(3), "at": at})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    source = opened(spark, tmp_path / "a.parquet")
    source.check_contents()
    assert [row["at"] for row in rows_of(source)] == table["at"].cast(pa.timestamp("us", "UTC")).to_pylist()

    table = pa.table({"id": range(3), "at": pa.array([1000, None, 1001], pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    with pytest.raises(SparkscoreError, match=r"\[INPUT_VALUE\] column 'at' of the Parquet file '.*a\.parquet'"):
        opened(spark, tmp_path / "a.parquet").check_contents()
    opened(spark, tmp_path / "a.parquet", columns=["id"]).check_contents()


def test_a_column_that_has_sparks_own_name_keeps_its_values(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"id": 1, "_corrupt_record": "x"}')

    assert rows_of(opened(spark, tmp_path / "a.json")) == [{"id": 1, "_corrupt_record": "x"}]


def test_a_column_without_a_type_in_one_file_takes_the_type_of_the_others(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    empty = {"id": [1], "x": pa.nulls(1), "l": pa.array([[None]], pa.list_(pa.null()))}
    pq.write_table(pa.table(empty), tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"id": [2], "x": ["b"], "l": [[0.5]]}), tmp_path / "in" / "b.parquet")
    pd.DataFrame({"id": [3], "more": [None]}).to_parquet(tmp_path / "in" / "c.parquet")
    pd.DataFrame({"id": []}).to_parquet(tmp_path / "in" / "0.parquet")

    source = opened(spark, tmp_path / "in")

    assert source.snapshot.items == 3
    assert rows_of(source) == [
        {"id": 1, "x": None, "l": [None], "more": None},
        {"id": 2, "x": "b", "l": [0.5], "more": None},
        {"id": 3, "x": None, "l": None, "more": None},
    ]
