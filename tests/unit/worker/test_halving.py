"""Scorers that do not give an element for each row, and those that do and fail for other reasons."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome, describe_failure, failed_outcome
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.scorers.frames import HandedOver
from sparkscore.signature import parse_ddl
from sparkscore.tolerance import Tolerance
from sparkscore.worker import FailureRules, LineageValues, ResultSpec
from sparkscore.worker.calls import Calls
from sparkscore.worker.engine import EngineSpec, LocalEngine
from sparkscore.worker.loaded import LoadedEngine

AT = datetime(2026, 1, 1, tzinfo=UTC)
TOLERANT = FailureRules(tries=1, tolerance=Tolerance(-1))
Run = Callable[[pd.DataFrame], Any]


class Scorer:
    """A scorer around a function of a DataFrame, as a script has it."""

    def __init__(self, run: Run, given: int = 0) -> None:
        self._run = run
        self._given = given
        self.handed_over: HandedOver | None = None
        self.sizes: list[int] = []

    def load(self) -> None: ...

    def score(self, mini_batch: MiniBatch) -> object:
        frame = pd.DataFrame({"files": mini_batch.files}) if mini_batch.rows is None else mini_batch.rows.to_pandas()
        self.sizes.append(len(frame))
        if self._given and mini_batch.rows is not None:  # a model gets the columns that it names
            rows = mini_batch.rows.select(range(self._given))
            frame = rows.to_pandas()
            self.handed_over = HandedOver(frame, rows)
        try:
            return self._run(frame)
        except Exception as error:  # noqa: BLE001 - as a script's own errors
            raise ScorerFailedError(describe_failure(error)) from None

    def close(self) -> None: ...


def score(
    run: Run,
    rows: int,
    columns: int = 1,
    ddl: str = "y double",
    rules: FailureRules = TOLERANT,
    given: int = 0,
    **spec: Any,
) -> tuple[Outcome, list[int], Calls]:
    scorer = Scorer(run, given)
    engine = LocalEngine(EngineSpec("k", scorer=None))  # type: ignore[arg-type]  # the scorer is put in its place
    engine._scorer = scorer
    table = pa.table({name: pa.array(range(rows), pa.float64()) for name in "xabcdefgh"[:columns]})
    result = ResultSpec(
        parse_ddl(ddl), tuple(table.column_names), (), LineageValues("r", None, None), columns=columns, **spec
    )
    calls = Calls(LoadedEngine("k", "w", engine), result, rules, AT)
    outcome = calls.score(MiniBatch("0-0", (), table))
    assert sum(call.scored for call in calls.reports) == outcome.scored
    assert len(outcome.failures) == outcome.failed
    return outcome, scorer.sizes, calls


def names_as_texts(frame: pd.DataFrame) -> list[float]:
    return [float(len(str(name))) for name in frame]


def put_beside(frame: pd.DataFrame) -> Any:
    frame["y"] = names_as_texts(frame)  # pandas raises ValueError where the lengths differ
    return frame["y"].tolist()


BROKEN: dict[str, tuple[Run, int]] = {
    "one sum": (lambda frame: [float(frame["x"].sum())], 1),
    "one scalar in an array": (lambda frame: frame["x"].to_numpy().sum(keepdims=True), 1),
    "an element for each column": (names_as_texts, 3),
    "an element for each of two columns": (names_as_texts, 2),
    "five, whatever comes": (lambda _: [1.0] * 5, 1),
    "padded to a power of two": (lambda frame: [1.0] * (2 ** math.ceil(math.log2(len(frame) + 1))), 1),
    "without duplicates": (lambda frame: (frame["x"] // 1000).drop_duplicates().tolist(), 1),
    "one less each time": (lambda frame: frame["x"].tolist()[:-1] if len(frame) > 1 else frame["x"].tolist(), 1),
    "one sum, in a frame": (lambda frame: pd.DataFrame({"y": [frame["x"].sum()]}), 1),
    "the script itself finds the lengths to differ": (put_beside, 1),
    "the script itself finds them to differ, two columns": (put_beside, 2),
    "works with one row alone": (lambda frame: [frame["x"].item()], 1),
    "nothing, where there is more than one row": (lambda frame: frame["x"].tolist() if len(frame) == 1 else [], 1),
    "raises always": (lambda frame: frame["missing"].tolist(), 1),
}  # fmt: skip


@pytest.mark.parametrize("rows", [3, 4, 7, 8, 9, 16, 3000])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_contract_fails_the_mini_batch_as_a_whole_with_few_calls(name: str, rows: int) -> None:
    run, columns = BROKEN[name]
    if rows == columns or (name.startswith("five") and rows == 5):
        pytest.skip("the numbers are the same by chance")

    outcome, sizes, _ = score(run, rows, columns)

    assert (outcome.scored, outcome.failed, outcome.table) == (0, rows, None)
    assert outcome.failure is not None
    assert len(sizes) <= 23
    if rows > 8:
        assert outcome.is_contract_broken or outcome.elements == 0
    if outcome.is_contract_broken:
        assert outcome.failure.message.startswith("broken contract (")
        assert {item.failure for item in outcome.failures} == {outcome.failure}


@pytest.mark.parametrize("rules", [FailureRules(), FailureRules(tries=3), FailureRules(tolerance=Tolerance(5000))])
def test_a_broken_contract_is_found_whatever_is_tolerated(rules: FailureRules) -> None:
    for name, (run, columns) in BROKEN.items():
        outcome, _, _ = score(run, 300, columns, rules=rules)
        assert (outcome.scored, outcome.failed) == (0, 300), name


def test_a_sum_that_fits_its_type_for_single_rows_only_is_no_row_of_its_own() -> None:
    outcome, _, _ = score(lambda frame: [int(frame["x"].sum()) + 100], 8, ddl="y tinyint")

    assert (outcome.scored, outcome.is_contract_broken) == (0, True)


def test_one_bad_row_does_not_hide_that_the_rest_is_one_sum() -> None:
    def run(frame: pd.DataFrame) -> list[float]:
        if (frame["x"] == 5).any():
            raise ValueError("a bad row")
        return [float(frame["x"].sum())]

    outcome, _, _ = score(run, 64)

    assert (outcome.scored, outcome.failed, outcome.is_contract_broken) == (0, 64, True)


def test_as_many_columns_as_rows_are_looked_at_once_in_a_process() -> None:
    outcome, sizes, _ = score(names_as_texts, 4, columns=4)
    clean, twice, calls = score(lambda frame: frame["x"].tolist(), 4, columns=4)
    again = calls.score(MiniBatch("0-1", (), pa.table({name: [1.0] * 4 for name in "xabc"})))
    _, proven, _ = score(lambda frame: frame["x"].tolist(), 4, columns=4, is_proven=True)

    assert (outcome.scored, outcome.is_contract_broken, sizes) == (0, True, [4, 2])
    assert (clean.scored, again.scored, twice, proven) == (4, 4, [4, 2, 4], [4])


@pytest.mark.parametrize(("rows", "given"), [(2, 2), (3, 3), (4, 4), (7, 7)])
def test_a_value_for_each_column_that_a_model_takes_is_none_for_each_row(rows: int, given: int) -> None:
    outcome, sizes, _ = score(names_as_texts, rows, columns=9, given=given)
    clean, called, _ = score(lambda frame: frame["x"].tolist(), rows, columns=9, given=given)

    assert (outcome.scored, outcome.is_contract_broken, len(sizes)) == (0, True, 2)
    assert (clean.scored, clean.failure, len(called)) == (rows, None, 2)


# ------------------------------------------------------------------------------------------------------------- allowed


@pytest.mark.parametrize(("rows", "every"), [(1000, 100), (300, 10), (300, 3)])
def test_many_bad_rows_stand_alone_also_where_each_eighth_has_some(rows: int, every: int) -> None:

    def run(frame: pd.DataFrame) -> list[float]:
        if (frame["x"] % every == every - 1).any():
            raise ValueError("a bad row")
        return frame["x"].tolist()

    outcome, sizes, _ = score(run, rows)

    assert outcome.failed == rows // every
    assert outcome.table is not None
    assert outcome.table.column("y").to_pylist() == [x for x in range(rows) if x % every != every - 1]
    assert len(sizes) <= 1 + 2 * outcome.failed * math.ceil(math.log2(rows))


@settings(max_examples=30)
@given(st.integers(1, 200), st.sets(st.integers(0, 199)))
def test_rows_that_a_script_drops_are_found_by_their_count(rows: int, dropped: set[int]) -> None:
    dropped = {row for row in dropped if row < rows}

    outcome, _, _ = score(lambda frame: frame["x"][~frame["x"].isin(dropped)].tolist(), rows)

    scored = [] if outcome.table is None else outcome.table.column("y").to_pylist()
    if outcome.is_contract_broken or outcome.elements == 0:
        assert not scored
        assert len(dropped) >= min(rows, 8)
    else:
        assert scored == [row for row in range(rows) if row not in dropped]
        assert [item.position for item in outcome.failures] == sorted(dropped)


def test_values_of_a_wrong_type_and_null_cost_their_rows() -> None:
    for ddl, bad in (("y double", "text"), ("y double NOT NULL", None)):
        outcome, _, _ = score(partial(lambda bad, frame: [bad if x == 7 else x for x in frame["x"]], bad), 100, ddl=ddl)
        assert (outcome.failed, outcome.scored_in_parts, outcome.is_contract_broken) == (1, 99, False)


def test_every_row_of_a_small_mini_batch_has_its_own_reason() -> None:
    def run(frame: pd.DataFrame) -> list[float]:
        raise ValueError(f"row {frame['x'].iloc[0]:g}")

    outcome, _, _ = score(run, 4)

    assert [item.failure.message for item in outcome.failures] == ["row 0", "row 1", "row 2", "row 3"]


def test_two_rows_of_which_one_is_bad_cost_one() -> None:
    outcome, _, _ = score(lambda frame: [1 / x for x in frame["x"]], 2)

    assert (outcome.scored, [item.position for item in outcome.failures]) == (1, [0])


def test_what_needs_small_calls_is_scored_in_parts_and_says_so() -> None:
    def run(frame: pd.DataFrame) -> list[float]:
        if len(frame) > 10:
            raise MemoryError
        return frame["x"].tolist()

    outcome, _, _ = score(run, 100)

    assert (outcome.scored, outcome.scored_in_parts, outcome.failure) == (100, 100, None)


def test_rows_in_another_order_are_never_halved() -> None:
    outcome, sizes, _ = score(lambda frame: frame["x"].sample(frac=1, random_state=1).rename("y"), 100)

    assert (outcome.scored, outcome.is_contract_broken, sizes) == (0, True, [100])
    assert outcome.failure is not None
    assert outcome.failure.code == "OUTPUT_ORDER"


def test_files_and_frames_with_a_key_of_their_own_have_any_number_of_elements() -> None:
    def frame_of(count: int) -> Run:
        return lambda _: pd.DataFrame({"y": [1.0] * count})

    for run, elements in ((frame_of(9), 9), (frame_of(2), 2), (frame_of(0), 0)):
        scorer = Scorer(run)
        engine = LocalEngine(EngineSpec("k", scorer=None))  # type: ignore[arg-type]  # see above
        engine._scorer = scorer
        for batch in (MiniBatch("0", tuple("abcd")), MiniBatch("0", (), pa.table({"x": [1.0] * 4}))):
            result = ResultSpec(parse_ddl("y double"), (), (), LineageValues("r", None, None), columns=4)
            outcome = Calls(LoadedEngine("k", "w", engine), result, TOLERANT, AT).score(batch)
            assert (outcome.scored, outcome.is_contract_broken) == (min(4, elements), False)
        assert scorer.sizes == [4, 4]


def test_a_model_that_cannot_be_loaded_any_more_is_no_broken_contract() -> None:
    failure = Failure(ErrorCode.SCRIPT_INIT, "OSError", "x")

    class Gone:
        is_loaded = False

        def score(self, mini_batch: MiniBatch, *_: object) -> Outcome:
            return failed_outcome(mini_batch.item_count, failure)

    loaded = LoadedEngine("k", "w", Gone(), failure)  # type: ignore[arg-type]  # no more than is asked
    result = ResultSpec(parse_ddl("y double"), ("x",), (), LineageValues("r", None, None))
    outcome = Calls(loaded, result, TOLERANT, AT).score(MiniBatch("0", (), pa.table({"x": [1.0] * 40})))

    assert (outcome.failed, outcome.is_contract_broken, outcome.failure) == (40, False, failure)


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_a_list_of_arrays_that_a_script_returns_is_an_array_for_each_row(rows: int) -> None:
    outcome, sizes, _ = score(
        lambda frame: [np.array([x, -x, 0.5]) for x in frame["x"]], rows, columns=3, ddl="y array<double>"
    )

    assert outcome.table is not None
    assert outcome.table.column("y").to_pylist() == [[float(row), -float(row), 0.5] for row in range(rows)]
    assert sizes == [rows] or (rows == 3 and sizes == [3, 1]), "as many as columns: one row more is tried"
