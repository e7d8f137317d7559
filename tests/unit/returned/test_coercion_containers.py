"""Columns in the less usual containers, and what of them is refused."""

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
from sparkscore.returned import coerce, infer_type
from sparkscore.returned.arrays import convert_array
from sparkscore.returned.refusal import Refusal
from sparkscore.signature import parse_ddl

NOT_UTF8 = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"\xff"]).buffers())
TWICE = pa.MapArray.from_arrays([0, 1, 3], ["a", "b", "b"], [1, 2, 3])
TOO_LATE = pa.MapArray.from_arrays([0, 1], ["a"], pa.array([2**62]).cast(pa.timestamp("us")))


def type_of(ddl: str) -> pa.DataType:
    return parse_ddl(f"x {ddl}").field("x").type


@pytest.mark.parametrize(
    ("values", "ddl", "stored"),
    [
        ((1, 2), "int", [1, 2]),
        ((item for item in "ab"), "string", ["a", "b"]),
        (pd.Series([0.0, np.nan, 1.0], dtype="Sparse[float]"), "double", [0.0, "nan", 1.0]),
        (pd.Series([np.nan, 1.5]), "double", ["nan", 1.5]),
        (pd.Series([np.nan, 1.5], dtype=object), "double", ["nan", 1.5]),
        (pd.Series([0.0, 1.0, None], dtype="Float64") / pd.Series([0.0, 1.0, 1.0]), "double", ["nan", 1.0, None]),
        (pd.Series([np.nan, 1.5], dtype="category"), "double", [None, 1.5]),
        (pd.Series([np.nan, True], dtype=object), "boolean", [None, True]),
        (pd.Series([["a"], np.nan], dtype=object), "array<string>", [["a"], None]),
        (pd.Series([2**63 - 1, None], dtype="Int64"), "bigint", [2**63 - 1, None]),
        (pd.Series([1, None], dtype="int8[pyarrow]"), "decimal(5,2)", [Decimal("1.00"), None]),
        (pd.Series([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int8()))), "array<bigint>", [[1], None]),
        (pd.Index([1, 2], dtype="int8"), "bigint", [1, 2]),
        (pd.Index(pd.Categorical(["a", None])), "string", ["a", None]),
        (np.ma.MaskedArray([1, 2], [True, False]), "int", [None, 2]),
        (np.ma.MaskedArray(["a", "b"], [True, False]), "string", [None, "b"]),
        (np.ma.MaskedArray([["a", "b"]], [[True, False]]), "array<string>", [[None, "b"]]),
        (np.ma.MaskedArray([[1, 2]], [[True, False]]), "array<int>", [[None, 2]]),
        (np.zeros((0, 2)), "string", []),
        (np.zeros((2, 0)), "array<string>", [[], []]),
        (np.arange(4)[::-2], "int", [3, 1]),
        (np.array([[1, 2], [3, 4]]).T, "array<int>", [[1, 3], [2, 4]]),
        (np.array([np.longdouble(0.5)]), "float", [0.5]),
        ([np.longdouble(0.5), None], "double", [0.5, None]),
        ([np.ma.masked, 1], "int", [None, 1]),
        ([np.array(["a"]), np.array(["bcd"])], "array<string>", [["a"], ["bcd"]]),
        ([np.zeros((1, 2)), np.ones((2, 2))], "array<array<double>>", [[[0, 0]], [[1, 1], [1, 1]]]),
        (pa.chunked_array([], pa.int8()), "int", []),
        (pa.array([1, 2]).dictionary_encode(), "int", [1, 2]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]), "string", ["a", "a", None]),
        (pa.array([[1, 2], None, []], pa.list_view(pa.int8())), "array<int>", [[1, 2], None, []]),
        (pa.array([[1], None, [2, 3]], pa.large_list_view(pa.int8())).slice(1), "array<int>", [None, [2, 3]]),
        (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)).slice(1), "array<int>", [None, [3, 4]]),
        (pa.array([Decimal("1.50")], pa.decimal256(60, 2)), "decimal(2,1)", [Decimal("1.5")]),
        (pa.array([2**70], pa.decimal128(38, 0)), "decimal(22,0)", [Decimal(2**70)]),
        (pa.array([{"b": 1, "a": 2}, None]), "struct<a:int,b:tinyint>", [{"a": 2, "b": 1}, None]),
        (pa.nulls(1), "map<string,int>", [None]),
    ],
)
def test_stored(values: Any, ddl: str, stored: list[Any]) -> None:
    array = coerce(values, type_of(ddl), "x")

    array.validate(full=True)
    assert array.type == type_of(ddl)
    assert ["nan" if isinstance(item, float) and item != item else item for item in array.to_pylist()] == stored  # noqa: PLR0124


@pytest.mark.parametrize(
    ("values", "ddl", "position", "told"),
    [
        (NOT_UTF8, "string", 2, "not UTF-8"),
        (pa.array([None, dt.date(2024, 1, 1)], pa.date64()).cast(pa.int64()).cast(pa.timestamp("ms")), "date", 2, "M8"),
        (pa.array([0, 86_400_001]).cast(pa.timestamp("ms")).view(pa.date64()), "date", 2, "time of day"),
        (pa.array([0, None, 2**30], pa.int32()).view(pa.date32()), "date", 3, "outside the years 1 to 9999"),
        (pa.array([Decimal("1.00"), Decimal("1.55")]), "decimal(10,1)", 2, "rounded or cut"),
        (pa.array([[1], None, [2, 300]]), "array<tinyint>", 3, "outside -2^7 to 2^7-1"),
        (pa.array([None, {"a": 1}]), "struct<b:int>", 2, "struct<a: int64>"),
        (pa.array([{"a": 1}, {"a": 2**40}]), "struct<a:int>", 2, "outside -2^31 to 2^31-1"),
        (TWICE, "map<string,int>", 2, "the same key twice"),
        (TOO_LATE, "map<string,timestamp_ntz>", 1, "cannot read"),
        (pa.array([None, 1], pa.time64("us")), "bigint", 2, "time64"),
        (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())), "boolean", 1, "bool8"),
        (np.array([1, 2]).view("M8"), "timestamp_ntz", 1, "without a unit"),
        ([np.datetime64("2024-01-01"), np.array([5]).view("M8")[0]], "timestamp_ntz", 2, "without a unit"),
        ([np.datetime64("0001-01-01", "W")], "timestamp_ntz", 1, "outside the years"),
        (np.array(["0001-01-01"], "M8[W]"), "timestamp_ntz", 1, "outside the years"),
        (np.array(["2024-01-01", "10000"], "M8[D]"), "timestamp_ntz", 2, "outside the years"),
        (np.zeros((2, 2)), "double", 1, "numpy.ndarray of 1 dimensions"),
        (np.array([[1, 2], [3, 400]]), "array<tinyint>", 2, "outside"),
        (np.array([1, 2**24 + 1]), "float", 2, "int64 that a 32-bit float cannot hold exactly"),
        (np.array([0, 2**64 - 1], np.uint64), "double", 2, "uint64 that a 64-bit float"),
        (np.ma.MaskedArray([900, 1, 900], [True, False, False]), "tinyint", 3, "outside"),
        (np.array([1, 2]), "decimal(1,1)", 1, "rounded or cut"),
        (pd.Series([1, None, 2**60 + 1], dtype="Int64"), "double", 3, "cannot hold exactly"),
        (pd.Series([1.0, np.nan]), "bigint", 1, "got float64"),
        (pd.Series([pd.Period("2024-01")]), "string", 1, "Period"),
        (pd.Series(pd.to_datetime(["2024-01-01"], utc=True)), "timestamp_ntz", 1, "with a time zone"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), "timestamp", 1, "without a time zone"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), "date", 1, "datetime64"),
        ([dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)], "date", 2, ".date()"),
        ([np.longdouble(1) / 3], "double", 1, "cannot hold exactly"),
        ([{"a": 1}, {"a": 1, "b": 2, 3: 4}], "struct<a:int>", 2, "a dict with 'b', 'int'"),
        ([{"a": 1}, {}], "struct<a:int>", 2, "a dict without 'a'"),
        ([{"a": 1}, {"a": 1, None: 2}], "map<string,int>", 2, "NULL as a map key"),
        ([[1], [2, [3]]], "array<int>", 2, "got list"),
    ],
)  # fmt: skip
def test_refused(values: Any, ddl: str, position: int, told: str) -> None:
    with pytest.raises(OutputContractError) as caught:
        coerce(values, type_of(ddl), "x")

    assert caught.value.code == "OUTPUT_TYPE"
    assert caught.value.what == f"column 'x', element {position}"
    assert told.replace("M8", "datetime64") in str(caught.value)


@pytest.mark.parametrize("values", [["a"], [1], np.array([1]), pa.array(["a"])])
def test_a_type_that_spark_does_not_have_is_refused(values: Any) -> None:
    with pytest.raises(OutputContractError, match="expected Arrow uint8"):
        coerce(values, pa.uint8(), "x")


@pytest.mark.parametrize(
    "values", [pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())), pa.array([1], pa.time32("s"))]
)
def test_arrow_types_without_a_spark_type_are_not_inferred(values: Any) -> None:
    with pytest.raises(OutputContractError) as caught:
        infer_type(values, "x")

    assert caught.value.code == "OUTPUT_TYPE"


def test_runs_and_encodings_are_inferred() -> None:
    assert infer_type(pa.RunEndEncodedArray.from_arrays([2], ["a"]), "x") == pa.string()
    dictionaries = pa.ListArray.from_arrays([0, 1], pa.array(["a"]).dictionary_encode())
    assert infer_type(dictionaries, "x") == type_of("array<string>")
    assert coerce(dictionaries, type_of("array<string>"), "x").to_pylist() == [["a"]]
    assert infer_type(pa.array([[0]], pa.list_(pa.timestamp("s"))), "x") == type_of("array<timestamp_ntz>")
    assert infer_type(pa.array([[0]], pa.list_(pa.timestamp("s", "+01:00"))), "x") == type_of("array<timestamp>")


def test_a_column_too_large_for_one_array_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = pa.chunked_array([["a"], ["b"]])
    monkeypatch.setattr("sparkscore.returned.coercion.convert_objects", lambda *_: chunks)

    with pytest.raises(OutputContractError, match="mini_batch_size smaller"):
        coerce(["a", "b"], pa.string(), "x")


class TooLarge:
    """An array of more than 2 GiB, as far as Arrow's casts are concerned."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: int) -> pa.Scalar:
        return self._array[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._array, name)

    def cast(self, _: pa.DataType) -> pa.Array:
        raise pa.ArrowInvalid("Failed casting: input array too large")


@pytest.mark.parametrize(
    ("given", "wanted"), [(pa.large_string(), pa.string()), (pa.large_binary(), pa.binary())], ids=str
)
def test_a_column_of_more_than_two_gib_is_refused_with_the_cure(given: pa.DataType, wanted: pa.DataType) -> None:
    with pytest.raises(Refusal) as caught:
        convert_array(TooLarge(pa.array([None, "a", "b"], given)), wanted)

    assert caught.value.got == f"Arrow {given} of more than 2 GiB"
    assert "mini_batch_size" in caught.value.advice
