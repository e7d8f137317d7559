from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sparkscore.sql import unity_handler
from sparkscore.sql.unity_handler import Scorer

ARGUMENTS = [("n", "int64", False), ("x", "float64", True)]
Predict = Callable[[pd.DataFrame], Sequence[Any]]


def score(predict: Predict, *batches: Any, raises: bool = False, **changes: Any) -> list[Any]:
    given = {"arguments": ARGUMENTS, "outputs": [("risk", "float64")], "version": "3", **changes}
    scorer = Scorer(load=lambda: predict, raises=raises, **given)
    found = [frame.astype(object).where(frame.notna(), None) for frame in scorer.score(iter(batches))]
    return [frame.to_dict("records") for frame in found]


def total(frame: pd.DataFrame) -> list[Any]:
    if (frame["n"] < 0).any():
        raise ValueError("n is negative")
    return [frame["n"] + frame["x"].fillna(0.5)]


def row(risk: float | None, error: str | None = None) -> dict[str, Any]:
    return {"risk": risk, "error": error, "model_version": "3"}


def test_rows_that_fail_are_found_and_the_others_have_their_values() -> None:
    n, x = pd.Series([1, -1, 3, 4, -5], index=[7, 7, 7, 7, 7]), pd.Series([0.0, 1.0, 2.0, None, 3.0])

    assert score(total, (n, x)) == [
        [row(1.0), row(None, "ValueError: n is negative"), row(5.0), row(4.5), row(None, "ValueError: n is negative")]
    ]


def test_integers_beside_a_null_are_refused_where_pandas_may_have_rounded_them() -> None:
    n = pd.Series([1.0, None, 2.0**53, -(2.0**53), 2.0**53 - 1])

    found = score(total, (n, pd.Series([0.0] * 5)))[0]

    unsure = "argument 'n': got an integer from 2^53 on beside a NULL, which pandas may have rounded"
    assert found == [
        *(row(1.0), row(None, "argument 'n': got NULL"), row(None, unsure), row(None, unsure), row(2.0**53 - 1)),
    ]


def test_integers_without_a_null_are_exact() -> None:
    def exact(frame: pd.DataFrame) -> list[Any]:
        return [frame["n"]]

    assert score(exact, (pd.Series([2**62 + 1]), pd.Series([0.0])), outputs=[("risk", "Int64")])[0] == [row(2**62 + 1)]


def test_the_model_is_loaded_once_and_only_for_rows() -> None:
    loads = []

    def load() -> Predict:
        loads.append(1)
        return total

    scorer = Scorer(ARGUMENTS, [("risk", "float64")], None, load, raises=False)
    empty, one = (pd.Series([], dtype="int64"), pd.Series([], dtype="float64")), (pd.Series([1]), pd.Series([1.0]))

    assert [len(frame) for frame in scorer.score(iter([empty, one, one]))] == [0, 1, 1]
    assert loads == [1]


def test_the_only_argument_may_come_without_a_tuple() -> None:
    assert score(lambda frame: [frame["n"] * 1.0], pd.Series([2]), arguments=ARGUMENTS[:1]) == [[row(2.0)]]


def test_integers_and_booleans_that_may_be_null_have_one_dtype_in_all_batches() -> None:
    seen: list[Any] = []

    def look(frame: pd.DataFrame) -> list[Any]:
        seen.append([str(dtype) for dtype in frame.dtypes])
        return [frame["n"]]

    arguments = [("n", "int32", True), ("b", "bool", True), ("c", "bool", False)]
    columns = pd.Series([1, 2]), pd.Series([True, False]), pd.Series([True, False])
    score(look, columns, arguments=arguments)
    score(look, (pd.Series([1, None]), pd.Series([True, None]), columns[2]), arguments=arguments)

    assert seen == [["float64", "object", "bool"]] * 2


@pytest.mark.parametrize(
    ("values", "dtype", "told"),
    [
        ([1.5], "Int64", "cannot safely cast"),
        ([0.1], "float32", "no float"),
        ([[1.0, 2.0]], "float64", "shape"),
        ([1.0, 2.0], "float64", "shape"),
    ],
)
def test_a_prediction_that_would_change_is_an_error(values: Any, dtype: str, told: str) -> None:
    (found,) = score(lambda _: [np.array(values)], (pd.Series([1]), pd.Series([1.0])), outputs=[("risk", dtype)])[0]

    assert found["risk"] is None
    assert told in found["error"]


def test_a_wrong_number_of_outputs_is_an_error() -> None:
    (found,) = score(lambda _: [], (pd.Series([1]), pd.Series([1.0])))[0]

    assert "zip" in found["error"]


def test_a_row_that_fails_may_stop_the_query() -> None:
    with pytest.raises(ValueError, match="n is negative"):
        score(total, (pd.Series([1, -1]), pd.Series([0.0, 0.0])), raises=True)


def test_the_body_has_no_two_dollar_signs_and_imports_no_sparkscore() -> None:
    text = Path(unity_handler.__file__).read_text(encoding="utf-8")

    assert "$" not in text
    assert "import sparkscore" not in text
    assert "from sparkscore" not in text
