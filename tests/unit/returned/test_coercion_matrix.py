"""Every Spark type times every awkward Python value, against an oracle written from the rules, not from the code."""

# ruff: noqa: DTZ001 - a clock reading without a zone is one of the cases

from __future__ import annotations

import datetime as dt
import enum
import math
import struct
from array import array as typed_array
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkscore.errors import OutputContractError
from sparkscore.returned import coerce
from sparkscore.signature import parse_ddl, type_name

TYPES = [
    "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(10,2)", "decimal(38,18)", "decimal(20,0)",
    "decimal(5,5)", "string", "binary", "boolean", "date", "timestamp", "timestamp_ntz", "array<bigint>",
    "array<double>", "array<string>", "array<array<float>>", "array<timestamp>", "map<string,int>",
    "map<bigint,double>", "map<string,array<date>>", "struct<a:int,b:string>", "struct<a:double>",
    "struct<a:array<struct<x:bigint>>>", "array<map<string,decimal(10,2)>>",
]  # fmt: skip


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 1


NEW_YORK = ZoneInfo("America/New_York")
VALUES: dict[str, Any] = {
    # missing
    "None": None, "pd.NA": pd.NA, "pd.NaT": pd.NaT, "NaT64": np.datetime64("NaT"),
    # booleans
    "True": True, "np.False": np.False_,
    # integers
    "0": 0, "1": 1, "-129": -129, "127": 127, "2**24+1": 2**24 + 1, "2**31": 2**31, "2**53": 2**53,
    "2**53+1": 2**53 + 1, "2**63-1": 2**63 - 1, "2**63": 2**63, "-2**63": -(2**63), "10**40": 10**40,
    "10**400": 10**400,
    "int8": np.int8(-5), "uint8": np.uint8(255), "uint64 max": np.uint64(2**64 - 1), "int64": np.int64(2**53 + 1),
    # floats
    "1.0": 1.0, "1.7": 1.7, "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-0.0": -0.0, "1e300": 1e300,
    "5e-324": 5e-324, "float16": np.float16(0.5), "float32(0.1)": np.float32(0.1), "float64(0.1)": np.float64(0.1),
    "float32 nan": np.float32("nan"), "np.nan": np.nan,
    # decimals
    "D(1.50)": Decimal("1.50"), "D(1.005)": Decimal("1.005"), "D(1e10)": Decimal("1E+10"), "D(nan)": Decimal("NaN"),
    "D(snan)": Decimal("sNaN"), "D(inf)": Decimal("Infinity"), "D(-0)": Decimal("-0"), "D(0.00001)": Decimal("0.00001"),
    "D(38 digits)": Decimal("12345678901234567890.123456789012345678"), "D(1e999999)": Decimal("1E+999999"),
    "D(12345678.90)": Decimal("12345678.90"), "D(123456789.00)": Decimal("123456789.00"),
    # text and bytes
    "empty": "", "text": "abc", "digits": "1", "NUL": "a\x00b", "emoji": "\N{PILE OF POO}e\u0301",
    "lone surrogate": "a\ud800", "np.str_": np.str_("é"), "bytes": b"\x00\xff", "bytearray": bytearray(b"ab"),
    "memoryview": memoryview(b"xyz"), "memoryview of doubles": memoryview(typed_array("d", [1.5])),
    "np.bytes_": np.bytes_(b"q"),
    # dates
    "date": dt.date(2024, 2, 29), "date 1": dt.date(1, 1, 1), "date 9999": dt.date(9999, 12, 31),
    "date 2300": dt.date(2300, 1, 1), "datetime64[D]": np.datetime64("2024-02-29"),
    # moments
    "naive": dt.datetime(2024, 2, 29, 1, 2, 3, 4), "naive 1": dt.datetime(1, 1, 1),
    "naive 9999": dt.datetime(9999, 12, 31, 23, 59, 59, 999999), "aware utc": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    "midnight": dt.datetime(2024, 1, 1),
    "aware fold 0": dt.datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK),
    "aware fold 1": dt.datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK, fold=1),
    "aware gap": dt.datetime(2024, 3, 10, 2, 30, tzinfo=NEW_YORK),
    "aware before year 1": dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))),
    "aware after 9999": dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-14))),
    "pd.Timestamp": pd.Timestamp("2024-02-29 01:02:03.000004"),
    "pd.Timestamp ns": pd.Timestamp("2024-01-01") + pd.Timedelta(1),
    "pd.Timestamp tz": pd.Timestamp("2024-11-03 06:30", tz="UTC").tz_convert("America/New_York"),
    "pd.Timestamp tz ns": pd.Timestamp(1, tz="UTC"),
    "pd.Timestamp 2300": pd.Timestamp(np.datetime64("2300-01-01", "s")),
    "datetime64[ns]": np.datetime64("2024-01-01T00:00:00.000001000", "ns"), "datetime64 1ns": np.datetime64(1, "ns"),
    "datetime64[s] 2300": np.datetime64("2300-01-01T00:00:00", "s"), "datetime64[Y] 20000": np.datetime64("20000", "Y"),
    "datetime64[s] huge": np.datetime64(2**62, "s"), "datetime64[W]": np.datetime64("2024-01-04", "W"),
    "timedelta": dt.timedelta(1), "timedelta64": np.timedelta64(1, "s"), "pd.Timedelta": pd.Timedelta(1),
    "time": dt.time(1),
    # nested
    "[]": [], "[1,2]": [1, 2], "[1,None]": [1, None], "(1,)": (1,), "[1.5]": [1.5], "[nan]": [math.nan], "[0.1]": [0.1],
    "['a']": ["a"], "[[0.5],[]]": [[0.5], []], "[[0.1]]": [[0.1]], "ndarray": np.array([1, 2]),
    "2-D": np.array([[0.5, 1.0]]),
    "ndarray f": np.array([0.5, np.nan]), "ndarray 0-d": np.array(1), "ndarray str": np.array(["a", "b"]),
    "ndarray object": np.array([1, None], object), "masked": np.ma.MaskedArray([1, 2], [False, True]),
    "[aware]": [dt.datetime(2024, 1, 1, tzinfo=NEW_YORK)], "[naive]": [dt.datetime(2024, 1, 1)],
    "{}": {}, "{'k':1}": {"k": 1}, "{'k':None}": {"k": None}, "{1:0.5}": {1: 0.5}, "{None:1}": {None: 1},
    "{'k':1.5}": {"k": 1.5},
    "{'k':[date]}": {"k": [dt.date(2024, 1, 1)]}, "{'a':1,'b':'x'}": {"a": 1, "b": "x"},
    "{'b':'x','a':1}": {"b": "x", "a": 1},
    "{'a':1}": {"a": 1}, "{'a':0.1}": {"a": 0.1}, "{'a':1,'b':'x','c':0}": {"a": 1, "b": "x", "c": 0},
    "{'a':[{'x':1}]}": {"a": [{"x": 1}, None]}, "[{'k':D}]": [{"k": Decimal("1.5")}, None],
    "[{'k':D5}]": [{"k": Decimal("1.555")}],
    # no column at all
    "enum": Colour.RED, "IntEnum": Level.HIGH, "complex": 1 + 2j, "np.complex": np.complex64(1), "set": {1},
    "object": object(),
    "Fraction": Fraction(1, 2), "Series": pd.Series([1]), "range": range(2), "class": int, "pa scalar": pa.scalar(1),
}  # fmt: skip

NULL = object()
REFUSED = object()
EPOCH = dt.datetime(1970, 1, 1)


# ------------------------------------------------------------------------------------------------ the oracle: the rules
# expected(value, type) is REFUSED, NULL, or a comparable token of the one value that may be stored.


def is_null(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return type(value) in (np.datetime64, np.timedelta64) and str(value) == "NaT"


def expected(value: Any, type_: pa.DataType) -> Any:
    if is_null(value):
        return NULL
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return expected(value[()], type_)
    if isinstance(value, enum.Enum):
        return REFUSED
    return rule_for(type_)(value, type_)


def rule_for(type_: pa.DataType) -> Callable[[Any, pa.DataType], Any]:
    name = type_name(type_)
    if name in ("timestamp", "timestamp_ntz"):
        return rule_moment
    rules = {
        "tinyint": rule_int, "smallint": rule_int, "int": rule_int, "bigint": rule_int, "float": rule_float,
        "double": rule_float, "string": rule_string, "binary": rule_binary, "boolean": rule_boolean, "date": rule_date,
        "decimal": rule_decimal, "array": rule_array, "map": rule_map, "struct": rule_struct,
    }  # fmt: skip
    return rules[name.split("(")[0].split("<")[0]]


def as_integer(value: Any) -> int | None:
    if isinstance(value, (bool, np.bool_, np.timedelta64)):
        return None
    return int(value) if isinstance(value, (int, np.integer)) else None


def rule_int(value: Any, type_: pa.DataType) -> Any:
    number = as_integer(value)
    bits = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}[type_name(type_)]
    return number if number is not None and -(2 ** (bits - 1)) <= number <= 2 ** (bits - 1) - 1 else REFUSED


def rule_float(value: Any, type_: pa.DataType) -> Any:
    """Exact means: the number, as a fraction, is one of the type's numbers."""
    digits, top, bottom = (53, 1023, -1074) if type_ == pa.float64() else (24, 127, -149)
    number = as_integer(value)
    if number is None and not isinstance(value, (float, np.floating)):
        return REFUSED
    if number is None and not math.isfinite(value):
        return repr(float(value))
    exact = Fraction(number) if number is not None else Fraction(*float(value).as_integer_ratio())
    if exact == 0:
        return "-0.0" if number is None and math.copysign(1, value) < 0 else "0.0"
    ratio, power = abs(exact), 0
    while ratio.denominator > 1:
        ratio, power = ratio * 2, power - 1
    size = ratio.numerator
    while size % 2 == 0:
        size, power = size // 2, power + 1
    fits = size.bit_length() <= digits and size.bit_length() + power - 1 <= top and power >= bottom
    return repr(float(exact)) if fits else REFUSED


def rule_decimal(value: Any, type_: pa.DataType) -> Any:
    number = as_integer(value)
    if number is None and not (isinstance(value, Decimal) and value.is_finite()):
        return REFUSED
    if isinstance(value, Decimal) and value.adjusted() > 100:
        return REFUSED
    exact = Fraction(number if number is not None else value)
    shifted = exact * 10**type_.scale
    return exact if shifted.denominator == 1 and abs(shifted.numerator) < 10**type_.precision else REFUSED


def rule_string(value: Any, _type: pa.DataType) -> Any:
    if not isinstance(value, str) or any(0xD800 <= ord(sign) <= 0xDFFF for sign in value):
        return REFUSED
    return str(value)


def rule_binary(value: Any, _type: pa.DataType) -> Any:
    if isinstance(value, memoryview):
        return bytes(value) if value.format == "B" else REFUSED
    return bytes(value) if isinstance(value, (bytes, bytearray)) else REFUSED


def rule_boolean(value: Any, _type: pa.DataType) -> Any:
    return bool(value) if isinstance(value, (bool, np.bool_)) else REFUSED


def rule_date(value: Any, _type: pa.DataType) -> Any:
    return value.toordinal() if type(value) is dt.date else REFUSED


def rule_moment(value: Any, type_: pa.DataType) -> Any:
    """The token is microseconds since 1970 as a fraction; a fraction of one, or another year, is refused."""
    per_unit = {"ns": Fraction(1, 1000), "us": Fraction(1), "s": Fraction(10**6), "D": Fraction(86_400_000_000)}
    if isinstance(value, np.datetime64):
        unit = np.datetime_data(value.dtype)[0]
        if unit == "Y":
            return REFUSED  # the one in the list is the year 20000
        count = int(value.astype(np.int64)) * (7 if unit == "W" else 1)
        micros, is_aware = count * per_unit["D" if unit == "W" else unit], False
    elif isinstance(value, pd.Timestamp):
        micros, is_aware = (
            Fraction(int(value.to_datetime64().astype(np.int64))) * per_unit[value.unit],
            value.tzinfo is not None,
        )
    elif isinstance(value, dt.datetime):
        offset = value.utcoffset() or dt.timedelta(0)
        since = value.replace(tzinfo=None) - EPOCH - offset
        micros = Fraction((since.days * 86400 + since.seconds) * 10**6 + since.microseconds)
        is_aware = value.tzinfo is not None
    else:
        return REFUSED
    if is_aware != (type_.tz is not None) or micros.denominator > 1:
        return REFUSED
    return int(micros) if -62_135_596_800_000_000 <= micros < 253_402_300_800_000_000 else REFUSED


def rule_array(value: Any, type_: pa.DataType) -> Any:
    if not isinstance(value, (list, tuple, np.ndarray)):
        return REFUSED
    hidden = np.ma.getmaskarray(value) if isinstance(value, np.ma.MaskedArray) else [False] * len(value)
    items = [
        NULL if is_hidden else expected(item, type_.value_type) for item, is_hidden in zip(value, hidden, strict=True)
    ]
    return REFUSED if REFUSED in items else items


def rule_map(value: Any, type_: pa.DataType) -> Any:
    if not isinstance(value, dict):
        return REFUSED
    pairs = [(expected(key, type_.key_type), expected(item, type_.item_type)) for key, item in value.items()]
    return REFUSED if any(key is NULL or REFUSED in (key, item) for key, item in pairs) else pairs


def rule_struct(value: Any, type_: pa.DataType) -> Any:
    if not isinstance(value, dict) or set(value) != {field.name for field in type_}:
        return REFUSED
    parts = {field.name: expected(value[field.name], field.type) for field in type_}
    return REFUSED if REFUSED in parts.values() else parts


# --------------------------------------------------------------------------- what was stored, as the same kind of token


def stored(value: Any, type_: pa.DataType) -> Any:
    if value is None:
        return NULL
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        assert value.as_tuple().exponent == -type_.scale
        return Fraction(value)
    if isinstance(value, dt.datetime):
        assert (value.tzinfo is None) == (type_.tz is None)
        return (value.replace(tzinfo=None) - EPOCH) // dt.timedelta(microseconds=1)
    return value.toordinal() if isinstance(value, dt.date) else stored_parts(value, type_)


def stored_parts(value: Any, type_: pa.DataType) -> Any:
    if pa.types.is_map(type_):
        return [(stored(key, type_.key_type), stored(item, type_.item_type)) for key, item in value]
    if isinstance(value, list):
        return [stored(item, type_.value_type) for item in value]
    if isinstance(value, dict):
        return {field.name: stored(value[field.name], field.type) for field in type_}
    return value


def same(left: Any, right: Any) -> bool:
    """Tell whether two tokens are equal in value and kind: True is not 1."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@cache
def spark_type(ddl: str) -> pa.DataType:
    return parse_ddl(f"x {ddl}").field("x").type


def through_parquet(array: pa.Array) -> pa.Array:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": array}), sink)
    return pq.read_table(pa.BufferReader(sink.getvalue()))["x"].combine_chunks()


def assert_refused_by_name(error: OutputContractError, ddl: str, position: int) -> None:
    assert error.code == "OUTPUT_TYPE"
    assert error.what == f"column 'x', element {position}"
    assert error.got
    assert error.expected
    assert error.next_step.endswith(".")
    assert ddl.split("<", maxsplit=1)[0] in error.expected or "<" in ddl


def check_column(values: Any, tokens: list[Any], ddl: str, *, is_written: bool = False) -> bool:
    """Check one column against its tokens, and once more from Parquet; tell whether it was stored."""
    bad = next((index for index, token in enumerate(tokens) if token is REFUSED), None)
    type_ = spark_type(ddl)
    if bad is not None:
        with pytest.raises(OutputContractError) as caught:
            coerce(values, type_, "x")
        assert_refused_by_name(caught.value, ddl, bad + 1)
        return False
    array = coerce(values, type_, "x")
    array.validate(full=True)
    assert array.type == type_
    assert same([stored(item, type_) for item in array.to_pylist()], tokens)
    if is_written:
        assert same([stored(item, type_) for item in through_parquet(array).to_pylist()], tokens)
    return True


def test_matrix_is_as_large_as_promised() -> None:
    assert len(TYPES) >= 25
    assert len(VALUES) >= 45


@pytest.mark.parametrize("ddl", TYPES)
def test_every_value_is_exact_or_refused(ddl: str) -> None:
    stored_count = 0
    for value in VALUES.values():
        token = expected(value, spark_type(ddl))
        stored_count += check_column([value], [token], ddl, is_written=True)
        check_column([None, value], [NULL, token], ddl, is_written=True)
        check_column([value, None, value], [token, NULL, token], ddl)
    assert 4 < stored_count < len(VALUES) / 2


@pytest.mark.parametrize("ddl", TYPES)
def test_every_value_through_an_object_array(ddl: str) -> None:
    for value in VALUES.values():
        column = np.empty(2, object)
        column[0] = value
        check_column(column, [expected(value, spark_type(ddl)), NULL], ddl)


@pytest.mark.parametrize("ddl", TYPES)
def test_every_value_through_an_object_series_where_nan_is_missing(ddl: str) -> None:
    type_ = spark_type(ddl)
    for value in VALUES.values():
        column = pd.Series([None, None], dtype=object)
        column.array[1] = value
        is_nan = isinstance(value, (float, np.floating)) and math.isnan(value)
        token = NULL if is_nan and type_ not in (pa.float32(), pa.float64()) else expected(value, type_)
        check_column(column, [NULL, token], ddl)


def native_arrays() -> dict[str, np.ndarray[Any, Any]]:
    """Every value that NumPy keeps under a dtype of its own."""
    arrays = {}
    for name, value in VALUES.items():
        if isinstance(value, (bool, float, np.generic)) or (isinstance(value, int) and -(2**63) <= value < 2**64):
            array = np.array([value, value])
            if array.dtype != object and not isinstance(value, enum.Enum):
                arrays[name] = array
    return arrays


NATIVE = native_arrays()


@pytest.mark.parametrize("ddl", TYPES)
def test_every_native_value_through_numpy(ddl: str) -> None:
    assert len(NATIVE) > 30
    for array in NATIVE.values():
        tokens = [expected(item, spark_type(ddl)) for item in array]
        check_column(array, tokens, ddl)
        swapped = array.astype(array.dtype.newbyteorder(">"))
        check_column(np.concatenate([swapped, swapped])[::2], tokens, ddl)
        check_column(np.ma.MaskedArray(array, [True, False]), [NULL, tokens[1]], ddl)


@pytest.mark.parametrize("ddl", TYPES)
def test_every_native_value_through_a_series(ddl: str) -> None:
    for array in NATIVE.values():
        if array.dtype.kind not in "biufM" or array.dtype in (np.dtype(np.float16), np.dtype("M8")):
            continue
        try:
            series = pd.Series(array)
        except (pd.errors.OutOfBoundsDatetime, OverflowError):
            continue
        check_column(series, [expected(item, spark_type(ddl)) for item in array], ddl)


@pytest.mark.parametrize("ddl", TYPES)
@pytest.mark.parametrize(
    "dtype", ["Int64", "UInt8", "Float64", "Float32", "boolean", "string", "string[pyarrow]", "category"]
)
def test_nullable_dtypes(ddl: str, dtype: str) -> None:
    items: dict[str, list[Any]] = {
        "Int64": [2**53 + 1, None, 1], "UInt8": [255, None], "Float64": [0.5, None, 0.1], "Float32": [0.5, None],
        "boolean": [True, None], "string": ["a\x00", None], "string[pyarrow]": ["a", None], "category": [1, None, 2],
    }  # fmt: skip
    tokens = [NULL if item is None else expected(item, spark_type(ddl)) for item in items[dtype]]
    check_column(pd.Series(items[dtype], dtype=dtype), tokens, ddl)


def arrow_arrays() -> list[pa.Array]:
    """Every value that Arrow keeps under its own type, and Arrow's types that Python does not have."""
    arrays = []
    for value in VALUES.values():
        try:
            arrays.append(pa.array([None, value, value], from_pandas=False))
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
            continue
    stamp = dt.datetime(2024, 1, 1)
    extra = [
        pa.array([1, None], pa.uint8()), pa.array([0.5, None], pa.float32()), pa.array(["a", None], pa.large_string()),
        pa.array(["a", None], pa.string_view()), pa.array([b"ab", None], pa.large_binary()),
        pa.array([b"ab"], pa.binary(2)),
        pa.array([dt.date(2024, 1, 1), None], pa.date64()), pa.array([stamp, None], pa.timestamp("ns")),
        pa.array([stamp], pa.timestamp("s", "Asia/Tokyo")), pa.array([Decimal("1.50")], pa.decimal256(40, 2)),
        pa.array([[1, None], None, []], pa.large_list(pa.int8())), pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
        pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())), pa.array(["a", None, "a"]).dictionary_encode(),
        pa.array([1.5, None]).dictionary_encode(), pa.array([1], pa.time64("us")), pa.nulls(3),
        pa.array([], pa.string()),
        pa.array([1], pa.duration("s")),
    ]  # fmt: skip
    return arrays + extra


@pytest.mark.parametrize("ddl", TYPES)
def test_every_value_through_arrow(ddl: str) -> None:
    type_, columns = spark_type(ddl), arrow_arrays()
    assert len(columns) > 70
    for array in columns:
        tokens = [expected(arrow_item(item, array.type), type_) for item in array]
        if "struct<" in str(array.type) and "map<" in ddl:  # Arrow knows the two apart, a Python dict does not
            tokens = [NULL if item is None else REFUSED for item in array.to_pylist()]
        check_column(array, tokens, ddl)
        check_column(array.slice(1), tokens[1:], ddl)
        check_column(pa.chunked_array([array, array]), tokens * 2, ddl)


def arrow_item(item: pa.Scalar, type_: pa.DataType) -> Any:
    """Give Arrow's value as Python has it; a map is a dict, a moment that Python does not have is an object."""
    try:
        value = item.as_py()
    except (OverflowError, ValueError):
        return object()
    return dict(value) if value is not None and pa.types.is_map(type_) else value


def test_float32_reads_back_bit_for_bit() -> None:
    bits = np.random.default_rng(7).integers(0, 2**32, 20_000, dtype=np.uint32)
    values = bits.view(np.float32)

    array = coerce(values, pa.float32(), "x")

    back = array.to_numpy()
    assert np.array_equal(back, values, equal_nan=True)
    assert struct.pack("f", array[0].as_py()) == struct.pack("f", values[0])
