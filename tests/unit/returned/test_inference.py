"""Types found from values."""

# ruff: noqa: DTZ001 - a clock reading without a zone is one of the cases

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sparkscore.errors import OutputContractError
from sparkscore.returned import infer_type
from sparkscore.signature import type_name

NAIVE = dt.datetime(2024, 1, 1)
AWARE = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([1, None], "bigint"),
        ([np.int8(1), 2], "bigint"),
        ([1.5], "double"),
        ([np.float32(1)], "double"),
        ([1, 0.5], "double"),
        ([float("nan"), 1], "double"),
        ([True, None], "boolean"),
        ([np.True_], "boolean"),
        (["a", np.str_("b")], "string"),
        ([b"a", bytearray(b"b")], "binary"),
        ([dt.date(2024, 1, 1)], "date"),
        ([NAIVE, np.datetime64("2024-01-01"), pd.Timestamp(NAIVE), pd.NaT], "timestamp_ntz"),
        ([AWARE, pd.Timestamp(AWARE), pd.NA], "timestamp"),
        ([Decimal(1)], "decimal(38,18)"),
        ([[1], [], None, (2,)], "array<bigint>"),
        ([[1], [0.5]], "array<double>"),
        ([[[]], [["a"]]], "array<array<string>>"),
        ([np.zeros(2, np.float32), np.zeros(3, np.float32)], "array<double>"),
        ([np.zeros(0)], "array<double>"),
        ([{"a": 1, "b": None}, None, {"b": "x", "a": None}], "struct<a:bigint,b:string>"),
        (np.zeros(0, np.int16), "bigint"),
        (np.zeros((2, 3, 4), np.uint8), "array<array<bigint>>"),
        (np.array([NAIVE], "M8[ns]"), "timestamp_ntz"),
        (np.array([True]), "boolean"),
        (np.array(["a"]), "string"),
        (np.array([1, None], object), "bigint"),
        (pd.Series([1, np.nan, "x"][:2], dtype=object), "bigint"),
        (pd.Series(["x", np.nan], dtype=object), "string"),
        (pd.Series([np.nan, None], dtype=object), "double"),
        (pd.Series([1, None]), "double"),
        (pd.Series([1, None], dtype="Int8"), "bigint"),
        (pd.Series([None, None], dtype="Int8"), "bigint"),
        (pd.Series([0.5], dtype="Float32"), "double"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
        ([{0: 0.25, 1: 0.75}, None, {2: 1}], "map<bigint,double>"),
        (pd.Series(["a", None], dtype="string"), "string"),
        (pd.Series(["a", None], dtype="category"), "string"),
        (pd.Series([1], dtype="int64[pyarrow]"), "bigint"),
        (pd.Series([NAIVE]), "timestamp_ntz"),
        (pd.Series([AWARE]), "timestamp"),
        (pd.Series([0.0, 1.0], dtype="Sparse[float]"), "double"),
        (pd.RangeIndex(3), "bigint"),
        (pd.MultiIndex.from_tuples([(1, 2)]), "array<bigint>"),
        (pa.array([1], pa.uint64()), "bigint"),
        (pa.array(["a"], pa.large_string()), "string"),
        (pa.array([b"a"], pa.binary(1)), "binary"),
        (pa.array([Decimal("1.50")]), "decimal(3,2)"),
        (pa.array([dt.date(2024, 1, 1)], pa.date64()), "date"),
        (pa.array([AWARE], pa.timestamp("s", "Asia/Tokyo")), "timestamp"),
        (pa.array(["a"]).dictionary_encode(), "string"),
        (pa.array([[1.5]], pa.list_(pa.float32(), 1)), "array<double>"),
        (pa.array([{"a": [1]}]), "struct<a:array<bigint>>"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())), "map<string,bigint>"),
        (pa.chunked_array([pa.array([1.5])]), "double"),
    ],
)
def test_inferred(values: Any, name: str) -> None:
    assert type_name(infer_type(values, "x")) == name


@pytest.mark.parametrize(
    "values",
    [[], [None], [None, pd.NA, pd.NaT], [[]], [[None], None], [{"a": None}], pa.nulls(2), pd.Series([None, None])],
)
def test_nothing_but_null_asks_for_a_schema(values: Any) -> None:
    with pytest.raises(OutputContractError, match=r"output\.schema") as caught:
        infer_type(values, "score")

    assert caught.value.code == "OUTPUT_ALL_NULL"
    assert "'score'" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "position", "told"),
    [
        ([1, None, "a"], 3, "got str, expected int like element 1"),
        ([None, "a", 1], 3, "got int, expected str like element 2"),
        ([1, 0.5, "a"], 3, "got str, expected int like element 1"),
        ([True, 1], 2, "got int, expected bool like element 1"),
        ([1, Decimal(1)], 2, "got decimal.Decimal"),
        ([NAIVE, AWARE], 2, "with a time zone, expected datetime.datetime without a time zone"),
        ([dt.date(2024, 1, 1), NAIVE], 2, "without a time zone"),
        (["a", float("nan")], 2, "got float"),
        ([0.5, 2**53 + 1], 2, "got int that a 64-bit float cannot hold exactly"),
        ([1j], 1, "got complex"),
        ([dt.timedelta(1)], 1, "got datetime.timedelta"),
        ([{1}], 1, "got set"),
        ([[1], ["a"]], 2, "got str"),
        ([[1], 2], 2, "got int, expected list like element 1"),
        ([{"a": 1}, {"b": 1}], 2, "without 'a' and with 'b'"),
        ([{"a": 1}, {"a": "x"}], 2, "got str"),
        ([{(1,): 1}], 1, "a key of tuple"),
        ([{"a": 1}, {1: 1}], 2, "without 'a' and with 'int'"),
        ([{1: 1}, {"a": 1}], 2, "a dict with other keys, expected integers as keys, like element 1"),
        ([{1: 1}, {True: 1}], 2, "a dict with other keys"),
        ([{1: 1}, {2: 3, 1: "x"}], 2, "got str"),
        ([{}], 1, "without keys"),
        ([{"a": 1, "A": 1}], 1, "Spark takes for the same name"),
        (pa.array([1], pa.duration("s")), 1, "Arrow duration[s]"),
        (pa.array([Decimal(1)], pa.decimal256(60, 0)), 1, "Arrow decimal256(60, 0)"),
        (np.array([1j]), 1, "got numpy.complex128"),
        (pd.Series([pd.Timedelta(1)]), 1, "got numpy.timedelta64"),
    ],
)
def test_refused(values: Any, position: int, told: str) -> None:
    with pytest.raises(OutputContractError) as caught:
        infer_type(values, "score")

    assert caught.value.code == "OUTPUT_TYPE"
    assert f"column 'score', element {position}:" in str(caught.value)
    assert told in str(caught.value)


def test_values_within_themselves_are_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep = pa.list_(pa.int8())
    for _ in range(60):
        deep = pa.list_(deep)

    with pytest.raises(OutputContractError, match="more than 50 deep"):
        infer_type(loop, "x")
    with pytest.raises(OutputContractError, match="more than 50 deep"):
        infer_type(pa.array([None], deep), "x")
