"""Arguments of SQL functions: a value arrives exactly, or its row fails, whatever the caller's type."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SourceSchemaError
from sparkscore.worker.sql_arguments import Argument, arrange, convert

INTEGERS = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
NUMBERS = [*INTEGERS.values(), pa.float32(), pa.float64()]


def converted(given: pa.Array, wanted: pa.DataType, **more: Any) -> tuple[list[Any], set[int]]:
    found, failed = convert("f", Argument("x", wanted, **more), given)
    assert found.type == wanted
    return found.to_pylist(), set(failed)


def exact(value: Any) -> Fraction | None:
    return Fraction(value) if math.isfinite(value) else None


@st.composite
def numbers(draw: st.DrawFn) -> pa.Array:
    type_ = draw(st.sampled_from(NUMBERS))
    if pa.types.is_integer(type_):
        limit = 2 ** (type_.bit_width - 1)
        near = st.sampled_from([0, 2**24, 2**24 + 1, 2**53, 2**53 + 1, -limit, limit - 1]).filter(
            lambda value: -limit <= value < limit
        )
        values = st.one_of(st.integers(-limit, limit - 1), near)
    else:
        width = type_.bit_width
        near = st.sampled_from([0.0, -0.0, 2.0**31, 2.0**63, -(2.0**63), 2.0**24, 0.5, 1e300 if width == 64 else 1e30])
        values = st.one_of(
            st.floats(width=width), near.map(lambda value: float(np.float32(value)) if width == 32 else value)
        )
    return pa.array(draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=8)), type_)


@given(numbers(), st.sampled_from(NUMBERS))
def test_a_number_arrives_with_its_value_or_its_row_fails(array: pa.Array, wanted: pa.DataType) -> None:
    found, failed = converted(array, wanted)

    for position, (before, after) in enumerate(zip(array.to_pylist(), found, strict=True)):
        assert (after is None) == (before is None or position in failed)
        if after is not None and math.isfinite(before):
            assert exact(after) == exact(before)
        elif after is not None:
            assert str(after) == str(before)  # NaN and infinities


@given(numbers())
def test_a_number_always_fits_its_own_type_and_a_wider_one(array: pa.Array) -> None:
    assert converted(array, array.type)[1] == set()
    if array.type in {pa.int8(), pa.int16(), pa.int32(), pa.float32()}:
        assert converted(array, pa.float64())[1] == set()


def test_the_sign_of_zero_and_nan_stay_and_nan_is_no_null() -> None:
    found, failed = convert("f", Argument("x", pa.float64(), nullable=False), pa.array([-0.0, math.nan], pa.float32()))

    assert failed == {}
    assert math.copysign(1, found[0].as_py()) == -1
    assert math.isnan(found[1].as_py())


@pytest.mark.parametrize(
    ("digits", "wanted", "value"),
    [
        ("22.5", pa.float64(), 22.5),
        ("0.1", pa.float64(), 0.1),
        ("0.1", pa.float32(), float(np.float32(0.1))),
        ("123456789012345.6", pa.float64(), 123456789012345.6),
        ("9007199254740993", pa.float64(), None),
        ("0.12345678901234567890", pa.float64(), None),
        ("50.0", pa.int32(), 50),
        ("50.5", pa.int32(), None),
        ("3000000000", pa.int32(), None),
        ("2.50", pa.decimal128(5, 1), Decimal("2.5")),
        ("2.55", pa.decimal128(5, 1), None),
        ("99999", pa.decimal128(5, 1), None),
    ],
)
def test_a_decimal_is_the_number_that_its_digits_write(digits: str, wanted: pa.DataType, value: Any) -> None:
    found, failed = converted(pa.array([Decimal(digits), None]), wanted)

    assert found == [value, None]
    assert failed == (set() if value is not None else {0})


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=1 - 10**9, max_value=10**9 - 1, places=6))
def test_a_decimal_of_up_to_15_digits_is_always_the_nearest_double(value: Decimal) -> None:
    assert converted(pa.array([value], pa.decimal128(15, 6)), pa.float64()) == ([float(value)], set())


def test_integers_become_decimals_that_hold_them() -> None:
    assert converted(pa.array([7, 1000, None]), pa.decimal128(4, 1)) == ([Decimal("7.0"), None, None], {1})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (pa.array(["7"]), pa.float64()),
        (pa.array([True]), pa.float64()),
        (pa.array([1]), pa.string()),
        (pa.array([1]), pa.bool_()),
        (pa.array([1.5]), pa.decimal128(4, 1)),
        (pa.array([dt.date(2020, 1, 1)]), pa.timestamp("us", "UTC")),
        (pa.array([0], pa.timestamp("us")), pa.timestamp("us", "UTC")),
        (pa.array([0], pa.timestamp("us", "UTC")), pa.timestamp("us")),
        (pa.array([1], pa.int64()), pa.timestamp("us")),
        (pa.array([[1]]), pa.float64()),
        (pa.array([[2**60]]), pa.list_(pa.float64())),
    ],
)
def test_other_types_are_refused_with_the_conversion_to_write(given: pa.Array, wanted: pa.DataType) -> None:
    with pytest.raises(SourceSchemaError, match=r"argument 'x' of function 'f'.*CAST\(x AS ") as refused:
        convert("f", Argument("x", wanted), given)

    assert refused.value.code == ErrorCode.SQL_ARGUMENT_TYPE


def test_a_model_takes_times_in_utc_dates_before_1582_included() -> None:
    micros = [1_577_836_800_000_000, -62_135_596_800_000_000, None]
    berlin = pa.array(micros, pa.timestamp("us", "Europe/Berlin"))
    days = pa.array([dt.date(1500, 2, 28), None])
    argument = Argument("x", pa.timestamp("us"), times_in_utc=True)

    assert convert("f", argument, berlin)[0].cast(pa.int64()).to_pylist() == micros
    assert convert("f", argument, days)[0].cast(pa.string()).to_pylist() == ["1500-02-28 00:00:00.000000", None]
    assert converted(berlin, pa.timestamp("us", "UTC"))[1] == set()


def test_texts_stay_as_they_are_with_a_nul_in_them() -> None:
    texts = ["a\0b", "", "é\U0001f600", None]

    assert converted(pa.array(texts, pa.large_string()), pa.string()) == (texts, set())


def test_lists_and_structs_are_taken_if_every_value_fits_by_type() -> None:
    assert converted(pa.array([[1, None], None], pa.list_(pa.int32())), pa.list_(pa.float64()))[0] == [
        [1.0, None],
        None,
    ]
    given = pa.array([{"b": 1, "a": 2}], pa.struct([("b", pa.int32()), ("a", pa.int32())]))
    assert converted(given, pa.struct([("b", pa.int64()), ("a", pa.int64())]))[0] == [{"b": 1, "a": 2}]


def test_null_is_taken_where_the_argument_may_be_null_and_fails_its_row_elsewhere() -> None:
    assert converted(pa.nulls(2), pa.float64()) == ([None, None], set())
    assert converted(pa.array([1, None]), pa.int64(), nullable=False) == ([1, None], {1})


def test_a_model_that_takes_booleans_as_numbers_gets_them() -> None:
    assert converted(pa.array([True, None, False]), pa.float64(), takes_boolean=True) == ([1.0, None, 0.0], set())


ARGUMENTS = (Argument("age", pa.float64()), Argument("Bmi", pa.float64(), default=pa.array([25.0])))
ONE, TWO = pa.array([1.0]), pa.array([2.0])


def test_arguments_are_given_by_position_and_by_name_in_any_case() -> None:
    assert arrange("f", ARGUMENTS, [ONE, TWO], {}) == {"age": ONE, "Bmi": TWO}
    assert arrange("f", ARGUMENTS, [ONE], {"BMI": TWO}) == {"age": ONE, "Bmi": TWO}
    assert arrange("f", ARGUMENTS, [], {"bmi": TWO, "AGE": ONE}) == {"age": ONE, "Bmi": TWO}
    assert arrange("f", ARGUMENTS, [ONE], {}) == {"age": ONE}


def test_a_call_without_any_argument_is_refused_even_if_all_have_defaults() -> None:
    with pytest.raises(ConfigError, match="got no 'Bmi'"):
        arrange("f", ARGUMENTS[1:], [], {})


@pytest.mark.parametrize(
    ("positional", "named", "told"),
    [
        ([ONE, ONE, ONE], {}, "got 3 arguments, expected the arguments age, Bmi"),
        ([ONE], {"bmj": ONE}, "got an argument 'bmj'"),
        ([ONE], {"AGE": ONE}, "got argument 'age' twice"),
        ([], {"bmi": ONE}, "got no 'age'"),
    ],
)
def test_a_wrong_call_is_refused_with_the_arguments(positional: list[Any], named: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        arrange("f", ARGUMENTS, positional, named)
