from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, localcontext

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.survey.declared_texts import find_misfits, is_of_texts

FIT = {
    "tinyint": ["127", "-128", "007", "+7", "5.0", "5.", " 7", "7\t", "0"],
    "smallint": ["32767", "-32768"],
    "int": ["2147483647", "-2147483648"],
    "bigint": ["9223372036854775807", "-9223372036854775808", "007", "00000000000000000000000000007", "7.00"],
    "double": [
        "5",
        "0.5",
        ".5",
        "5.",
        "+1e5",
        "12E4",
        "-0",
        "007.50",
        "NaN",
        "Infinity",
        "-inf",
        "0.1234567890123456789",
    ],
    "float": ["5", "0.1", "16777216", "3.4e38", "16777217.5", "nan"],
    "decimal(10,2)": ["19.99", "19.9", "20", "007", "1.5E2", "19.990", "-.5", "12345678.12", "0E-9", "+1"],
    "decimal(38,0)": ["9" * 38],
    "boolean": ["true", "FALSE", "tRue", " true"],
    "date": ["2024-02-29", "2024-2-9", "0001-01-01", "9999-12-31", " 2024-01-01 "],
    "timestamp_ntz": ["2024-02-29", "2024-02-29T10:30", "2024-02-29 1:30:00.1", "2024-02-29 10:30:00.123456000"],
    "timestamp": ["2024-02-29", "2024-02-29 10:30", "2024-02-29T10:30:00Z", "2024-02-29 10:30:00.5 UTC"],
    "string": ["", "anything"],
    "binary": ["anything"],
    "varchar(3)": ["äöü", " a ", ""],
}
WRONG = {
    "tinyint": ["128", "-129", "5.5", "x", "", "1e2", "0x1", "1_0", "٣"],
    "smallint": ["32768", "70000"],
    "int": ["2147483648"],
    "bigint": ["9223372036854775808", "12D", "1,000"],
    "double": ["9007199254740993", "9007199254740993.0", "1e400", "1e-400", "12D", "1.5f", "0x1p3", "1,5", "x", "1 2"],
    "float": ["16777217", "1e39", "1e-60", "12D"],
    "decimal(10,2)": ["19.995", "123456789.12", "1e9", "NaN", "x", "1,5", "1E-3", "1E999999999"],
    "decimal(38,0)": ["9" * 39, "0.5"],
    "boolean": ["1", "0", "t", "yes", "y", ""],
    "date": ["2023-02-29", "2024-01-01 10:30", "2024-01-01T00:00:00", "2024-01", "2024", "0000-01-01", "20240101"],
    "timestamp_ntz": [
        "10:30",
        "2024-01",
        "2024-02-29T10:30Z",
        "2024-02-29 10:30:00.123456789",
        "2024-02-29 24:00",
        "x",
    ],
    "varchar(3)": ["abcd", "abc "],
    "timestamp": ["10:30", "2024-02-29 10:30:00.1234567Z", "2023-02-29", "2024-02-29T25:00Z", "2024-02-29Z"],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FIT.items() for text in texts])
def test_a_type_holds_a_text_of_its_values_however_it_is_spelled(kind: str, text: str) -> None:
    assert find_misfits(pa.array([None, text]), kind).tolist() == []


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WRONG.items() for text in texts])
def test_a_type_does_not_hold_a_text_of_another_value(kind: str, text: str) -> None:
    right = FIT[kind][0]

    assert find_misfits(pa.array([right, None, text, right]), kind).tolist() == [2]


@pytest.mark.parametrize("kind", ["int", "bigint", "double"])
def test_more_digits_than_pythons_integers_take(kind: str) -> None:
    texts = ["0" * 5000 + "7", "-" + "0" * 5000 + "7", "1" * 5000, "-" + "1" * 5000]

    assert find_misfits(pa.array(texts), kind).tolist() == [2, 3]


def test_texts_that_the_user_names_fit() -> None:
    assert find_misfits(pa.array(["-", "1.5"]), "double").tolist() == [0]
    assert find_misfits(pa.array(["-", "1.5"]), "double", {"-"}).tolist() == []


@pytest.mark.parametrize("kind", ["char(3)", "array<int>", "struct<a:int>", "interval day", "void", "variant"])
def test_other_types_are_not_of_texts(kind: str) -> None:
    assert not is_of_texts(kind)
    assert all(is_of_texts(kind) for kind in FIT)


TEXTS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.dates().map(str),
    st.datetimes().map(str),
)


def is_held(text: str, kind: str) -> bool:
    """Say the same with Python's own readers."""
    try:
        if kind == "date":
            return len(text) == 10 and bool(date.fromisoformat(text))
        if kind == "timestamp_ntz":
            return len(text) > 9 and "-" in text[4:5] and bool(datetime.fromisoformat(text))
        with localcontext(prec=500):
            return is_held_number(Decimal(text), kind, is_plain="e" not in text.lower())
    except (ValueError, ArithmeticError):
        return False


def is_held_number(value: Decimal, kind: str, *, is_plain: bool) -> bool:
    if not value.is_finite():
        return kind == "double"
    is_integer = value == value.to_integral_value() and is_plain
    if kind == "double":
        near = Decimal(float(np.float64(str(value))))
        return near.is_finite() and (near == value if is_integer else bool(near) or not value)
    if kind == "decimal(10,2)":
        return value == round(value, 2) and abs(value) < 10**8
    return is_integer and -(2**63) <= value < 2**63


@given(text=TEXTS, kind=st.sampled_from(["bigint", "double", "decimal(10,2)", "date", "timestamp_ntz"]))
def test_what_fits_is_what_pythons_readers_say(text: str, kind: str) -> None:
    assert (not find_misfits(pa.array([text]), kind).tolist()) == is_held(text, kind)
