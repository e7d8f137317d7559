from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import OutputContractError
from sparkscore.returned import tabulate
from sparkscore.returned.plain import tabulate_plain
from sparkscore.returned.table import Returned

TYPES = (pa.bool_(), pa.int8(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.binary(),
         pa.date32(), pa.timestamp("us"), pa.decimal128(5, 2), pa.list_(pa.int64()))  # fmt: skip


class Text(str):
    """A class of a script, which may do anything where a text is expected."""

    __slots__ = ()


PLAIN = (
    st.none() | st.booleans() | st.integers(-200, 200) | st.integers(2**62, 2**64) | st.floats() | st.text(max_size=3)
    | st.just("\ud800") | st.binary(max_size=3) | st.dates()
)  # fmt: skip
VALUES = PLAIN | st.just(Text("a")) | st.just(Decimal("1.5")) | st.just(dt.datetime(2020, 1, 1)) | st.just([1])  # noqa: DTZ001
OF_A_COLUMN = st.lists(VALUES, max_size=4) | st.lists(st.floats() | st.none(), max_size=4) | st.lists(st.text())


@st.composite
def lists_and_schemas(draw: st.DrawFn) -> tuple[list[Any], pa.Schema]:
    names = draw(st.lists(st.sampled_from(["a", "b", "A", "c"]), min_size=1, max_size=3, unique=True))
    schema = pa.schema([pa.field(name, draw(st.sampled_from(TYPES)), nullable=draw(st.booleans())) for name in names])
    if draw(st.booleans()):
        return draw(OF_A_COLUMN), schema
    keys = st.fixed_dictionaries(dict.fromkeys(draw(st.permutations(names)), VALUES))
    others = st.dictionaries(st.sampled_from([*names, Text("a"), "d", 1]), VALUES)
    return draw(st.lists(keys, max_size=4) | st.lists(keys | others | st.none(), max_size=4)), schema


def outcome_of(returned: list[Any], schema: pa.Schema) -> tuple[pa.Table, int] | str:
    try:
        found = tabulate(returned, schema)
    except OutputContractError as error:
        return str(error)
    assert isinstance(found, Returned)
    assert not found.is_frame
    return found.table, found.elements


def as_stored(found: tuple[pa.Table, int] | str) -> object:
    """Return what can be compared: NaN is not equal to itself, but the bytes of two tables are."""
    if isinstance(found, str):
        return found
    table, elements = found
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes(), elements


@given(lists_and_schemas())
def test_the_short_way_gives_what_the_long_way_gives(case: tuple[list[Any], pa.Schema]) -> None:
    returned, schema = case
    found = outcome_of(returned, schema)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sparkscore.returned.table.tabulate_plain", lambda *_: None)
        expected = outcome_of(returned, schema)

    assert as_stored(found) == as_stored(expected)


def test_the_short_way_is_taken_for_dictionaries_and_for_scalars() -> None:
    schema = pa.schema([("id", pa.int64()), ("score", pa.float64())])

    found = tabulate_plain([{"score": 0.5, "id": 1}, {"id": None, "score": float("inf")}], schema)
    scalars = tabulate_plain([0.5, None], pa.schema([("score", pa.float64())]))

    assert found is not None
    assert scalars is not None
    assert found.schema.equals(schema)
    assert found.to_pylist() == [{"id": 1, "score": 0.5}, {"id": None, "score": float("inf")}]
    assert scalars.to_pylist() == [{"score": 0.5}, {"score": None}]


@pytest.mark.parametrize(
    "returned",
    [
        [],
        (1, 2),
        [1, "2"],
        [1, True],
        [2**64],
        [{"n": 1}, {"n": 1, "m": 2}],
        [{"n": 1}, {}],
        [{"n": 1}, None],
        [{Text("n"): 1}],
    ],
    ids=repr,
)
def test_all_else_is_left_to_the_long_way(returned: object) -> None:
    assert tabulate_plain(returned, pa.schema([("n", pa.int64())])) is None


def test_a_null_that_is_not_allowed_is_left_to_the_long_way() -> None:
    assert tabulate_plain([1, None], pa.schema([pa.field("n", pa.int64(), nullable=False)])) is None
