from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import SourceSchemaError
from sparkscore.scorers.frames import to_pandas

EXACT = 2**53
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-EXACT - 2, EXACT + 2) | st.none()
LISTS = st.lists(INTEGERS, max_size=3) | st.none()
# How an integer can lie inside a column: the type, and a strategy for its cells.
SHAPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "plain": (pa.int64(), INTEGERS),
    "list": (pa.list_(pa.int64()), LISTS),
    "large_list": (pa.large_list(pa.int64()), LISTS),
    "list of lists": (pa.list_(pa.list_(pa.int64())), st.lists(LISTS, max_size=2) | st.none()),
    "struct": (pa.struct([("a", pa.int64())]), st.fixed_dictionaries({"a": INTEGERS}) | st.none()),
    "list of structs": (
        pa.list_(pa.struct([("a", pa.int64())])),
        st.lists(st.fixed_dictionaries({"a": INTEGERS}) | st.none(), max_size=2),
    ),
    "map": (pa.map_(pa.string(), pa.int64()), st.lists(st.tuples(st.just("k"), INTEGERS), max_size=2) | st.none()),
    "map by integers": (
        pa.map_(pa.int64(), pa.list_(pa.int64())),
        st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), LISTS), max_size=2),
    ),
}


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def same(handed: Any, stored: Any) -> bool:
    """Tell whether what the script sees is exactly what is stored; a missing number may be NaN or None."""
    if is_missing(stored):
        # A struct that is missing may come as one whose fields are.
        return is_missing(handed) or (isinstance(handed, dict) and all(map(is_missing, handed.values())))
    if isinstance(stored, (list, tuple)):
        return len(handed) == len(stored) and all(map(same, handed, stored))
    if isinstance(stored, dict):
        return bool(handed.keys() == stored.keys()) and all(same(handed[key], stored[key]) for key in stored)
    return not is_missing(handed) and bool(int(handed) == stored if isinstance(stored, int) else handed == stored)


@pytest.mark.parametrize("shape", SHAPES)
@given(st.data())
def test_integers_are_handed_over_exactly_or_refused(shape: str, data: st.DataObject) -> None:
    kind, cells = SHAPES[shape]
    values = data.draw(st.lists(cells, max_size=4))
    rows = pa.table({"x": pa.array(values, kind)})

    try:
        frame = to_pandas(rows, arrow_dtypes=False)
    except SourceSchemaError as error:
        assert error.code == "INPUT_INEXACT"  # noqa: PT017 - one of the two ends is right
        assert "None" in str(values)
    else:
        assert all(map(same, frame["x"], rows.column("x").to_pylist()))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_integer_beside_null_that_float64_cannot_hold_is_refused_by_column(shape: str) -> None:
    all_cells: dict[str, list[Any]] = {
        "plain": [EXACT + 1, None], "list": [[EXACT + 1], [None]], "large_list": [[EXACT + 1, None]],
        "list of lists": [[[EXACT + 1], [None]]], "struct": [{"a": EXACT + 1}, {"a": None}],
        "list of structs": [[{"a": EXACT + 1}, {"a": None}]], "map": [[("k", EXACT + 1), ("k", None)]],
        "map by integers": [[(1, [EXACT + 1, None])]],
    }  # fmt: skip
    cells = all_cells[shape]
    rows = pa.table({"fine": [1] * len(cells), "the column": pa.array(cells, SHAPES[shape][0])})

    with pytest.raises(SourceSchemaError) as caught:
        to_pandas(rows, arrow_dtypes=False)

    assert caught.value.code == "INPUT_INEXACT"
    assert "'the column'" in str(caught.value)
    assert str(EXACT + 1) not in str(caught.value)
    assert caught.value.__suppress_context__
    exact = to_pandas(rows, arrow_dtypes=True)
    assert (
        pa.table({"x": pa.array(exact["the column"])}).column("x").to_pylist() == rows.column("the column").to_pylist()
    )


@pytest.mark.parametrize("values", [[EXACT + 1, 2**63 - 1], [EXACT, None, -EXACT], [None, None], []])
def test_other_integers_are_handed_over(values: list[int | None]) -> None:
    frame = to_pandas(pa.table({"x": pa.array(values, pa.int64())}), arrow_dtypes=False)

    assert all(map(same, frame["x"], values))
    assert frame["x"].dtype == ("float64" if None in values else "int64")


def rows_of_all_types() -> pa.Table:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    return pa.table(
        {
            "int": pa.array([1, 2], pa.int32()),
            "float": [0.5, float("nan")],
            "bool": [True, None],
            "text": ["a", None],
            "bytes": [b"a", None],
            "date": [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
            "decimal": [Decimal("1.50"), None],
            "utc": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "naive": pa.array([dt.datetime(1, 1, 1), dt.datetime(9999, 1, 1)], pa.timestamp("us")),  # noqa: DTZ001 - on purpose
            "list": [[1.0], [2.0]],
            "struct": [{"a": [1]}, {"a": [2]}],
        }
    ).replace_schema_metadata({"pandas": '{"index_columns": ["int"]}'})


@pytest.mark.parametrize("arrow_dtypes", [False, True])
def test_a_frame_has_all_columns_in_order_and_a_fresh_index(arrow_dtypes: bool) -> None:  # noqa: FBT001 - a parameter
    rows = rows_of_all_types()

    frame = to_pandas(rows.slice(1), arrow_dtypes=arrow_dtypes)

    assert list(frame.columns) == rows.column_names
    assert isinstance(frame.index, pd.RangeIndex)
    assert list(frame.index) == [0]


def test_numpy_dtypes_are_those_of_pyarrow() -> None:
    rows = rows_of_all_types().replace_schema_metadata(None)

    pd.testing.assert_frame_equal(to_pandas(rows, arrow_dtypes=False), rows.to_pandas())


def test_arrow_dtypes_keep_types_and_nulls() -> None:
    rows = pa.table({"x": pa.array([2**63 - 1, None])})

    frame = to_pandas(rows, arrow_dtypes=True)

    assert frame["x"].dtype == pd.ArrowDtype(pa.int64())
    assert pa.array(frame["x"]).to_pylist() == [2**63 - 1, None]


@pytest.mark.parametrize("arrow_dtypes", [False, True])
def test_a_script_may_change_the_frame_and_does_not_change_the_rows(arrow_dtypes: bool) -> None:  # noqa: FBT001 - a parameter
    rows = rows_of_all_types()
    before = rows.to_pylist()

    frame = to_pandas(rows, arrow_dtypes=arrow_dtypes)
    frame.loc[0, "int"] = 99
    frame["float"] *= 2
    frame.loc[:, "text"] = "changed"
    if not arrow_dtypes:
        frame["int"].to_numpy()[:] = 7
    frame.loc[1, "date"] = dt.date(2000, 1, 1)
    frame.drop(columns=["utc"], inplace=True)  # noqa: PD002 - as scripts do
    for cell in (frame["list"][0], frame["struct"][0]["a"]):
        if isinstance(cell, np.ndarray) and cell.flags.writeable:
            cell[:] = 99

    assert str(rows.to_pylist()) == str(before)
    assert frame.loc[0, "text"] == "changed"


def test_no_columns_and_no_rows_are_fine() -> None:
    assert to_pandas(pa.table({}), arrow_dtypes=False).empty
    assert list(to_pandas(pa.table({"x": pa.array([], pa.int64())}), arrow_dtypes=False).columns) == ["x"]
