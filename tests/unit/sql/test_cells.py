from __future__ import annotations

import base64
import json
import math
from datetime import date
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from sparkscore.sql.cells import can_write, json_texts, texts

INTEGERS = st.integers(-(2**63), 2**63 - 1)


def cells(values: list[Any], type_: pa.DataType) -> tuple[list[str | None], list[str | None]]:
    array = pa.array(values, type_)
    return texts(array), json_texts(array)


@pytest.mark.parametrize(
    ("type_", "value", "text", "in_json"),
    [
        (pa.bool_(), True, "true", "true"),
        (pa.int64(), 2**53 + 1, "9007199254740993", "9007199254740993"),
        (pa.float64(), 0.1, "0.1", "0.1"),
        (pa.float64(), -0.0, "-0.0", "-0.0"),
        (pa.float32(), 0.1, "0.1", "0.1"),
        (pa.float64(), math.nan, "NaN", '"NaN"'),
        (pa.float32(), -math.inf, "-Infinity", '"-Infinity"'),
        (pa.float64(), 1e300, "1e+300", "1e+300"),
        (pa.decimal128(38, 10), Decimal("1E-10"), "0.0000000001", '"0.0000000001"'),
        (pa.decimal128(10, 2), Decimal("1.10"), "1.10", '"1.10"'),
        (pa.string(), 'NULL "ü" \n', 'NULL "ü" \n', '"NULL \\"ü\\" \\n"'),
        (pa.binary(), b"\x00\xff", "AP8=", '"AP8="'),
        (pa.date32(), date(2026, 1, 2), "2026-01-02", '"2026-01-02"'),
        (pa.date32(), 4_000_000, "12921-08-18", '"12921-08-18"'),
        (pa.timestamp("us"), 1_767_323_045_000_000, "2026-01-02T03:04:05", '"2026-01-02T03:04:05"'),
        (pa.timestamp("us", "Europe/Berlin"), 1, "1970-01-01T00:00:00.000001Z", '"1970-01-01T00:00:00.000001Z"'),
        (pa.timestamp("us", "UTC"), 2**62, "148108-07-06T14:00:27.387904Z", '"148108-07-06T14:00:27.387904Z"'),
        (pa.list_(pa.int8()), [1, None], "[1,null]", "[1,null]"),
        (pa.struct([("b", pa.string()), ("a", pa.date32())]), {"b": None, "a": 0}, '{"b":null,"a":"1970-01-01"}', None),
        (pa.struct([]), {}, "{}", None),
        (pa.map_(pa.string(), pa.float64()), [("k", 1.0), ("j", None)], '{"k":1.0,"j":null}', None),
        (pa.map_(pa.int64(), pa.string()), [(1, "a")], '[{"key":1,"value":"a"}]', None),
        (pa.null(), None, None, None),
    ],
    ids=str,
)
def test_a_value_is_written_whole(type_: pa.DataType, value: object, text: str | None, in_json: str | None) -> None:
    assert can_write(type_)
    assert cells([value], type_) == ([text], [in_json or text])


@pytest.mark.parametrize(
    "type_",
    [
        pa.int32(),
        pa.string(),
        pa.timestamp("us", "UTC"),
        pa.list_(pa.string()),
        pa.map_(pa.string(), pa.int8()),
        pa.struct([("a", pa.int8())]),
    ],
    ids=str,
)
def test_null_is_no_text(type_: pa.DataType) -> None:
    assert cells([None], type_) == ([None], [None])


@pytest.mark.parametrize(
    "type_",
    [
        pa.duration("us"),
        pa.time64("us"),
        pa.month_day_nano_interval(),
        pa.list_(pa.duration("us")),
        pa.timestamp("ns"),
        pa.struct([("a", pa.int8()), ("a", pa.int8())]),
        pa.map_(pa.string(), pa.duration("us")),
    ],
    ids=str,
)
def test_what_cannot_be_written_is_known(type_: pa.DataType) -> None:
    assert not can_write(type_)


def test_a_value_that_cannot_be_written_is_no_text() -> None:
    with pytest.raises(TypeError, match="duration"):
        texts(pa.array([1], pa.duration("us")))


@given(st.lists(st.none() | INTEGERS), st.data())
def test_integers_and_doubles_come_back_as_they_were(values: list[int | None], data: st.DataObject) -> None:
    doubles = data.draw(st.lists(st.floats(allow_nan=False)))
    floats = data.draw(st.lists(st.floats(width=32, allow_nan=False)))

    assert [None if text is None else json.loads(text) for text in json_texts(pa.array(values, pa.int64()))] == values
    assert [float(text or "") for text in texts(pa.array(doubles, pa.float64()))] == doubles
    assert [float(np.float32(text or "")) for text in texts(pa.array(floats, pa.float32()))] == floats


@given(
    st.lists(
        st.none()
        | st.fixed_dictionaries(
            {"t": st.none() | st.text(), "b": st.none() | st.binary(), "l": st.none() | st.lists(st.none() | INTEGERS)}
        )
    ),
    st.data(),
)
def test_nested_values_come_back_as_they_were_also_from_a_slice(rows: list[Any], data: st.DataObject) -> None:
    type_ = pa.struct([("t", pa.string()), ("b", pa.binary()), ("l", pa.list_(pa.int64()))])
    start = data.draw(st.integers(0, len(rows)))

    found = json_texts(pa.array(rows, type_).slice(start))

    assert [None if text is None else _read(json.loads(text)) for text in found] == rows[start:]


def _read(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"b": None if row["b"] is None else base64.b64decode(row["b"])}


@given(st.lists(st.none() | st.dictionaries(st.text(), st.none() | st.lists(st.text())).map(lambda d: [*d.items()])))
def test_maps_of_lists_come_back_as_they_were_also_from_a_slice(rows: list[Any]) -> None:
    array = pa.array([[("x", ["y"])], *rows], pa.map_(pa.string(), pa.list_(pa.string()))).slice(1)

    found = [None if text is None else [*json.loads(text).items()] for text in json_texts(array)]

    assert found == rows
