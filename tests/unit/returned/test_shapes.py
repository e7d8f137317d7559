"""Values of Python's own classes are looked at by class: the result is that of looking at each value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import OutputContractError
from sparkscore.returned import forms, shapes, tabulate
from sparkscore.signature import parse_ddl

SCALARS = st.sampled_from([None, 1, 0.5, float("nan"), True, "a", b"b", pd.NA, pd.NaT, np.float32(2), np.array(3)])
NESTED = st.sampled_from([{"x": 1}, {"x": None}, {"x": 1, "y": 2}, {}, [1, 2], [1, "a"], (1, 2), (), np.array([1, 2])])
VALUES = st.lists(SCALARS, max_size=6) | st.lists(NESTED | st.none(), max_size=6) | st.lists(SCALARS | NESTED)


def told(values: list[Any], ddl: str | None, *, is_series: bool) -> str:
    returned = pd.Series(values, dtype=object) if is_series else values
    try:
        result = tabulate(returned, None if ddl is None else parse_ddl(ddl))
    except OutputContractError as error:
        return str(error)
    return f"{result.table.schema} {result.table.to_pylist()} {result.elements} {result.is_frame}"


@given(
    values=VALUES,
    ddl=st.sampled_from(
        [None, "x bigint", "p double", "p array<bigint>", "p map<string,bigint>", "x bigint, y bigint"]
    ),
    is_series=st.booleans(),
)
def test_values_are_looked_at_one_by_one_only_where_their_classes_do_not_tell(
    values: list[Any], ddl: str | None, *, is_series: bool
) -> None:
    found = told(values, ddl, is_series=is_series)

    with pytest.MonkeyPatch.context() as patch:
        for module in (forms, shapes):
            patch.setattr(module, "PLAIN_CLASSES", frozenset())
        patch.setattr(shapes, "_NEVER_NAN", frozenset())
        assert told(values, ddl, is_series=is_series) == found
