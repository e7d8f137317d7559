"""Wide inputs: whatever comes in survives exactly or is refused by name."""

# ruff: noqa: DTZ001 - a clock reading without a zone is one of the cases

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import OutputContractError
from sparkscore.returned import coerce, infer_type, tabulate
from sparkscore.signature import parse_ddl

NAMES = [
    "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(38,18)", "decimal(12,3)", "string", "binary",
    "boolean", "date", "timestamp", "timestamp_ntz", "array<double>", "array<string>", "map<string,bigint>",
    "struct<a:int>",
]  # fmt: skip
ZONES = st.sampled_from(
    [dt.UTC, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kathmandu"), dt.timezone(dt.timedelta(hours=-12))]
)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.floats(width=32).map(np.float32) | st.booleans()
SCALARS = (
    NUMBERS | st.none() | st.text() | st.binary() | st.decimals() | st.dates() | st.datetimes()
    | st.datetimes(timezones=ZONES) | st.integers(-(2**63), 2**63 - 1).map(np.int64)
    | st.sampled_from([pd.NA, pd.NaT, np.datetime64("NaT"), 1j, {1}])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def type_of(ddl: str) -> pa.DataType:
    return parse_ddl(f"x {ddl}").field("x").type


def equal(left: Any, right: Any) -> bool:
    """Tell whether what was stored is what came in; a number may have another class and no other value."""
    if left is None or right is None:
        return left is right
    if isinstance(left, float) and math.isnan(left):
        return isinstance(right, (float, np.floating)) and bool(np.isnan(right))
    if isinstance(right, (np.integer, np.floating)):
        right = right.item()
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def survives(values: list[Any], ddl: str) -> bool:
    try:
        stored = coerce(values, type_of(ddl), "x").to_pylist()
    except OutputContractError as error:
        assert error.code == "OUTPUT_TYPE"  # noqa: PT017 - one of the two ends is right, the caller says which
        return False
    assert len(stored) == len(values)
    assert all(map(equal, stored, values))
    return True


@given(st.lists(st.integers(-(2**65), 2**65) | st.none()))
def test_integers(values: list[int | None]) -> None:
    present = [value for value in values if value is not None]

    for bits, ddl in ((8, "tinyint"), (16, "smallint"), (32, "int"), (64, "bigint")):
        assert survives(values, ddl) == all(-(2 ** (bits - 1)) <= value < 2 ** (bits - 1) for value in present)
    assert survives(values, "double") == all(int(float(value)) == value for value in present)
    assert survives(values, "decimal(20,0)") == all(abs(value) < 10**20 for value in present)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_numpy_integers(values: list[int]) -> None:
    for ddl in ("tinyint", "int", "bigint", "float", "double", "decimal(18,0)"):
        assert outcome(np.array(values, np.int64), ddl) == outcome(values, ddl)
        assert outcome(pd.Series(values, dtype="Int64"), ddl) == outcome(values, ddl)


@given(st.lists(st.floats(), min_size=1))
def test_floats(values: list[float]) -> None:
    stored = coerce(values, type_of("double"), "x")

    assert stored.to_numpy().tobytes() == np.array(values).tobytes()
    assert outcome(np.array(values), "float") == outcome(values, "float")
    assert not survives(values, "bigint")


@given(st.lists(st.floats(width=32), min_size=1))
def test_narrow_floats(values: list[float]) -> None:
    assert survives(values, "float")
    assert survives([np.float32(value) for value in values], "double")


@given(st.lists(st.text(st.characters()) | st.none()))
def test_text(values: list[str | None]) -> None:
    has_surrogate = any("\ud800" <= sign <= "\udfff" for value in values if value for sign in value)

    assert survives(values, "string") == (not has_surrogate)


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.none()))
def test_decimals(values: list[Decimal | None]) -> None:
    fits = all(abs(value) < 10**9 for value in values if value is not None)

    assert survives(values, "decimal(12,3)") == fits


@given(st.lists(st.decimals()))
def test_any_decimal(values: list[Decimal]) -> None:
    for ddl in ("decimal(38,18)", "decimal(5,0)", "decimal(38,38)"):
        survives(values, ddl)


@given(st.lists(st.datetimes()))
def test_clock_readings(values: list[dt.datetime]) -> None:
    assert survives(values, "timestamp_ntz")
    assert survives(values, "timestamp") == (not values)


@given(st.lists(st.datetimes(timezones=ZONES, min_value=dt.datetime(1, 1, 3), max_value=dt.datetime(9999, 12, 29))))
def test_instants(values: list[dt.datetime]) -> None:
    stored = coerce(values, type_of("timestamp"), "x").to_pylist()

    assert [value.astimezone(dt.UTC) for value in stored] == [value.astimezone(dt.UTC) for value in values]


@given(
    st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1), st.sampled_from(["ns", "us", "ms", "s", "D", "h", "ps"])
)
def test_moments_of_numpy(ticks: list[int], unit: str) -> None:
    column = np.array(ticks, f"M8[{unit}]")
    micros = {"ps": 10**6, "ns": 10**3}.get(unit)
    per_tick = {"us": 1, "ms": 10**3, "s": 10**6, "h": 3600 * 10**6, "D": 86400 * 10**6}.get(unit, 0)
    exact = [tick // micros if micros else tick * per_tick for tick in ticks]
    is_whole = all(tick % micros == 0 for tick in ticks) if micros else True
    fits = is_whole and all(-62_135_596_800_000_000 <= value < 253_402_300_800_000_000 for value in exact)

    for values in (column, list(column)):
        if fits:
            assert coerce(values, type_of("timestamp_ntz"), "x").cast(pa.int64()).to_pylist() == exact
        else:
            with pytest.raises(OutputContractError):
                coerce(values, type_of("timestamp_ntz"), "x")


def outcome(values: Any, ddl: str) -> str:
    """Give what coerce made of a column, or the place of its refusal, comparable between containers."""
    try:
        return repr(coerce(values, type_of(ddl), "x").to_pylist())
    except OutputContractError as error:
        return f"{error.code} {error.what} {error.expected}"


@given(st.lists(ANYTHING, max_size=4), st.sampled_from(NAMES))
def test_anything_is_stored_or_refused_and_the_place_is_the_first(values: list[Any], ddl: str) -> None:
    type_ = type_of(ddl)
    try:
        array = coerce(values, type_, "x")
    except OutputContractError as error:
        good = int(error.what.rsplit(" ", 1)[1]) - 1
        assert len(coerce(values[:good], type_, "x")) == good
        with pytest.raises(OutputContractError):
            coerce(values[good : good + 1], type_, "x")
    else:
        array.validate(full=True)
        assert (array.type, len(array)) == (type_, len(values))


@given(st.lists(ANYTHING, max_size=4))
def test_what_is_inferred_holds_the_values_or_says_so(values: list[Any]) -> None:
    try:
        type_ = infer_type(values, "x")
        array = coerce(values, type_, "x")
    except OutputContractError as error:
        assert error.code in {"OUTPUT_TYPE", "OUTPUT_ALL_NULL"}  # noqa: PT017
    else:
        assert len(array) == len(values)


def shaped(make: Callable[[list[list[int]]], Any]) -> Any:
    return st.lists(st.lists(st.integers(-(2**53), 2**53), min_size=2, max_size=2), min_size=1).map(
        lambda rows: (rows, make(rows))
    )


RETURNED = st.one_of(
    shaped(lambda rows: [tuple(row) for row in rows]),
    shaped(lambda rows: [{"c0": first, "c1": second} for first, second in rows]),
    shaped(lambda rows: pd.DataFrame(rows, columns=["c0", "c1"])),
    shaped(lambda rows: pa.table({"c0": [row[0] for row in rows], "c1": [row[1] for row in rows]})),
    shaped(lambda rows: (tuple(row) for row in rows)),
    shaped(lambda rows: pd.Series([tuple(row) for row in rows])),
)


@given(RETURNED)
def test_tabulate_keeps_order_and_count(pair: tuple[list[list[int]], Any]) -> None:
    rows, returned = pair

    result = tabulate(returned)

    assert result.table.column_names == ["c0", "c1"]
    assert [list(row.values()) for row in result.table.to_pylist()] == rows
    assert result.elements == len(rows)


@given(st.lists(ANYTHING, max_size=5), st.sampled_from([None, *NAMES]))
def test_tabulate_gives_one_row_per_element_or_refuses(values: list[Any], ddl: str | None) -> None:
    try:
        result = tabulate(values, None if ddl is None else parse_ddl(f"x {ddl}"))
    except OutputContractError as error:
        assert error.code.startswith("OUTPUT_")  # noqa: PT017
        assert error.next_step.endswith(".")  # noqa: PT017
    else:
        assert result.table.num_rows == result.elements == len(values)
