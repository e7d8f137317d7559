# ruff: noqa: PD002 - changing a DataFrame in place is what is tested
from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sparkscore.errors import OutputContractError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Outcome
from sparkscore.returned import NamedColumns
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.frames import HandedOver, hand_over, to_pandas
from sparkscore.scorers.model_output import plain_output
from sparkscore.worker.moved_rows import moved_how
from sparkscore.worker.result import LineageValues, ResultSpec, make_outcome

AT = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
COUNT = 40
RANDOM = np.random.default_rng(3)
ROWS = pa.table(
    {
        "id": RANDOM.permutation(COUNT) + 1000,
        "x": [None if number % 7 == 0 else float(number * 37 % 50) for number in range(COUNT)],
        "code": [f"c{number * 7 % COUNT:02d}" for number in range(COUNT)],
        "group": [number % 3 for number in range(COUNT)],
        "flag": [number % 2 for number in range(COUNT)],
        "day": [dt.date(2026, 1, 1) + dt.timedelta(number * 3 % COUNT) for number in range(COUNT)],
        "list": [[number % 5] for number in range(COUNT)],
    }
)
ALL_WITH_NULL = Dtypes(with_null=frozenset({"id", "group", "flag", "truth"}))
Edit = Callable[[pd.DataFrame], object]


def dtypes_of(rows: pa.Table, *, arrow_dtypes: bool = False) -> Dtypes:
    found = zip(rows.column_names, rows.columns, strict=True)
    return Dtypes(are_arrow=arrow_dtypes, with_null=frozenset(name for name, column in found if column.null_count))


def judge(returned: object, rows: pa.Table = ROWS, frame: pd.DataFrame | None = None) -> Outcome:
    spec = ResultSpec(
        pa.schema([("prediction", pa.float64())]), (rows.column_names[0],), (), LineageValues("r", None, None)
    )
    return make_outcome(
        returned, MiniBatch("0", (), rows), spec, AT, None if frame is None else HandedOver(frame, rows)
    )


def after(edit: Edit, rows: pa.Table, *, arrow_dtypes: bool = False, dtypes: Dtypes | None = None) -> Outcome:
    handed = hand_over(rows, dtypes or dtypes_of(rows, arrow_dtypes=arrow_dtypes))
    edit(handed.frame)
    spec = ResultSpec(
        pa.schema([("prediction", pa.float64())]), (rows.column_names[0],), (), LineageValues("r", None, None)
    )
    return make_outcome([0.5] * rows.num_rows, MiniBatch("0", (), rows), spec, AT, handed)


def sort(frame: pd.DataFrame, by: str = "x", **more: Any) -> object:
    frame.sort_values(by, inplace=True, ignore_index=True, **more)
    return frame


def put(frame: pd.DataFrame, other: pd.DataFrame) -> None:
    frame[:] = other.to_numpy()


def add(frame: pd.DataFrame, label: int) -> object:
    row: Any = [1, 0.5, "other", 1, 1, dt.date(2020, 1, 1), [9], True][: frame.shape[1]]
    frame.loc[label] = row
    return frame


def number(frame: pd.DataFrame, labels: Any) -> object:
    frame.index = labels
    return frame


def name_differently(frame: pd.DataFrame) -> None:
    frame.columns = [f"{name}_" for name in frame.columns]
    sort(frame, "x_")


MOVES: list[Edit] = [
    lambda frame: frame.sort_values("x", inplace=True),
    lambda frame: frame.sort_index(ascending=False, inplace=True),
    sort,
    lambda frame: sort(frame, "group", kind="stable"),
    lambda frame: put(frame, frame.sample(frac=1, random_state=1)),
    lambda frame: put(frame, frame.iloc[::-1]),
    lambda frame: (sort(frame), frame.fillna({"x": 0}, inplace=True)),
    lambda frame: (sort(frame), frame.__setitem__("x", frame["x"] * 2), frame.__setitem__("flag", 1 - frame["flag"])),
    lambda frame: (sort(frame), frame.drop(columns=["id", "code", "day", "list"], inplace=True)),
    lambda frame: (sort(frame), frame.drop(columns=[name for name in frame if name != "day"], inplace=True)),
    lambda frame: (sort(frame), frame.set_index("id", inplace=True), frame.drop(columns=list(frame), inplace=True)),
    lambda frame: (sort(frame), frame.__setitem__("code", frame["code"].astype("category"))),
    lambda frame: (sort(frame), frame.__setitem__("id", frame["id"].astype(float))),
    lambda frame: (frame.sort_values("x", inplace=True), frame.reset_index(inplace=True)),
    lambda frame: frame.drop(index=[0, 1], inplace=True),
    lambda frame: frame.dropna(inplace=True),
    lambda frame: frame.drop_duplicates("group", inplace=True),
    name_differently,
    lambda frame: (frame.drop(index=0, inplace=True), add(frame, -1)),
    lambda frame: (frame.drop(index=0, inplace=True), add(frame, COUNT)),
    lambda frame: (add(frame, 1000), frame.drop(index=[5], inplace=True), frame.__setitem__("x", frame["x"] * 2)),
]


@pytest.mark.parametrize("arrow_dtypes", [False, True])
@pytest.mark.parametrize("edit", MOVES)
def test_rows_that_were_moved_in_place_are_not_joined_by_position(edit: Edit, *, arrow_dtypes: bool) -> None:
    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\].*in place"):
        after(edit, ROWS, arrow_dtypes=arrow_dtypes)


@pytest.mark.parametrize("edit", MOVES)
def test_rows_that_were_moved_are_seen_where_other_mini_batches_have_the_nulls(edit: Edit) -> None:
    rows = ROWS.append_column("truth", [[number % 2 == 0 for number in range(COUNT)]])

    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\].*in place"):
        after(edit, rows, dtypes=ALL_WITH_NULL)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("number", [3, 1, 2]),
        ("number", [3.5, None, 2.5]),
        ("text", ["c", "a", None]),
        ("pair", [2, 1]),
        ("moment", [dt.datetime(2026, 1, 3, tzinfo=dt.UTC), None, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]),
        ("nested", [{"a": [2]}, {"a": [1]}, {"a": [0]}]),
        ("truth", [True, True, False, True]),
        ("group", ["b", "b", "a", "a"]),
    ],
)
def test_one_column_alone_shows_that_its_rows_were_moved(name: str, values: list[Any]) -> None:
    rows = pa.table({name: values})
    order = rows.to_pandas()[name].astype(str).argsort(kind="stable").to_numpy()

    def edit(frame: pd.DataFrame) -> None:
        moved = frame.iloc[order].reset_index(drop=True)
        frame[name] = moved[name]

    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\]"):
        after(edit, rows)


KINDS: dict[str, Callable[[int], Any]] = {
    "flag": lambda number: number % 2,
    "truth": lambda number: number % 2 == 0,
    "number": lambda number: number,
    "number or NULL": lambda number: None if number % 3 == 0 else number / 7,
    "text": lambda number: f"t{number}",
    "few texts": lambda number: ["a", None, "b"][number % 3],
    "bytes": lambda number: b"x%d" % number,
    "price": lambda number: Decimal(number) / 4,
    "day": lambda number: dt.date(2026, 1, 1) + dt.timedelta(number),
    "moment": lambda number: dt.datetime(2026, 1, 1, number % 24),  # noqa: DTZ001 - without a zone on purpose
    "moment in a zone": lambda number: dt.datetime(2026, 1, 1, number % 24, tzinfo=dt.UTC),
    "span": lambda number: dt.timedelta(seconds=number),
    "structure": lambda number: {"a": number % 4},
}


@pytest.mark.parametrize("names", [("a", "b", "c"), ("b", "a", "c"), ("b", "c", "a")])
def test_columns_that_moved_together_are_seen_beside_one_that_was_sorted_alone(names: tuple[str, ...]) -> None:
    columns = {name: RANDOM.permutation(COUNT) for name in names}

    def edit(frame: pd.DataFrame) -> None:
        order = RANDOM.permutation(COUNT)
        frame["b"], frame["c"] = frame["b"].to_numpy()[order], frame["c"].to_numpy()[order]
        frame["a"] = np.sort(frame["a"].to_numpy())

    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\].*in place"):
        after(edit, pa.table(columns))


@pytest.mark.parametrize("arrow_dtypes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_two_exchanged_rows_are_seen_in_columns_of_every_kind(kind: str, *, arrow_dtypes: bool) -> None:
    rows = pa.table({name: [KINDS[kind](number * step) for number in range(30)] for name, step in (("x", 1), ("y", 7))})

    def exchange(frame: pd.DataFrame) -> None:
        order = [1, 0, *range(2, 30)]
        for name in frame:
            frame[name] = frame[name].iloc[order].reset_index(drop=True)

    assert after(len, rows, arrow_dtypes=arrow_dtypes).scored == 30
    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\]"):
        after(exchange, rows, arrow_dtypes=arrow_dtypes)


@pytest.mark.parametrize("name", ["flag", "text", "day"])
def test_equal_values_in_other_objects_are_the_same_values(name: str) -> None:
    rows = pa.table({name: [KINDS[name](number) for number in range(30)]})

    def make_again(frame: pd.DataFrame) -> None:
        frame[name] = rows.to_pandas()[name]

    assert after(make_again, rows).scored == 30


def scale(frame: pd.DataFrame) -> None:
    frame[:] = (frame - frame.mean()) / (frame.std() * 2)


@pytest.mark.parametrize("edit", [len, scale, lambda frame: frame.fillna(0, inplace=True)])
@pytest.mark.parametrize("kind", ["doubles", "doubles or NULL", "whole numbers", "flags", "integers", "truths"])
def test_whether_rows_moved_costs_little_of_a_mini_batch(kind: str, edit: Edit) -> None:
    """In CPU seconds, of what handing over and the edit take; the result and the way into the process come on top."""
    random = np.random.default_rng(1)
    rows: dict[str, Any] = {f"c{number}": random.normal(size=5_000) * 9 for number in range(200)}
    if kind == "doubles or NULL":
        rows = {name: np.where(values < -9, np.nan, values) for name, values in rows.items()}
    if kind in {"whole numbers", "flags"}:
        rows = {name: values.astype(int) % (2 if kind == "flags" else 100) * 1.0 for name, values in rows.items()}
    if kind in {"integers", "truths"}:
        rows = {name: values.astype(int) if kind == "integers" else values > 0 for name, values in rows.items()}
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in rows.items()})
    # Where integers and booleans have no NULL here, another mini-batch of the run has them.
    dtypes = Dtypes(with_null=frozenset(rows))
    spent = []
    for _ in range(4):
        start = time.thread_time()
        handed = hand_over(table, dtypes)
        edit(handed.frame)
        between = time.thread_time()
        assert moved_how(handed) is None
        spent.append((time.thread_time() - between) / (between - start))
    assert min(spent) < 1  # comparing values takes twenty times as long as handing over


def of(frame: pd.DataFrame, name: str, values: Any) -> None:
    frame[name] = values


CHANGES: list[Edit] = [
    len,
    lambda frame: frame.fillna({"x": 0}, inplace=True),
    lambda frame: of(frame, "id", (frame["id"] - frame["id"].mean()) / frame["id"].std()),
    lambda frame: of(frame, "new", range(COUNT)),
    lambda frame: of(frame, "flag", 1 - frame["flag"]),
    lambda frame: of(frame, "id", frame["id"].astype("int64").rank()),
    lambda frame: of(frame, "id", frame["id"].astype("int64").rank(ascending=False)),
    lambda frame: of(frame, "id", sorted(frame["id"])),
    lambda frame: frame.drop(columns=["id", "code"], inplace=True),
    lambda frame: frame.drop(columns=list(frame), inplace=True),
    lambda frame: frame.rename(columns=str.upper, inplace=True),
    lambda frame: frame.set_index("code", inplace=True),
    lambda frame: frame.reset_index(inplace=True),
    lambda frame: setattr(frame, "index", pd.date_range("2026-01-01", periods=COUNT)),
    lambda frame: setattr(frame, "index", np.arange(1, COUNT + 1)),
    lambda frame: setattr(frame, "index", frame["group"].to_numpy()),
    lambda frame: (frame.__setitem__("id", frame["id"] - 999), number(frame, frame["id"].to_numpy())),
    lambda frame: (frame.sort_values("x", inplace=True), frame.sort_index(inplace=True)),
    lambda frame: of(frame, "code", frame["code"].astype("category")),
    lambda frame: put(frame, frame.sample(frac=1, random_state=1).sort_index()),
    lambda frame: frame.insert(0, "id", frame["flag"], allow_duplicates=True),
]


@pytest.mark.parametrize("arrow_dtypes", [False, True])
@pytest.mark.parametrize("edit", CHANGES)
def test_a_frame_may_be_changed_in_place_while_its_rows_stay(edit: Edit, *, arrow_dtypes: bool) -> None:
    assert after(edit, ROWS, arrow_dtypes=arrow_dtypes).scored == COUNT


@pytest.mark.parametrize("edit", CHANGES)
def test_a_frame_may_be_changed_in_place_where_other_mini_batches_have_the_nulls(edit: Edit) -> None:
    rows = ROWS.append_column("truth", [[number % 2 == 0 for number in range(COUNT)]])

    assert after(edit, rows, dtypes=ALL_WITH_NULL).scored == COUNT


@pytest.mark.parametrize("rows", [pa.table({"flag": [0, 1]}), ROWS.select(["flag"]), ROWS.select(["flag", "group"])])
def test_a_flag_may_be_turned_round(rows: pa.Table) -> None:
    def flip(frame: pd.DataFrame) -> None:
        frame["flag"] = 1 - frame["flag"]

    assert after(flip, rows).scored == rows.num_rows


def test_integers_may_become_categories_that_leave_some_out() -> None:
    def categorize(frame: pd.DataFrame) -> None:
        frame["id"] = pd.Categorical([1, 2, 3], categories=[1, 2])

    assert after(categorize, pa.table({"id": [1, 2, 3]})).scored == 3


@pytest.mark.parametrize("values", [[1, 1, 1], [None, None, None], ["a", "a", "a"]])
def test_equal_rows_have_no_order(values: list[Any]) -> None:
    rows = pa.table({"x": pa.array(values, pa.string() if values == ["a"] * 3 else pa.int64())})

    assert after(sort, rows).scored == 3


def test_what_is_joined_by_a_key_of_its_own_may_be_sorted() -> None:
    frame = to_pandas(ROWS, dtypes_of(ROWS))
    frame.sort_values("x", inplace=True)
    spec = ResultSpec(
        pa.schema([("id", pa.int64()), ("prediction", pa.float64())]), (), (), LineageValues("r", None, None)
    )

    made = make_outcome(
        frame[["id"]].assign(prediction=1.0), MiniBatch("0", (), ROWS), spec, AT, HandedOver(frame, ROWS)
    )

    assert made.scored == COUNT


def test_labels_that_are_in_order_again_answer_for_rows_that_were_moved() -> None:
    frame = to_pandas(ROWS, dtypes_of(ROWS))
    frame.sort_values("x", inplace=True)

    assert judge(pd.Series(1.0, index=frame.index).sort_index(), frame=frame).scored == COUNT


def labelled(labels: Any) -> pd.Series[Any]:
    return pd.Series(np.arange(COUNT, dtype=float), index=labels)


OWN = pd.Index(range(COUNT))
IDS = pd.Index(ROWS.column("id").to_pandas(), name="id")


@pytest.mark.parametrize(
    "labels",
    [
        OWN, OWN.astype(float), OWN.astype(str), OWN.astype("category"), IDS, IDS.rename(None), IDS.astype(float),
        IDS.astype(str), IDS.astype(float).astype(str), IDS.astype("category"), IDS.astype(str).astype("category"),
        IDS.astype("int64[pyarrow]"), ROWS.column("code").to_pylist(), pd.to_datetime(ROWS.column("day").to_pylist()),
        pd.MultiIndex.from_frame(ROWS.select(["group", "id"]).to_pandas()),
    ],
)  # fmt: skip
def test_labels_of_the_mini_batch_or_of_a_column_are_accepted_in_order_and_refused_mixed(labels: Any) -> None:
    returned = labelled(labels)

    assert judge(returned).scored == COUNT
    assert judge(returned.to_frame("prediction")).scored == COUNT
    assert judge(NamedColumns({"prediction": returned.to_numpy()}, returned.index)).scored == COUNT
    for mixed in (returned.sample(frac=1, random_state=2), returned.iloc[::-1]):
        with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\].*another order"):
            judge(mixed)


@pytest.mark.parametrize(
    "labels",
    [
        [7, *range(COUNT - 1)], [*range(20), *range(20)], ROWS.column("group").to_pylist(), list("ab" * 20),
        pd.date_range("1999-01-01", periods=COUNT), pd.RangeIndex(5, 5 + COUNT),
        pd.MultiIndex.from_product([range(8), range(5)]),
    ],
)  # fmt: skip
def test_labels_of_nothing_known_are_refused_with_the_cure(labels: Any) -> None:
    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\].*reset_index\(drop=True\)"):
        judge(labelled(labels))
    assert judge(labelled(labels).reset_index(drop=True)).scored == COUNT


def test_labels_that_a_script_gave_its_mini_batch_are_known() -> None:
    frame = to_pandas(ROWS, dtypes_of(ROWS))
    frame.index = pd.date_range("1999-01-01", periods=COUNT)

    assert judge(labelled(frame.index), frame=frame).scored == COUNT


def test_a_column_that_counts_down_is_not_taken_for_the_labels_of_sorted_rows() -> None:
    rows = pa.table({"id": list(range(COUNT))[::-1]})
    returned = labelled(rows.to_pandas().sort_values("id").index)

    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\]"):
        judge(returned, rows)
    assert judge(labelled(pd.Index(range(COUNT))[::-1].rename("id")), rows).scored == COUNT


def test_labels_do_not_matter_where_nothing_is_joined() -> None:
    spec = ResultSpec(pa.schema([("prediction", pa.float64())]), (), (), LineageValues("r", None, None))

    assert make_outcome(labelled(OWN[::-1]), MiniBatch("0", (), ROWS), spec, AT).scored == COUNT


@pytest.mark.parametrize(
    "answer",
    [
        lambda frame: frame["x"],
        lambda frame: frame[["x"]].rename(columns={"x": "prediction"}),
        lambda frame: {"prediction": frame["x"]},
    ],
)
def test_a_models_answer_keeps_the_labels_of_its_rows(answer: Callable[[pd.DataFrame], Any]) -> None:
    frame = to_pandas(ROWS, dtypes_of(ROWS)).fillna({"x": 0.0})

    assert judge(plain_output(answer(frame))).scored == COUNT
    with pytest.raises(OutputContractError, match=r"\[OUTPUT_ORDER\]"):
        judge(plain_output(answer(frame.sort_values("x"))))
