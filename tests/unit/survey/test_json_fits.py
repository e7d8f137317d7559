from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from sparkscore.signature import parse_ddl
from sparkscore.survey.json_fits import Formats, check_of
from sparkscore.survey.json_records import JsonForm


def misfit(declared: str, text: str, **formats: Any) -> str:
    value: Any = JsonForm().decoder().decode(text)
    return check_of(parse_ddl(f"a {declared}").field(0).type, Formats(**formats))(value)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        *[(kind, "null") for kind in ("bigint", "string", "date", "struct<x: int>", "array<int>")],
        *[("string", text) for text in ('"x"', "5", "1.50", "true", '{"a": 1}', "[1]")],
        ("boolean", "true"),
        *[("tinyint", text) for text in ("127", "-128")],
        ("bigint", "9223372036854775807"),
        *[("bigint", text) for text in ("5.0", "-5.000", "5e0", "12.5e1", "0e-99999999", "9223372036854775807.0")],
        ("array<struct<x: tinyint>>", '[{"x": 127.0}, {"x": null}]'),
        *[("double", text) for text in ("5", "0.1", "9007199254740992", "100000000000000000000", "NaN", '"NaN"')],
        ("double", "0.1234567890123456789"),
        *[("float", text) for text in ("0.1", "16777216", "3e38", "Infinity")],
        *[("decimal(10,2)", text) for text in ("19.99", "20", "19.990", "2e3", '"19.99"', "-99999999.99", "0.000")],
        *[("date", text) for text in ('"2026-01-31"', '"2026-1-5"')],
        *[("timestamp", text) for text in ('"2026-01-31T10:30:00Z"', '"2026-01-31 10:30:00.123456"', '"2026-01-31"')],
        ("timestamp", '"2026-01-31T10:30:00.123456000+02:00"'),
        ("timestamp_ntz", '"2026-01-31T10:30:00"'),
        ("binary", '"AQI="'),
        ("array<int>", "[1, null]"),
        ("map<string, double>", '{"a": 1, "b": 0.5}'),
        ("struct<x: int>", '{"x": 1, "y": "other"}'),
        ("struct<x: int>", "{}"),
    ],
)
def test_a_value_that_the_type_holds_fits(declared: str, text: str) -> None:
    assert misfit(declared, text) == ""


@pytest.mark.parametrize(
    ("declared", "text", "told"),
    [
        ("boolean", '"true"', "a text"),
        ("boolean", "1", "an integer"),
        *[("tinyint", text, "beyond its range") for text in ("128", "200", "300", "-129")],
        ("bigint", "9223372036854775808", "beyond its range"),
        ("bigint", "5.7", "a fraction"),
        ("bigint", "5e-1", "a fraction"),
        ("bigint", "9.3e18", "beyond its range"),
        ("bigint", "1e999999999", "beyond its range"),
        ("tinyint", "128.0", "beyond its range"),
        ("bigint", '"5"', "a text"),
        ("int", "true", "true or false"),
        ("double", "9007199254740993", "exactly"),
        ("double", "1e400", "beyond its range"),
        ("double", "1e-400", "beyond its range"),
        ("double", "1" * 400, "beyond its range"),
        ("double", '"5"', "a text"),
        ("float", "16777217", "exactly"),
        ("float", "1e39", "beyond its range"),
        ("float", "1e-60", "beyond its range"),
        ("decimal(10,2)", "19.995", "more than 2 digits after the decimal point"),
        ("decimal(10,2)", "123456789", "more than 8 digits before the decimal point"),
        ("decimal(10,2)", "1e-3", "after the decimal point"),
        ("decimal(10,2)", '"1,5"', "not a number"),
        ("decimal(10,2)", "NaN", "a number"),
        ("date", '"2026-01-31T23:00:00"', "not a date"),
        *[("date", text, "not a date") for text in ('"2026"', '"2026-01"', '"2026-02-30"', '""', '"01/02/2026"')],
        ("timestamp", "1700000000000", "an integer"),
        ("timestamp", "1.5", "a number"),
        *[("timestamp", text, "not a time") for text in ('"10:30"', '"2026-01"', '"2026-01-31T25:00:00"', '"now"')],
        ("timestamp", '"2026-01-31T10:30:00.1234567"', "parts of a microsecond"),
        ("timestamp_ntz", '"2026-01-31T10:30:00Z"', "a zone"),
        ("binary", '"not base64!"', "Base64"),
        ("array<int>", "1", "an integer"),
        ("array<int>", "[1, 2.5]", "an array with a number"),
        ("map<string, double>", '{"a": "x"}', "an object with a text"),
        ("struct<x: int>", '{"x": 2.5}', "as 'x'"),
        ("struct<x: int>", "[1]", "an array"),
        ("struct<x: int>", '{"X": 1}', "differs from 'x' in case"),
    ],
)
def test_a_value_that_the_type_would_change_is_named_by_its_kind(declared: str, text: str, told: str) -> None:
    assert told in misfit(declared, text)


def test_dates_and_times_in_a_form_of_the_deployment_are_sparks_matter() -> None:
    assert misfit("date", '"31.01.2026"', has_date=True) == ""
    assert misfit("timestamp", '"31.01.2026 10"', has_time=True) == ""
    assert misfit("timestamp", "5", has_time=True) == "an integer"
    assert misfit("timestamp_ntz", '"31.01.2026 10"', has_local_time=True) == ""


@pytest.mark.parametrize(("declared", "other"), [("timestamp", "has_local_time"), ("timestamp_ntz", "has_time")])
def test_the_form_of_one_type_of_time_says_nothing_about_the_other(declared: str, other: str) -> None:
    assert "microsecond" in misfit(declared, '"2026-01-31T10:00:00.1234567"', **{other: True})


def test_a_text_is_not_taken_for_the_number_that_is_written_alike() -> None:
    assert check_of(pa.float64(), Formats())(json.loads('"0.5"')) == "a text"


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ('"2024-03-31T02:30:00"', "Europe/Berlin"),
        ('"2024-03-31 02:30:00 Europe/Berlin"', "UTC"),
        ('"2024-01-01T00:00:00+25:00"', "UTC"),
        ('"2024-01-01T00:00:00 nowhere"', "UTC"),
        ('"2024-01-01T00:00:00z"', "UTC"),
    ],
)
def test_a_time_that_no_clock_shows_does_not_fit(text: str, zone: str) -> None:
    assert "clocks skip" in misfit("timestamp", text, zone=zone)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ('"2024-03-31T02:30:00"', "UTC"),
        ('"2024-03-31T02:30:00"', "+01:00"),
        ('"2024-03-31T02:30:00Z"', "Europe/Berlin"),
        ('"2024-03-31T02:30:00-05"', "Europe/Berlin"),
        ('"2024-10-27T02:30:00"', "Europe/Berlin"),
        ('"2024-01-01T00:00:00 CET"', "UTC"),
        ('"2024-01-01T00:00:00GMT+1"', "UTC"),
        ('"0001-01-01"', "Europe/Berlin"),
    ],
)
def test_a_time_that_some_clock_shows_fits(text: str, zone: str) -> None:
    assert not misfit("timestamp", text, zone=zone)
    assert not misfit("timestamp_ntz", '"2024-03-31T02:30:00"', zone="Europe/Berlin")
