from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.survey.text_types import Seen, look_at, type_of


def type_of_texts(*texts: str | None) -> str:
    return type_of(look_at(pa.array(texts, pa.string()), Seen(0)))


GRAMMAR = {
    "bigint": ["0", "7", "-7", "10", "9223372036854775807", "-9223372036854775808", "2024"],
    "string": [
        "007",
        "00",
        "+7",
        "9223372036854775808",
        "-9223372036854775809",
        "111111111111111111111111111111",
        "12D",
        "12f",
        "1_000",
        "1,000",
        "0x10",
        "0b1",
        "٣",
        "1 ",
        " 1",
        "--1",
        "-",
        "",
        "12E4",
        "-12E4",
        ".5",
        "5.",
        "0.",
        "-0.",
        "+0.5",
        "00.5",
        "1.5d",
        "1.5 ",
        "1,5",
        "e5",
        "1e",
        "1.0E400",
        "1.0E-400",
        "9007199254740993.0",
        "0.123456789012345678",
        "NaN",
        "nan",
        "inf",
        "Infinity",
        "-inf",
        "NA",
        "null",
        "None",
        "#N/A",
        "tRUE",
        "t",
        "yes",
        "no",
        "y",
        "T",
        "f",
        " true",
        "2023-02-29",
        "1900-02-29",
        "2024-04-31",
        "2024-13-01",
        "2024-00-10",
        "0000-01-01",
        "2024-1-1",
        "2024-01",
        "20240131-",
        "31.01.2024",
        "2024/01/31",
        "10:30",
        "2024-01-31T24:00",
        "2024-01-31 10:30:60",
        "2024-01-31 10:30:00.1234567",
        "2024-01-31t10:30",
        "2024-01-31  10:30",
        "2024-01-31T10",
        "2023-02-29T10:30",
        "2024-01-31T10:30z",
        "2024-01-31 10:30 UTC",
        "0001-01-01T00:00:00+14:00",
        "2024-01-31T10:30:00.1234567Z",
        "12345678901234567.0",
    ],
    "double": [
        "0.5",
        "-0.5",
        "1.50",
        "0.0",
        "-0.0",
        "-0",
        "1e-05",
        "1E+16",
        "1.0E10",
        "1.5e3",
        "5e-324",
        "4.9E-324",
        "1.7976931348623157E308",
        "0.30000000000000004",
        "-1.7976931348623157e+308",
        "0.0e-999",
        "100.0",
        "1234567890123456.0",
    ],
    "boolean": ["true", "True", "TRUE", "false", "False", "FALSE"],
    "date": ["2024-01-31", "2024-02-29", "0001-01-01", "9999-12-31", "1582-10-10"],
    "timestamp_ntz": ["2024-01-31T10:30", "2024-01-31 10:30:00", "2024-01-31 23:59:59.123456"],
    "timestamp": [
        "2024-01-31T10:30Z",
        "2024-01-31 10:30:00.5+02:00",
        "2024-01-31 10:30:00+00",
        "2024-01-31T10:30:00-0330",
        "0001-01-02T00:00:00+14:00",
    ],
}


@pytest.mark.parametrize(("text", "kind"), [(text, kind) for kind, texts in GRAMMAR.items() for text in texts])
def test_a_text_has_the_type_that_the_grammar_gives_it(text: str, kind: str) -> None:
    assert type_of_texts(text) == kind
    # Beside others of its type, whether it comes first or last, and where the batches end.
    other = {"bigint": "5", "double": "2.5", "boolean": "true", "date": "2000-02-29", "string": "x"} | {
        "timestamp_ntz": "2000-02-29 00:00:00.1",
        "timestamp": "2000-02-29T00:00:00Z",
    }
    assert type_of_texts(other[kind], text, None) == kind
    assert type_of_texts(None, text, other[kind]) == kind
    assert type_of(look_at(pa.array([text]), look_at(pa.array([other[kind]]), Seen(0)))) == kind


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "0.5"], "double"),
        (["9007199254740992", "0.5"], "double"),
        (["9007199254740993", "0.5"], "string"),
        (["9007199254740993", "5"], "bigint"),
        (["1152921504606846976", "0.5"], "double"),
        (["9223372036854775807", "0.5"], "string"),
        (["1", "-0"], "double"),
        (["1", "true"], "string"),
        (["2024-01-01", "2024-01-01T10:00"], "string"),
        (["2024-01-01T10:00Z", "2024-01-01T10:00"], "string"),
        (["1", "2024-01-01"], "string"),
        (["1", "x"], "string"),
        (["1", "12345678901234567890"], "string"),
        ([None, None], "string"),
        ([], "string"),
    ],
)
def test_a_column_has_the_one_type_that_holds_all_of_its_texts(texts: list[str | None], kind: str) -> None:
    assert type_of_texts(*texts) == kind
    assert type_of_texts(*reversed(texts)) == kind
    parts = [look_at(pa.array([text], pa.string()), Seen(0)) for text in texts]
    joined = Seen(0)
    for part in parts:
        joined |= part
    assert type_of(joined) == kind


NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def expected_type(text: str) -> str:
    """Say the same as the grammar with Python's own readers, one text at a time."""
    if text.lower() in {"true", "false"}:
        return "boolean" if text in {"true", "True", "TRUE", "false", "False", "FALSE"} else "string"
    if NUMBER.fullmatch(text):
        return expected_number(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "string"
    if len(text) == 10:
        return "date" if moment.strftime("%Y-%m-%d").zfill(10) == text else "string"
    return "timestamp_ntz" if moment.tzinfo is None else "timestamp"


def expected_number(text: str) -> str:
    if text.lstrip("-").isdigit() and text != "-0":
        return "bigint" if -(2**63) <= int(text) < 2**63 else "string"
    if re.fullmatch("-?[0-9]+[eE][0-9]+", text):
        return "string"
    value = Decimal(text)
    as_double = float(text)
    if abs(as_double) == float("inf") or (value and not as_double):
        return "string"
    is_plain = "e" not in text.lower()
    if is_plain and value == value.to_integral_value() and int(value) != int(as_double):
        return "string"
    digits = re.sub("[eE].*", "", text).replace("-", "").replace(".", "").lstrip("0")
    return "double" if len(digits) <= 17 else "string"


TEXTS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.from_regex(NUMBER, fullmatch=True).filter(lambda text: len(text) < 40),
    st.from_regex(r"[0-9.eE+-]{1,12}", fullmatch=True),
    st.dates().map(str),
    st.datetimes().map(str),
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]", fullmatch=True),
    st.sampled_from(["true", "TRUE", "False", "fALSE"]),
)


def is_short_exponent(text: str) -> bool:
    found = re.search("[eE][+-]?([0-9]+)", text)
    return found is None or len(found[1]) < 5


@given(st.lists(TEXTS.filter(is_short_exponent), min_size=1, max_size=4))
def test_the_grammar_says_what_pythons_readers_say(texts: list[str]) -> None:
    alone = [expected_type(text) for text in texts]

    assert [type_of_texts(text) for text in texts] == alone
    together = set(alone)
    if together == {"bigint", "double"}:
        exact = all(int(float(text)) == int(text) for text, kind in zip(texts, alone, strict=True) if kind == "bigint")
        together = {"double"} if exact else {"string"}
    assert type_of_texts(*texts) == (together.pop() if len(together) == 1 else "string")
