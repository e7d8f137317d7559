from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import SourceSchemaError
from sparkscore.scorers import frames
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.frames import hand_over, to_pandas

EXACT = 2**53
ARROW = Dtypes(are_arrow=True)
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
        frame = to_pandas(rows, Dtypes(with_null=frozenset({"x"})))
    except SourceSchemaError as error:
        assert (error.code, shape) == ("INPUT_INEXACT", "plain")  # noqa: PT017 - one of the two ends is right
        assert any(abs(value or 0) > EXACT for value in values)
    else:
        assert all(map(same, frame["x"], rows.column("x").to_pylist()))


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "plain"])
@given(st.data())
def test_what_a_row_holds_inside_does_not_depend_on_the_others(shape: str, data: st.DataObject) -> None:
    kind, cells = SHAPES[shape]
    values = data.draw(st.lists(cells, min_size=1, max_size=4))
    rows = pa.table({"x": pa.array(values, kind)})

    together = to_pandas(rows)["x"]
    alone = [to_pandas(rows.slice(place, 1))["x"][0] for place in range(rows.num_rows)]

    assert [shown(value) for value in together] == [shown(value) for value in alone]
    # Where no NULL is inside, it is what pyarrow makes.
    for place, value in enumerate(together):
        if "None" not in str(values[place]):
            assert shown(value) == shown(pa.array([values[place]], kind).to_pandas()[0])


def shown(value: Any) -> str:
    """Write a value with the kind of everything in it."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}[{', '.join(map(shown, value))}]"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(shown, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {shown(item)}' for key, item in value.items())}}}"
    return f"{type(value).__name__} {value}"


def test_nested_integers_and_booleans_beside_null_stay_what_they_are() -> None:
    rows = pa.table(
        {
            "list": [[EXACT + 1, None], [3, 4], None],
            "struct": [{"n": EXACT + 1, "b": True}, {"n": None, "b": None}, None],
            "flags": [[True, None], [False], []],
            "map": pa.array([[("k", EXACT + 1)], [("k", None)], None], pa.map_(pa.string(), pa.int64())),
        }
    )

    frame = to_pandas(rows)

    assert [shown(value) for value in frame["list"]] == [
        f"object[int {EXACT + 1}, NoneType None]", "int64[int64 3, int64 4]", "NoneType None",
    ]  # fmt: skip
    assert frame["struct"].tolist() == [{"n": EXACT + 1, "b": True}, {"n": None, "b": None}, None]
    assert [shown(value) for value in frame["flags"]] == [
        "object[bool True, NoneType None]",
        "bool[bool False]",
        "bool[]",
    ]
    assert frame["map"].tolist() == [[("k", EXACT + 1)], [("k", None)], None]


@pytest.mark.parametrize("beside", [[None], []])
def test_an_integer_that_float64_cannot_hold_is_refused_by_column_also_where_no_null_is(beside: list[None]) -> None:
    rows = pa.table({"fine": [1] * (1 + len(beside)), "the column": pa.array([EXACT + 1, *beside], pa.int64())})

    with pytest.raises(SourceSchemaError) as caught:
        to_pandas(rows, Dtypes(with_null=frozenset({"the column"})))

    assert caught.value.code == "INPUT_INEXACT"
    assert "'the column'" in str(caught.value)
    assert str(EXACT + 1) not in str(caught.value)
    assert caught.value.__suppress_context__
    exact = to_pandas(rows, ARROW)
    assert pa.array(exact["the column"]).to_pylist() == [EXACT + 1, *beside]


@pytest.mark.parametrize("values", [[EXACT, None, -EXACT], [None, None], [1, 2], []])
def test_a_column_with_null_in_the_run_is_float64_in_every_mini_batch(values: list[int | None]) -> None:
    frame = to_pandas(pa.table({"x": pa.array(values, pa.int64())}), Dtypes(with_null=frozenset({"x"})))

    assert frame["x"].dtype == "float64"
    assert all(map(same, frame["x"], values))


@pytest.mark.parametrize("values", [[True, None], [None, None], [True, False], []])
def test_booleans_with_null_in_the_run_are_objects_in_every_mini_batch(values: list[bool | None]) -> None:
    frame = to_pandas(pa.table({"x": pa.array(values, pa.bool_())}), Dtypes(with_null=frozenset({"x"})))

    assert frame["x"].dtype == object
    assert [(type(value), value) for value in frame["x"]] == [(type(value), value) for value in values]


@pytest.mark.parametrize(("kind", "dtype"), [(pa.int64(), "int64"), (pa.int8(), "int8"), (pa.bool_(), "bool")])
def test_a_column_without_null_keeps_its_dtype_and_a_null_that_comes_is_refused(kind: pa.DataType, dtype: str) -> None:
    rows = pa.table({"the column": pa.array([1, 0, None]).cast(kind)})

    assert to_pandas(rows.slice(0, 2)).dtypes.tolist() == [dtype]
    assert to_pandas(rows.slice(0, 0)).dtypes.tolist() == [dtype]
    with pytest.raises(SourceSchemaError, match="'the column': got a NULL") as caught:
        to_pandas(rows)
    assert caught.value.code == "INPUT_NULL"
    assert to_pandas(rows, ARROW)["the column"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(("nan", "missing"), [(False, None), (True, np.nan)])
def test_a_null_text_is_none_or_nan(nan: bool, missing: object) -> None:  # noqa: FBT001 - a parameter
    rows = pa.table({"t": ["a", None], "n": pa.nulls(2, pa.string()), "b": [None, True], "d": pa.nulls(2, pa.date32())})

    handed = hand_over(rows, Dtypes(with_null=frozenset({"b"}), nan=nan))

    frame = handed.frame
    assert frame.dtypes.tolist() == [object] * 4
    assert frame["t"].tolist() == ["a", missing]
    assert [frame["t"][1], *frame["n"], frame["b"][0]] == [missing] * 4
    assert frame["d"].tolist() == [None, None]
    assert rows.column("t").null_count == 1


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

    frame = to_pandas(rows.slice(1), Dtypes(are_arrow=arrow_dtypes, with_null=frozenset({"bool"})))

    assert list(frame.columns) == rows.column_names
    assert isinstance(frame.index, pd.RangeIndex)
    assert list(frame.index) == [0]


def test_numpy_dtypes_are_those_of_pyarrow() -> None:
    rows = rows_of_all_types().replace_schema_metadata(None)

    pd.testing.assert_frame_equal(to_pandas(rows, Dtypes(with_null=frozenset({"bool"}))), rows.to_pandas())


def test_arrow_dtypes_keep_types_and_nulls() -> None:
    rows = pa.table({"x": pa.array([2**63 - 1, None])})

    frame = to_pandas(rows, ARROW)

    assert frame["x"].dtype == pd.ArrowDtype(pa.int64())
    assert pa.array(frame["x"]).to_pylist() == [2**63 - 1, None]


@pytest.mark.parametrize("arrow_dtypes", [False, True])
def test_a_script_may_change_the_frame_and_does_not_change_the_rows(arrow_dtypes: bool) -> None:  # noqa: FBT001 - a parameter
    rows = rows_of_all_types()
    before = rows.to_pylist()

    frame = to_pandas(rows, Dtypes(are_arrow=arrow_dtypes, with_null=frozenset({"bool"})))
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
    assert to_pandas(pa.table({})).empty
    assert list(to_pandas(pa.table({"x": pa.array([], pa.int64())})).columns) == ["x"]


NUMBERS: dict[str, pa.Array] = {
    "floats": pa.array([1.5, 2.5]),
    "floats with NULL": pa.array([1.5, None]),
    "singles": pa.array([1.5, 2.5], pa.float32()),
    "integers": pa.array([1, 2]),
    "booleans": pa.array([True, False]),
    "times": pa.array([10**6, None], pa.timestamp("us")),
    "times in UTC": pa.array([dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2)]),
    "writable memory": pa.Array.from_buffers(pa.float64(), 2, [None, pa.py_buffer(bytearray(np.array([1.0, 2.0])))]),
}


@pytest.mark.parametrize("names", [*([name] for name in NUMBERS), [*NUMBERS]], ids=str)
@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("has_blocks", [True, False])
def test_what_a_script_writes_to_its_frame_is_in_no_other_memory(
    names: list[str], copies: int, monkeypatch: pytest.MonkeyPatch, *, has_blocks: bool
) -> None:
    if not has_blocks:  # they are private in pandas, and a later version may not have them
        monkeypatch.setattr(frames, "getattr", lambda *_: None, raising=False)
    rows = pa.table({f"{name} {number}": NUMBERS[name] for name in names for number in range(copies)})
    stored = rows.to_pydict()

    frame = hand_over(rows).frame
    for name in frame.columns:
        frame[name].array[0] = frame[name].array[1]

    assert rows.to_pydict() == stored


@pytest.mark.parametrize("has_blocks", [True, False])
def test_only_objects_are_kept_beside_the_frame(monkeypatch: pytest.MonkeyPatch, *, has_blocks: bool) -> None:
    if not has_blocks:
        monkeypatch.setattr(frames, "getattr", lambda *_: None, raising=False)
    assert hand_over(pa.table({"at": NUMBERS["times in UTC"]})).before is None
    assert hand_over(pa.table({"x": [1.5], "y": [2.5]})).before is None
    before = hand_over(pa.table({"x": [1.5], "y": ["a"]})).before
    assert before is not None
    assert before["y"].tolist() == ["a"]


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
@pytest.mark.parametrize("are_arrow", [False, True], ids=["numpy", "arrow"])
def test_a_task_converts_its_rows_itself_because_waiting_for_another_thread_takes_longer(*, are_arrow: bool) -> None:
    code = f"""
import os
import pyarrow as pa
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.frames import hand_over

rows = pa.table({{f"f{{number}}": [0.5, number] for number in range(30)}})
before = len(os.listdir("/proc/self/task"))
hand_over(rows, Dtypes(are_arrow={are_arrow}))
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout.strip() == "0"
