"""Several outputs of a model, as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import OutputContractError
from sparkscore.returned import NamedColumns, tabulate
from sparkscore.signature import parse_ddl, to_ddl

CLASSES = np.array([[0.25, 0.75], [0.5, 0.5]])


def rows(columns: dict[str, Any], ddl: str | None = None) -> list[tuple[Any, ...]]:
    schema = None if ddl is None else parse_ddl(ddl)
    result = tabulate(NamedColumns(columns), schema)
    assert result.table.num_rows == result.elements
    assert not result.is_frame
    if schema is not None:
        assert result.table.schema.equals(schema, check_metadata=True)
    return [tuple(row.values()) for row in result.table.to_pylist()]


def refused(columns: dict[Any, Any], ddl: str | None = None) -> OutputContractError:
    with pytest.raises(OutputContractError) as caught:
        tabulate(NamedColumns(columns), None if ddl is None else parse_ddl(ddl))
    assert caught.value.next_step.endswith(".")
    return caught.value


# --------------------------------------------------------------------------------------------------- without a schema


@pytest.mark.parametrize(
    ("values", "ddl", "expected"),
    [
        ([1, None], "bigint", [1, None]),
        ((1.5, 2), "double", [1.5, 2.0]),
        (np.array([1, 2], np.int8), "bigint", [1, 2]),
        (np.array([0.5, np.nan]), "double", [0.5, np.nan]),
        (np.array([True, False]), "boolean", [True, False]),
        (np.array(["a", "b"]), "string", ["a", "b"]),
        (np.array(["a", None], object), "string", ["a", None]),
        (np.ma.MaskedArray([1, 2], [False, True]), "bigint", [1, None]),
        (pd.Series([1, 2], index=[7, 7]), "bigint", [1, 2]),
        (pd.Series(["a", np.nan]), "string", ["a", None]),
        (pa.array([1, None]), "bigint", [1, None]),
        (pa.chunked_array([["a"], ["b"]]), "string", ["a", "b"]),
        (CLASSES, "array<double>", [[0.25, 0.75], [0.5, 0.5]]),
        (np.array([[1], [2]]), "array<bigint>", [[1], [2]]),
        (np.zeros((2, 1, 2)), "array<array<double>>", [[[0.0, 0.0]], [[0.0, 0.0]]]),
        (np.zeros((2, 0)), "array<double>", [[], []]),
        (np.array([["a", "b"], ["c", "d"]]), "array<string>", [["a", "b"], ["c", "d"]]),
        ([[1], [2.5, None]], "array<double>", [[1.0], [2.5, None]]),
        ([np.array([1]), np.array([2, 3])], "array<bigint>", [[1], [2, 3]]),
        ([{"k": 1}, {"k": 2}], "struct<k:bigint>", [{"k": 1}, {"k": 2}]),
        (pa.array([{"k": 1}, None]), "struct<k:bigint>", [{"k": 1}, None]),
    ],
)
def test_an_output_keeps_its_name_and_is_one_column(values: Any, ddl: str, expected: list[Any]) -> None:
    result = tabulate(NamedColumns({"label": ["x", "y"], "Score 1": values}))

    assert to_ddl(result.table.schema) == f"label string, `Score 1` {ddl}"
    assert repr(result.table["Score 1"].to_pylist()) == repr(expected)
    assert (result.elements, result.is_frame) == (2, False)


def test_no_row_of_arrays_keeps_their_type() -> None:
    result = tabulate(NamedColumns({"p": np.empty((0, 2)), "n": np.empty(0, np.int64)}))

    assert to_ddl(result.table.schema) == "p array<double>, n bigint"
    assert (result.table.num_rows, result.elements) == (0, 0)


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_but_null_asks_for_a_schema(values: list[None]) -> None:
    error = refused({"a": np.zeros(len(values)), "b": values})

    assert error.code == "OUTPUT_ALL_NULL"
    assert "'b'" in str(error)


# ------------------------------------------------------------------------------------------------------ with a schema


@pytest.mark.parametrize(
    ("columns", "ddl", "expected"),
    [
        ({"a": [1, 2], "b": ["x", None]}, "a double, b string", [(1.0, "x"), (2.0, None)]),
        ({"a": [1, 2], "b": ["x", "y"]}, "b string, a tinyint NOT NULL", [("x", 1), ("y", 2)]),
        ({"p": CLASSES, "n": [1, 2]}, "n int, p array<double>", [(1, [0.25, 0.75]), (2, [0.5, 0.5])]),
        ({"p": CLASSES}, "p array<float>", [([0.25, 0.75],), ([0.5, 0.5],)]),
        ({"p": np.array([[0.25], [0.5]])}, "p double", [(0.25,), (0.5,)]),
        ({"p": np.array([[0.25], [0.5]])}, "p array<double>", [([0.25],), ([0.5],)]),
        ({"s": np.array([["a"], ["b"]]), "n": [1, 2]}, "s string, n int", [("a", 1), ("b", 2)]),
        ({"s": np.array([["a"], [None]], object)}, "s string", [("a",), (None,)]),
        ({"s": np.array([["a"], ["b"]], object)}, "s array<string>", [(["a"],), (["b"],)]),
        ({"p": np.zeros((2, 1, 1))}, "p array<array<float>>", [([[0.0]],), ([[0.0]],)]),
        ({"m": [{"a": 1.0}, {"b": 2.0}]}, "m map<string,double>", [([("a", 1.0)],), ([("b", 2.0)],)]),
        ({"m": [{0: 0.5}, {}]}, "m map<bigint,float>", [([(0, 0.5)],), ([],)]),
        ({"m": [{"a": 1, "b": 2}]}, "m struct<b:int,a:double>", [({"b": 2, "a": 1.0},)]),
        ({"a": [], "b": np.empty((0, 3))}, "a int, b array<double>", []),
        ({"a": [None, None]}, "a date", [(None,), (None,)]),
    ],
)
def test_outputs_go_by_name(columns: dict[str, Any], ddl: str, expected: list[tuple[Any, ...]]) -> None:
    assert rows(columns, ddl) == expected


@pytest.mark.parametrize(
    ("columns", "ddl", "expected"),
    [
        ({"label": ["x", "y"], "p": CLASSES}, "l string, p0 double, p1 double", [("x", 0.25, 0.75), ("y", 0.5, 0.5)]),
        ({"p": CLASSES}, "no double, yes double", [(0.25, 0.75), (0.5, 0.5)]),
        ({"s": np.array([["a", "b"], ["c", "d"]], object)}, "x string, y string", [("a", "b"), ("c", "d")]),
        ({"variable": np.array([[0.25], [0.5]])}, "price double", [(0.25,), (0.5,)]),
        ({"output_label": [1, 0]}, "label bigint", [(1,), (0,)]),
        ({"out": [{"a": 1.0}, {"b": 2.0}]}, "p map<string,double>", [([("a", 1.0)],), ([("b", 2.0)],)]),
        ({"p": np.empty((0, 2))}, "no double, yes double", []),
        ({"p": np.ma.MaskedArray(CLASSES, CLASSES > 0.6)}, "no double, yes double", [(0.25, None), (0.5, 0.5)]),
    ],
)
def test_each_value_of_a_matrix_may_have_a_column_of_its_own(
    columns: dict[str, Any], ddl: str, expected: list[tuple[Any, ...]]
) -> None:
    assert rows(columns, ddl) == expected


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("columns", "got"),
    [
        ({"a": [1], "b": [1, 2]}, "1 to 2 values"),
        ({"a": np.zeros((3, 2)), "b": [1, 2], "c": pa.array([1])}, "1 to 3 values"),
        ({"a": [], "b": pd.Series([1])}, "0 to 1 values"),
        ({"a": [[1, 2]], "b": [1, 2]}, "1 to 2 values"),
    ],
)
@pytest.mark.parametrize("declared", ["", "double"])
def test_outputs_of_different_lengths(columns: dict[str, Any], got: str, declared: str) -> None:
    error = refused(columns, ", ".join(f"{name} {declared}" for name in columns) if declared else None)

    assert (error.code, error.got) == ("OUTPUT_COLUMNS", got)
    assert error.expected == "the same number of values in each, one per item"


@pytest.mark.parametrize(
    ("columns", "ddl", "code", "told"),
    [
        ({}, None, "OUTPUT_COLUMNS", "got no column"),
        ({"": [1]}, None, "OUTPUT_COLUMNS", "got an empty text"),
        ({0: [1]}, None, "OUTPUT_COLUMNS", "got int, expected a text"),
        ({"a": [1], "A": [1]}, None, "OUTPUT_COLUMNS", "column 'A': got the name twice"),
        ({"p": CLASSES}, "a double, b double, c double", "OUTPUT_COLUMNS", "got 2 value(s) each, expected 3"),
        ({"a": [1], "b": [2]}, "c int", "OUTPUT_COLUMNS", "got 2 value(s) each, expected 1"),
        ({"a": [1], "b": [2]}, "a int", "OUTPUT_COLUMNS", "not declared: 'b'"),
        ({"p": np.array([[1], [2]]), "q": [3, 4]}, "q int, p string", "OUTPUT_TYPE", "column 'p', element 1"),
        ({"p": CLASSES}, "p double", "OUTPUT_TYPE", "column 'p', element 1"),
        ({"p": np.array([0.1])}, "p float", "OUTPUT_TYPE", "a 32-bit float cannot hold exactly"),
        ({"n": [1.5]}, "n int", "OUTPUT_TYPE", "column 'n', element 1"),
        ({"n": [1, None]}, "n int NOT NULL", "OUTPUT_NULL", "column 'n', element 2"),
        ({"m": [{"a": 1}, {"b": 2}]}, None, "OUTPUT_TYPE", "column 'm', element 2"),
        ({"m": [{"a": "x"}]}, "m map<string,double>", "OUTPUT_TYPE", "column 'm"),
        ({"l": [1, "a"]}, None, "OUTPUT_TYPE", "column 'l', element 2"),
    ],
)
def test_outputs_that_do_not_fit(columns: dict[Any, Any], ddl: str | None, code: str, told: str) -> None:
    error = refused(columns, ddl)

    assert error.code == code
    assert told in str(error)


def test_outputs_are_left_as_they_were_and_not_shared() -> None:
    matrix, numbers, dicts = CLASSES.copy(), np.array([1, 2]), [{"a": 1.0}, {"a": 2.0}]

    results = [
        tabulate(NamedColumns({"p": matrix, "n": numbers, "m": dicts})).table,
        tabulate(NamedColumns({"p": matrix, "n": numbers}), parse_ddl("a double, b double, n bigint")).table,
    ]
    before = [table.to_pylist() for table in results]
    matrix[:] = numbers[:] = 9

    assert [table.to_pylist() for table in results] == before
    assert dicts == [{"a": 1.0}, {"a": 2.0}]


@given(st.integers(0, 5), st.integers(1, 4), st.integers(1, 3), st.data())
def test_a_matrix_as_an_array_and_as_columns_holds_the_same_values(
    count: int, width: int, others: int, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.floats(), min_size=count * width, max_size=count * width))
    matrix = np.array(values, float).reshape(count, width)
    columns = {"p": matrix, **{f"o{number}": list(range(count)) for number in range(others)}}
    apart = ", ".join([f"p{number} double" for number in range(width)] + [f"q{number} int" for number in range(others)])
    together = ", ".join(["p array<double>", *(f"o{number} int" for number in range(others))])

    wide, narrow = rows(columns, apart), rows(columns, together)

    assert repr([(list(row[:width]), *row[width:]) for row in wide]) == repr(narrow)
    assert repr([row[0] for row in narrow]) == repr(matrix.tolist())


def test_an_output_that_is_declared_by_name_keeps_its_column_whatever_the_order() -> None:
    found = tabulate(NamedColumns({"low": [1], "high": [9]}), parse_ddl("high int, lo int")).table

    assert found.to_pylist() == [{"high": 9, "lo": 1}]


# A text, a dict or a set can be iterated over, and would be a value for each item where the number fits by chance.
@pytest.mark.parametrize(
    "value", ["yes", b"yes", {"x": 1, "y": 2, "z": 3}, {1, 2, 3}, 5, None, np.array(5), pd.DataFrame({"a": [1]})]
)
def test_an_output_that_is_no_list_of_values_is_refused(value: Any) -> None:
    error = refused({"answer": value, "n": [1, 2, 3]})

    assert error.code == "OUTPUT_COLUMNS"
    assert "output 'answer' of the model" in str(error)
