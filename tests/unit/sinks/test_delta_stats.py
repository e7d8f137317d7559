from __future__ import annotations

import datetime as dt
import io
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.sinks.delta_stats import stats_of
from sparkscore.stage.statistics import FloatColumns
from sparkscore.stage.writer import StageWriter

DAYS_AND_TIMES = st.datetimes(min_value=dt.datetime(1, 1, 2), max_value=dt.datetime(9999, 12, 30)).map(  # noqa: DTZ001 - they get one
    lambda value: value.replace(tzinfo=dt.UTC)
)


def stats_of_table(table: pa.Table, **options: Any) -> dict[str, Any]:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return dict(json.loads(stats_of(pq.read_metadata(file)), parse_float=Decimal))


def stats_of_column(values: list[Any], arrow_type: pa.DataType, **options: Any) -> tuple[Any, Any, Any]:
    stats = stats_of_table(pa.table({"x": pa.array(values, arrow_type)}), **options)
    return stats["minValues"].get("x"), stats["maxValues"].get("x"), stats["nullCount"].get("x")


@pytest.mark.parametrize(
    ("values", "arrow_type", "expected"),
    [
        ([3, None, -(2**63)], pa.int64(), (-(2**63), 3, 1)),
        ([-128, 127], pa.int8(), (-128, 127, 0)),
        ([None, None], pa.int64(), (None, None, 2)),
        ([True, None], pa.bool_(), (None, None, 1)),
        ([b"a", None], pa.binary(), (None, None, 1)),
        ([Decimal("-1.50"), Decimal("9.25")], pa.decimal128(5, 2), (Decimal("-1.50"), Decimal("9.25"), 0)),
        ([dt.date(1, 1, 1), dt.date(9999, 12, 31)], pa.date32(), ("0001-01-01", "9999-12-31", 0)),
        (["b", "", None], pa.string(), ("", "b", 1)),
        (["a" * 40], pa.string(), ("a" * 32, "a" * 32 + "\x7f", 0)),
        (["é" * 40], pa.string(), ("é" * 32, "é" * 32 + "\U0010ffff", 0)),
        (["a" * 32 + "\U0010ffff"], pa.string(), ("a" * 32, None, 0)),
        (["x" * 5000], pa.string(), (None, None, 0)),  # Parquet's footer has no bounds that are so long
        ([[1], None], pa.list_(pa.int64()), (None, None, None)),
        ([[("a", 1)], None], pa.map_(pa.string(), pa.int64()), (None, None, None)),
    ],
)
def test_the_bounds_and_nulls_of_a_column(
    values: list[Any], arrow_type: pa.DataType, expected: tuple[Any, ...]
) -> None:
    assert stats_of_column(values, arrow_type) == expected


def test_times_are_rounded_outwards_to_milliseconds() -> None:
    at = dt.datetime(2026, 11, 1, 5, 30, 0, 123456, dt.UTC)
    whole = at.replace(microsecond=123000)
    last = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC)

    found = [stats_of_column([value], pa.timestamp("us", "UTC")) for value in (at, whole, last)]

    assert found == [
        ("2026-11-01T05:30:00.123Z", "2026-11-01T05:30:00.124Z", 0),
        ("2026-11-01T05:30:00.123Z", "2026-11-01T05:30:00.123Z", 0),
        ("9999-12-31T23:59:59.999Z", None, 0),
    ]


def test_floats_of_other_writers_have_no_statistics() -> None:
    """Since Spark sorts NaN above all numbers, and the footer does not count it."""
    for values in ([1.5, 2.0], [1.5, math.nan], [math.nan]):
        assert stats_of_column(values, pa.float64()) == (None, None, None)


def test_floats_have_bounds_where_the_writer_saw_no_nan(tmp_path: Path) -> None:
    found = []
    for values in ([1.5, -0.0, None], [1.5, math.nan], [math.inf, 1.0], [None, None]):
        with StageWriter(str(tmp_path), 0) as writer:
            writer.write(pa.table({"x": pa.array(values, pa.float64()), "y": pa.array(values, pa.float32())}))
            (file,) = writer.finish()
        stats = json.loads(stats_of(pq.read_metadata(tmp_path / file.path)))
        found.append([stats[name] for name in ("minValues", "maxValues", "nullCount")])

    assert found == [
        [{"x": 0.0, "y": 0.0}, {"x": 1.5, "y": 1.5}, {"x": 1, "y": 1}],
        [{}, {}, {"x": 0, "y": 0}],
        [{"x": 1.0, "y": 1.0}, {}, {"x": 0, "y": 0}],
        [{}, {}, {"x": 2, "y": 2}],
    ]


def test_structs_have_the_statistics_of_their_fields_and_names_may_have_dots() -> None:
    inner = pa.struct([("b", pa.int64()), ("many", pa.list_(pa.int64()))])
    table = pa.table(
        {
            "a.b": pa.array([7, 8, 9]),
            "pairs": pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
            "a": pa.array([{"b": 1, "many": [5]}, {"b": None, "many": []}, None], inner),
            "last": pa.array(["x", "y", None]),
        }
    )

    assert stats_of_table(table) == {
        "numRecords": 3,
        "minValues": {"a.b": 7, "a": {"b": 1}, "last": "x"},
        "maxValues": {"a.b": 9, "a": {"b": 1}, "last": "y"},
        "nullCount": {"a.b": 0, "a": {"b": 2}, "last": 1},
    }


def test_the_first_32_columns_have_statistics() -> None:
    stats = stats_of_table(pa.table({f"c{number}": [number] for number in range(40)}))

    assert list(stats["nullCount"]) == [f"c{number}" for number in range(32)]


def test_the_bounds_of_all_row_groups_count() -> None:
    assert stats_of_column([5, 1, None, None, 9, 7], pa.int64(), row_group_size=2) == (1, 9, 2)
    assert stats_of_column(["b", "x" * 5000], pa.string(), row_group_size=1) == (None, None, 0)


@given(st.lists(st.text(max_size=70), min_size=1, max_size=5))
def test_no_text_is_outside_its_bounds(values: list[str]) -> None:
    lowest, highest, _ = stats_of_column(values, pa.string())

    assert all(lowest.encode() <= value.encode() for value in values)
    assert highest is None or all(value.encode() <= highest.encode() for value in values)


@given(st.lists(DAYS_AND_TIMES, min_size=1, max_size=5))
def test_no_time_is_outside_its_bounds(values: list[dt.datetime]) -> None:
    lowest, highest, _ = stats_of_column(values, pa.timestamp("us", "UTC"))

    assert dt.datetime.fromisoformat(lowest) <= min(values)
    assert max(values) <= dt.datetime.fromisoformat(highest) <= max(values) + dt.timedelta(milliseconds=1)


@given(
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, places=10).filter(lambda d: abs(d) < 10**28),
        min_size=1,
        max_size=5,
    )
)
def test_decimals_keep_their_digits(values: list[Decimal]) -> None:
    lowest, highest, _ = stats_of_column(values, pa.decimal128(38, 10))

    assert (Decimal(lowest), Decimal(highest)) == (min(values), max(values))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_floats_keep_their_bits(values: list[float]) -> None:
    columns = FloatColumns(pa.schema([("x", pa.float64())]))
    table = pa.table({"x": values})
    columns.add(table)

    stats = stats_of_table(table.replace_schema_metadata(columns.metadata()))

    assert (float(stats["minValues"]["x"]), float(stats["maxValues"]["x"])) == (min(values), max(values))
