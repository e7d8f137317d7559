"""What run() returned, as a table."""

from __future__ import annotations

import datetime as dt
import enum
import pickle
import uuid
from collections import deque, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sparkscore.errors import OutputContractError
from sparkscore.returned import tabulate
from sparkscore.signature import parse_ddl, to_ddl
from sparkscore.signature.model_signature import optional

Colour = enum.Enum("Colour", ["RED"])
Row = namedtuple("Row", ["x", "y"])  # noqa: PYI024 - a script's plain named tuple


def tabulated(returned: Any, ddl: str | None = None) -> tuple[str, list[dict[str, Any]]]:
    result = tabulate(returned, None if ddl is None else parse_ddl(ddl))
    assert result.table.num_rows == result.elements
    return to_ddl(result.table.schema), result.table.to_pylist()


def refused(returned: Any, ddl: str | None = None) -> OutputContractError:
    with pytest.raises(OutputContractError) as caught:
        tabulate(returned, None if ddl is None else parse_ddl(ddl))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own error
    assert caught.value.next_step.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    ("returned", "ddl", "rows"),
    [
        ([1, None], "prediction bigint", [(1,), (None,)]),
        ((0.5, 1), "prediction double", [(0.5,), (1.0,)]),
        ((item for item in ["a", "b"]), "prediction string", [("a",), ("b",)]),
        (map(str, [1, 2]), "prediction string", [("1",), ("2",)]),
        (np.array([1, 2], np.int8), "prediction bigint", [(1,), (2,)]),
        (np.array([[1, 2], [3, 4]]), "prediction array<bigint>", [([1, 2],), ([3, 4],)]),
        (np.array([["a"], ["b"]]), "prediction array<string>", [(["a"],), (["b"],)]),
        (np.array([["a", 1], ["b", 2]], object), "c0 string, c1 bigint", [("a", 1), ("b", 2)]),
        (pd.Series([1.5, np.nan], index=[5, 5]), "prediction double", [(1.5,), (np.nan,)]),
        (pd.Series(["a", np.nan]), "prediction string", [("a",), (None,)]),
        (pd.Index(["a", "b"]), "prediction string", [("a",), ("b",)]),
        (pd.MultiIndex.from_tuples([(1, "a")]), "c0 bigint, c1 string", [(1, "a")]),
        (pa.array([True, None]), "prediction boolean", [(True,), (None,)]),
        (pa.chunked_array([[1], [2]]), "prediction bigint", [(1,), (2,)]),
        (pa.array([[1], None]), "prediction array<bigint>", [([1],), (None,)]),
        (pa.array([{"a": 1, "b": "x"}, None]), "a bigint, b string", [(1, "x"), (None, None)]),
        ([[1, 2.5], [3], None, [None]], "prediction array<double>", [([1.0, 2.5],), ([3.0],), (None,), ([None],)]),
        ([["a", None], []], "prediction array<string>", [(["a", None],), ([],)]),
        ([[True], [False]], "prediction array<boolean>", [([True],), ([False],)]),
        ([[[1]], [[2, 3], []]], "prediction array<array<bigint>>", [([[1]],), ([[2, 3], []],)]),
        ([np.array([1.5]), [2.5]], "prediction array<double>", [([1.5],), ([2.5],)]),
        ([["a", 1], ["b", None]], "c0 string, c1 bigint", [("a", 1), ("b", None)]),
        ([[True, 1]], "c0 boolean, c1 bigint", [(True, 1)]),
        ([(1, 2), None, (3, 4)], "c0 bigint, c1 bigint", [(1, 2), (None, None), (3, 4)]),
        ([(1,)], "c0 bigint", [(1,)]),
        ([Row(1, "a")], "c0 bigint, c1 string", [(1, "a")]),
        ([("a", [1, 2])], "c0 string, c1 array<bigint>", [("a", [1, 2])]),
        ([{"b": 1, "a": "x"}, None, {"a": "y", "b": 2}], "b bigint, a string", [(1, "x"), (None, None), (2, "y")]),
        (pd.Series([{"a": 1}, np.nan]), "a bigint", [(1,), (None,)]),
        (pd.Series([(1, "a"), None]), "c0 bigint, c1 string", [(1, "a"), (None, None)]),
    ],
)
def test_lists_without_a_schema(returned: Any, ddl: str, rows: list[tuple[Any, ...]]) -> None:
    found, table = tabulated(returned, None)

    assert found == ddl
    assert repr([tuple(row.values()) for row in table]) == repr(rows)


@pytest.mark.parametrize(
    ("returned", "ddl", "rows"),
    [
        ([1, None], "score double", [(1.0,), (None,)]),
        (np.array([1, 2]), "score float NOT NULL", [(1.0,), (2.0,)]),
        ([None, None], "a int, b string", [(None, None), (None, None)]),
        ([(1, "x")], "a tinyint, b string", [(1, "x")]),
        ([["x", "y"]], "a string, b string", [("x", "y")]),
        ([[0.5], [0.25]], "p double", [(0.5,), (0.25,)]),
        (np.array([[0.5], [0.25]]), "p double", [(0.5,), (0.25,)]),
        (np.array([[1, 2], [3, 4]]), "a bigint, b double", [(1, 2.0), (3, 4.0)]),
        (np.ma.MaskedArray([[1, 2]], [[True, False]]), "a bigint, b bigint", [(None, 2)]),
        (np.array([[1, 2]]), "p array<float>", [([1.0, 2.0],)]),
        ([[1], None, ["x"]][:2], "p array<int>", [([1],), (None,)]),
        ([([1, 2],)], "p array<int>", [([1, 2],)]),
        ([{"b": 1, "a": 2}], "a int, b int", [(2, 1)]),
        ([{"m": {"k": 1}}], "m map<string,int>", [([("k", 1)],)]),
        ([{"s": {"y": 1, "x": None}}], "s struct<x:string,y:int NOT NULL>", [({"x": None, "y": 1},)]),
        ([], "a int, b int", []),
        (np.array([]), "a int, b int", []),
        (iter([]), "a int NOT NULL", []),
        (pd.DataFrame(), "a int", []),
        (pd.DataFrame({"b": [1], "a": ["x"]}), "a string, b smallint", [("x", 1)]),
        (pd.DataFrame({"a": []}), "a string", []),
        (pa.table({"b": [1], "a": [None]}), "a string, b smallint", [(None, 1)]),
        (pa.array([{"b": 1, "a": 2}]), "a int, b int", [(2, 1)]),
    ],
)
def test_with_a_schema(returned: Any, ddl: str, rows: list[tuple[Any, ...]]) -> None:
    schema = parse_ddl(ddl)
    result = tabulate(returned, schema)

    assert result.table.schema.equals(schema, check_metadata=True)
    assert repr([tuple(row.values()) for row in result.table.to_pylist()]) == repr(rows)
    assert result.elements == len(rows)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"n": [1, 2], "s": ["x", np.nan]}, index=[7, 7]),
        pa.table({"n": [1, 2], "s": ["x", None]}),
        pa.RecordBatch.from_pydict({"n": [1, 2], "s": ["x", None]}),
    ],
)
def test_frames(frame: Any) -> None:
    result = tabulate(frame)

    assert result.is_frame
    assert result.elements == 2
    assert to_ddl(result.table.schema) == "n bigint, s string"
    assert result.table.to_pydict() == {"n": [1, 2], "s": ["x", None]}


@pytest.mark.parametrize(
    "empty", [[], (), iter([]), np.array([]), pd.Series([], dtype=object), pa.array([]), pd.DataFrame()]
)
def test_nothing_without_a_schema(empty: Any) -> None:
    result = tabulate(empty)

    assert (result.table.num_columns, result.table.num_rows, result.elements) == (0, 0, 0)
    assert result.is_frame == isinstance(empty, pd.DataFrame)


@pytest.mark.parametrize(
    ("returned", "name"),
    [
        (None, "None"),
        ("abc", "str"),
        (b"abc", "bytes"),
        ({"a": 1}, "dict"),
        (1, "int"),
        (1.5, "float"),
        (np.float64(1), "numpy.float64"),
        (np.array(1), "numpy.ndarray of 0 dimensions"),
        ({1, 2}, "set"),
        (range(3), "range"),
        (deque([1]), "collections.deque"),
        (pa.scalar(1), "pyarrow.lib.Int64Scalar"),
        (object(), "object"),
        (pd.NA, "NULL"),
    ],
)
@pytest.mark.parametrize("ddl", [None, "prediction string"])
def test_what_is_no_list(returned: Any, name: str, ddl: str | None) -> None:
    error = refused(returned, ddl)

    assert error.code == "OUTPUT_KIND"
    assert error.got == name
    assert "NumPy array" in error.expected


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ([1, [1]], "element 2: got a list (list), expected a scalar like element 1"),
        ([None, (1,), {"a": 1}], "element 3: got a dict (dict), expected a tuple like element 2"),
        ([(1,), [1]], "element 2: got a list (list), expected a tuple like element 1"),
        (pd.Series([{"a": 1}, 1.5]), "element 2: got a scalar (float), expected a dict like element 1"),
    ],
)
def test_elements_of_more_than_one_shape(returned: Any, told: str) -> None:
    error = refused(returned)

    assert error.code == "OUTPUT_SHAPE"
    assert told in str(error)


@pytest.mark.parametrize(
    ("returned", "ddl", "told"),
    [
        ([(1, 2), (1,)], None, "element 2: got tuple of length 1, expected length 2"),
        ([()], None, "expected length at least 1"),
        ([["a", 1], ["b"]], None, "element 2"),
        ([{"a": 1}, {"a": 1, "b": 2}], None, "element 2: got a dict with 'b'"),
        ([{"a": 1}, {"b": 2}], None, "without 'a' and with 'b'"),
        ([{1: 1}], None, "the name of column 1: got int"),
        ([{"": 1}], None, "got an empty text"),
        ([{"a": 1, "A": 2}], None, "column 'A': got the name twice"),
        ([{}], None, "got no column"),
        (pd.DataFrame([[1, 2]], columns=[1, 2]), None, "the name of column 1: got the number 1"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), None, "column 'a': got the name twice"),
        (pd.DataFrame(index=[1, 2]), None, "got no column"),
        (pa.array([{"a": 1, "A": 2}]), None, "column 'A': got the name twice"),
        (
            pd.DataFrame([[1, 2]], columns=["a", "B"]),
            "a int, b int",
            "got no 'b' and also 'B', expected exactly 'a', 'b'",
        ),
        (pd.DataFrame({"a": []}), "b int", "got no 'b' and also 'a'"),
        (pa.table({"a": [1]}), "a int, b int", "got no 'b'"),
        ([{"a": 1, "b": 2}], "a int", "got also 'b'"),
        ([1, 2], "a int, b int", "got 1 value(s) each, expected 2"),
        ([(1, 2)], "p array<int>", "got tuple of length 2, expected length 1"),
        ([(1, 2)], "a int, b int, c int", "expected length 3"),
        (np.zeros((2, 3)), "a double, b double", "got 3 value(s) each"),
        (np.zeros((2, 0)), "a double", "got 0 value(s) each"),
    ],
)
def test_columns_that_do_not_fit(returned: Any, ddl: str | None, told: str) -> None:
    error = refused(returned, ddl)

    assert error.code == "OUTPUT_COLUMNS"
    assert told in str(error)


@pytest.mark.parametrize(
    ("returned", "ddl", "told"),
    [
        ([1, None], "p int NOT NULL", "column 'p', element 2"),
        (pd.Series(["a", np.nan]), "p string NOT NULL", "column 'p', element 2"),
        ([None], "a int, b int NOT NULL", "column 'b', element 1"),
        ([{"s": None}, {"s": {"x": None}}], "s struct<x:int NOT NULL>", "column 's.x', element 2"),
        (
            [{"s": []}, {"s": None}, {"s": [{"x": 1}, {"x": None}]}],
            "s array<struct<x:int NOT NULL>>",
            "column 's.element.x', element 3",
        ),
        (
            [{"m": {"a": None}}, {"m": {"b": {"x": None}}}],
            "m map<string,struct<x:int NOT NULL>>",
            "column 'm.value.x', element 2",
        ),
    ],
)
def test_null_where_the_schema_forbids_it(returned: Any, ddl: str, told: str) -> None:
    error = refused(returned, ddl)

    assert error.code == "OUTPUT_NULL"
    assert told in str(error)
    assert tabulate(returned, parse_ddl(ddl.replace(" NOT NULL", ""))).elements == len(returned)


def test_all_null_asks_for_a_schema() -> None:
    assert refused([None, None]).code == "OUTPUT_ALL_NULL"
    assert "'b'" in str(refused([{"a": 1, "b": None}]))


def test_messages_name_the_first_bad_element_and_never_its_value() -> None:
    error = refused([{"a": [1, 2]}, {"a": [3, 4.25]}, {"a": "secret"}], "a array<int>")

    assert error.what == "column 'a', element 2"
    assert "4.25" not in str(error)
    assert "secret" not in str(refused(["secret"], "a array<int>"))


def test_the_first_bad_element_counts_through_levels() -> None:
    returned = [{"s": {"x": 1, "y": "a"}}, {"s": {"x": 1, "y": 2}}, {"s": {"x": "b", "y": "c"}}, {"s": 5}]

    assert refused(returned, "s struct<x:int,y:string>").what == "column 's', element 2"


def test_what_came_back_is_left_as_it_was_and_not_shared() -> None:
    array = np.array([1.0, 2.0])
    items: list[Any] = [{"a": [1], "b": np.nan}]
    frame = pd.DataFrame({"a": pd.Series([1, np.nan], dtype=object)})
    before = frame.copy(deep=True)

    results = [tabulate(array), tabulate(array.reshape(1, 2)), tabulate(pd.Series(array, copy=False))]
    tabulate(items)
    tabulate(frame)
    array[:] = 99

    assert [result.table["prediction"].to_pylist() for result in results] == [[1.0, 2.0], [[1.0, 2.0]], [1.0, 2.0]]
    assert repr(items) == "[{'a': [1], 'b': nan}]"
    pd.testing.assert_frame_equal(frame, before)


def test_an_iterator_is_consumed_once_and_its_error_passes() -> None:
    class Interrupted(Exception):  # noqa: N818 - a script's own
        pass

    def lines() -> Any:
        yield 1
        raise Interrupted

    source = iter([1, 2, 3])

    assert tabulate(source).elements == 3
    assert list(source) == []
    with pytest.raises(Interrupted):
        tabulate(lines())


def test_large_columns_are_converted_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError

    for name in ("clean_double", "clean_integer", "clean_float", "clean_timestamp", "clean_boolean"):
        monkeypatch.setattr(f"sparkscore.returned.scalars.{name}", forbidden)
    monkeypatch.setattr("sparkscore.returned.objects._convert_one_by_one", forbidden)
    stamps = pd.Series(pd.date_range("2024-01-01", periods=10_000, freq="s", tz="Europe/Berlin"))
    count = 10_000

    for values in (
        np.arange(count), np.ones(count, np.float32), np.ones((count, 4)), pd.Series(np.arange(count)), stamps,
        pd.Series(np.arange(count), dtype="Int64"), pa.array(np.arange(count)), np.ones(count, bool),
        [np.float32(1)] * count, [1.5] * count, [[1.5, 2.5]] * count, [np.ones(3)] * count,
    ):  # fmt: skip
        assert tabulate(values).elements == count


def test_dates_and_strings_in_frames() -> None:
    frame = pd.DataFrame({"d": [dt.date(2024, 1, 1), None], "s": pd.Series(["a", None], dtype="string")})

    assert tabulated(frame, "d date, s string")[1] == [
        {"d": dt.date(2024, 1, 1), "s": "a"},
        {"d": None, "s": None},
    ]


@pytest.mark.parametrize(
    "columns",
    [
        pd.RangeIndex(2),
        pd.Index([0, 1], dtype="int64"),
        pd.Index([0, 1], dtype="int32"),
        pd.Index([0, 1], dtype="uint8"),
        pd.Index([0, 1], dtype=object),
    ],
)
def test_columns_that_nobody_named_count_by_position(columns: Any) -> None:
    frame = pd.DataFrame([["x", 1], ["y", 2]])
    frame.columns = columns

    assert tabulated(frame) == ("c0 string, c1 bigint", [{"c0": "x", "c1": 1}, {"c0": "y", "c1": 2}])
    assert tabulated(frame, "label string, score double")[1][0] == {"label": "x", "score": 1.0}
    assert tabulated(frame, "c1 string, c0 double")[1][0] == {"c1": "x", "c0": 1.0}
    assert tabulate(frame).is_frame


def test_one_column_that_nobody_named() -> None:
    assert tabulated(pd.DataFrame([1, 2])) == ("c0 bigint", [{"c0": 1}, {"c0": 2}])
    assert tabulated(pd.DataFrame([1, 2]), "score double")[1] == [{"score": 1.0}, {"score": 2.0}]


@pytest.mark.parametrize("empty", [pd.DataFrame([[1, 2]]).iloc[:0], pd.DataFrame([]), pd.DataFrame(columns=[0, 1])])
def test_no_rows_without_names_fit_what_is_declared(empty: pd.DataFrame) -> None:
    assert tabulated(empty, "c0 bigint, c1 bigint") == ("c0 bigint, c1 bigint", [])


def test_texts_that_look_like_numbers_stay_names() -> None:
    assert tabulated(pd.DataFrame({"0": [1], "1": ["x"]}))[0] == "`0` bigint, `1` string"


@pytest.mark.parametrize("columns", [[1, 2], [1, 0], [0, 2], ["a", 0], [0, "a"], [0, 0], [-1, 0]])
def test_other_numbers_are_refused_with_the_line_that_names_them(columns: list[Any]) -> None:
    frame = pd.DataFrame([[1, 2]])
    frame.columns = pd.Index(columns, dtype=object)

    error = refused(frame)

    assert error.code == "OUTPUT_COLUMNS"
    assert "frame.rename(columns={" in error.next_step


@pytest.mark.parametrize("columns", [[False, True], [0.0, 1.0], [None, "a"]])
def test_what_is_neither_a_text_nor_a_number_is_no_name(columns: list[Any]) -> None:
    frame = pd.DataFrame([[1, 2]])
    frame.columns = pd.Index(columns, dtype=object)

    assert refused(frame).code == "OUTPUT_COLUMNS"


def test_another_number_of_columns_than_declared_is_refused() -> None:
    error = refused(pd.DataFrame([[1, 2, 3]]), "a bigint, b bigint")

    assert "3 value(s)" in str(error)


# -------------------------------------------------------------------------------- everyday containers, and advice


@pytest.mark.parametrize(
    ("returned", "table"),
    [
        (pd.Categorical(["b", None, "a"]), {"prediction": ["b", None, "a"]}),
        (pd.array([1, None], dtype="Int64"), {"prediction": [1, None]}),
        (pd.Series([True, None], dtype="boolean").array, {"prediction": [True, None]}),
        ([np.array(1.5), np.array(2.0)], {"prediction": [1.5, 2.0]}),
        ([np.array("a"), None], {"prediction": ["a", None]}),
        (np.array([(1, "x"), (2, "y")], dtype=[("n", "i4"), ("s", "U3")]), {"n": [1, 2], "s": ["x", "y"]}),
        (pd.DataFrame({"a": [np.array(1), None]}), {"a": [1, None]}),
    ],
)
def test_everyday_containers(returned: Any, table: dict[str, Any]) -> None:
    result = tabulate(returned)

    assert result.table.to_pydict() == table
    assert result.elements == len(returned)


@pytest.mark.parametrize(
    ("returned", "ddl", "table"),
    [
        ([{"x": 1.0}, {"y": 2.0}, None], "p map<string,double>", {"p": [[("x", 1.0)], [("y", 2.0)], None]}),
        ([{"x": 1.0}, {"x": 2.0}], "p map<string,double>", {"p": [[("x", 1.0)], [("x", 2.0)]]}),
        ([{"p": {"x": 1.0}}], "p map<string,double>", {"p": [[("x", 1.0)]]}),
        ([{"p": 1.0}], "p map<string,double>", {"p": [[("p", 1.0)]]}),
        ([{0: 0.5}], "p map<bigint,double>", {"p": [[(0, 0.5)]]}),
        ([np.array(1.5)], "p double", {"p": [1.5]}),
        (np.array([(1, 2.5)], dtype=[("b", "i4"), ("a", "f8")]), "a double, b bigint", {"a": [2.5], "b": [1]}),
    ],
)
def test_everyday_containers_as_declared(returned: Any, ddl: str, table: dict[str, Any]) -> None:
    assert tabulate(returned, parse_ddl(ddl)).table.to_pydict() == table


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (dt.timedelta(1), "total_seconds"),
        (np.timedelta64(1, "s"), "total_seconds"),
        ({1}, "sorted"),
        (1j, ".real and .imag"),
        (dt.time(1), "str"),
        (uuid.UUID(int=1), "str"),
        (Path("x"), "str"),
        (pd.Period("2020-01"), "str"),
        (Colour.RED, ".value"),
        (pd.Series([1]), "tolist"),
        (pd.DataFrame({"a": [1]}), "pd.concat"),
        (object(), "numbers, texts"),
    ],
)
@pytest.mark.parametrize("ddl", [None, "p string", "p array<double>"])
def test_what_no_column_holds_has_advice_of_its_own(value: Any, told: str, ddl: str | None) -> None:
    error = refused([value], ddl)

    assert error.code == "OUTPUT_TYPE"
    assert told in error.next_step
    assert "declare" not in error.next_step


@pytest.mark.parametrize(
    ("returned", "ddl", "told"),
    [
        ([[], []], None, "prediction array<double>"),
        (pa.array([[], []], pa.list_(pa.null())), None, "prediction array<double>"),
        ([None], None, "prediction double"),
        ([pd.Timestamp("2024-01-01")], "d date", "timestamp_ntz"),
        ([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], "d date", "timestamp."),
        ({"a": [1]}, None, "pd.DataFrame(returned)"),
        ([{"x": 1.0}, {"y": 2.0}], None, "prediction map<string,double>"),
        ([{0: 0.25, 1: 0.75}], None, "prediction map<bigint,double>"),
        (pa.array([dt.time(1)]), None, "cast"),
    ],
)
def test_advice_can_be_followed(returned: Any, ddl: str | None, told: str) -> None:
    assert told in refused(returned, ddl).next_step


def test_optional_fields_of_a_signature_may_be_absent_from_any_dict() -> None:
    schema = pa.schema([pa.field("x", pa.int64()), optional(pa.field("y", pa.string()))])

    assert tabulate([{"x": 1}, {"y": "a", "x": 2}, None], schema).table.to_pydict() == {
        "x": [1, 2, None],
        "y": [None, "a", None],
    }
    assert tabulate([{"x": 1}], schema).table.to_pydict() == {"x": [1], "y": [None]}
    with pytest.raises(OutputContractError, match="no 'x'"):
        tabulate([{"y": "a"}], schema)
