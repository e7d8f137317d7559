from __future__ import annotations

import pickle
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.worker.child.plain_values import is_plain

SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
ROWS = st.lists(SIMPLE | st.dictionaries(st.text(), SIMPLE) | st.lists(SIMPLE) | st.lists(SIMPLE).map(tuple))


@given(ROWS)
def test_short_lists_of_plain_values_are_the_same_in_another_process(returned: list[object]) -> None:
    assert is_plain(returned)
    assert repr(pickle.loads(pickle.dumps(returned, 5))) == repr(returned)  # noqa: S301


class Text(str):
    __slots__ = ()


class Row(dict[str, int]):
    pass


class Rows(list[int]):
    pass


@pytest.mark.parametrize(
    "returned",
    [
        None, 1.5, "abc", (1, 2), {"x": [1]}, iter([1]), Rows([1]), np.arange(3), pd.DataFrame({"x": [1]}),
        [Text("a")], [Row(x=1)], [Rows([1])], [np.float64(1)], [b"a"], [Decimal(1)], [date(2026, 1, 1)],
        [datetime(2026, 1, 1, tzinfo=UTC)], [{"x": np.float64(1)}], [{1: 2}], [{Text("a"): 1}], [[[1]]], [{"x": [1]}],
        [(1, Text("a"))], [1] * 257, [[1] * 257], [1, object()],
    ],
)  # fmt: skip
def test_other_values_are_not_plain(returned: object) -> None:
    assert not is_plain(returned)
