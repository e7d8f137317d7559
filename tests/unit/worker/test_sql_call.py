"""One batch of an SQL function: each row has its own result or error, whatever its neighbours are."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ScoringError
from sparkscore.minibatch import MiniBatch, MiniBatchLimit
from sparkscore.outcome import Failure
from sparkscore.scorers import ScriptSpec
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.signature import parse_ddl
from sparkscore.worker import EngineSpec, LineageValues, ResultSpec
from sparkscore.worker.sql_arguments import Argument
from sparkscore.worker.sql_call import FunctionSpec, call_function, call_with_struct
from tests.support.scorers import Loads, RecordingScorer

AGE, BMI = Argument("age", pa.float64()), Argument("bmi", pa.float64(), default=pa.array([25.0]))


def add(mini_batch: MiniBatch) -> object:
    """Add the columns of each row, or return a number per file, and refuse negative ages."""
    if mini_batch.rows is None:
        found = [float(len(path)) for path in mini_batch.files if "lost" not in path]
        return [value for value in found for _ in range(2 if value == 3 else 1)]
    rows = mini_batch.rows.to_pylist()
    if any((row["age"] or 0) < 0 for row in rows):
        raise ScorerFailedError(Failure(ErrorCode.SCRIPT_RUN, "ValueError", "age is negative"))
    return [None if row["age"] is None else row["age"] + row["bmi"] for row in rows]


def spec(*arguments: Argument, **more: Any) -> FunctionSpec:
    used = arguments or (AGE, BMI)
    carried = () if more.get("is_files") else (used[0].name,)
    result = ResultSpec(parse_ddl("risk double"), carried, (), LineageValues("", "heart", "3"), columns=2)
    engine = EngineSpec("sql/a", ScriptSpec(b"", "score.py"))
    return FunctionSpec("f", used, engine, result, ("risk",), "3", **{"limit": MiniBatchLimit(items=100), **more})


@pytest.fixture
def scorer(loads: Loads) -> RecordingScorer:
    scorer = RecordingScorer(add)
    loads.coming = [scorer]
    return scorer


def sizes(scorer: RecordingScorer) -> list[int]:
    return [mini_batch.item_count for mini_batch in scorer.called]


def risks(found: pa.StructArray) -> list[Any]:
    return [row["risk"] for row in found.to_pylist()]


def test_rows_have_their_results_and_the_version_of_the_model(scorer: RecordingScorer) -> None:
    found = call_function(spec(), [pa.array([1.0, 2.0, None]), pa.array([0.5, 0.5, 0.5])], {})

    assert found.to_pylist()[0] == {"risk": 1.5, "error": None, "model_version": "3"}
    assert risks(found) == [1.5, 2.5, None]
    assert sizes(scorer) == [3]


@pytest.mark.usefixtures("scorer")
def test_a_row_that_fails_costs_its_neighbours_nothing() -> None:
    ages = pa.array([float(number) for number in range(20)][:10] + [-1.0] + [5.0] * 9)

    found = call_function(spec(), [ages], {}).to_pylist()

    assert [row["error"] is not None for row in found] == [number == 10 for number in range(20)]
    assert "ValueError: age is negative" in found[10]["error"]
    assert [row["risk"] for row in found] == [None if age < 0 else age + 25.0 for age in ages.to_pylist()]


def test_a_value_that_cannot_be_taken_fails_its_row_before_the_scorer_sees_it(scorer: RecordingScorer) -> None:
    found = call_function(spec(), [pa.array([1, 2**53 + 1, 3])], {}).to_pylist()

    assert [row["risk"] for row in found] == [26.0, None, 28.0]
    assert found[1]["error"].startswith("[SQL_ARGUMENT_VALUE] argument 'age': got a bigint that double cannot hold")
    assert sizes(scorer)[0] == 2


def test_the_scorer_is_not_loaded_for_no_rows_or_only_wrong_ones(loads: Loads) -> None:
    loads.coming = []

    assert len(call_function(spec(), [pa.array([], pa.float64())], {})) == 0
    wrong = call_function(spec(), [pa.array([2**53 + 1])], {}).to_pylist()
    assert [row["risk"] for row in wrong] == [None]


def test_mini_batches_have_the_deployments_size(scorer: RecordingScorer) -> None:
    call_function(spec(limit=MiniBatchLimit(items=4)), [pa.array([1.0] * 10)], {})

    assert sizes(scorer)[-3:] == [4, 4, 2]


@pytest.mark.usefixtures("scorer")
def test_an_error_can_stop_the_query_and_then_names_no_row() -> None:
    with pytest.raises(ScoringError, match=r"1 of 3 rows of a batch.*ValueError: age is negative") as stopped:
        call_function(spec(raises=True), [pa.array([1.0, -7.0, 3.0])], {})

    assert stopped.value.code == ErrorCode.SQL_ROW
    assert "-7" not in str(stopped.value)


def test_a_model_that_cannot_be_loaded_stops_the_query(loads: Loads) -> None:
    loads.coming = [ScorerFailedError(Failure(ErrorCode.SCRIPT_INIT, "OSError", "no weights"))]

    with pytest.raises(ScoringError, match=r"function 'f': its model cannot be loaded: got OSError: no weights"):
        call_function(spec(), [pa.array([1.0])], {})


@pytest.mark.usefixtures("scorer")
def test_fields_of_a_struct_are_found_by_name_in_any_order_and_case() -> None:
    fields = {"key": pa.array([9, 9]), "BMI": pa.array([0.5, 0.25]), "age": pa.array([1, 2])}
    row = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))

    assert risks(call_with_struct(spec(), row)) == [1.5, 2.25]


@pytest.mark.usefixtures("scorer")
def test_a_null_struct_is_a_row_of_nulls() -> None:
    row = pa.array([{"age": 1.0}, None], pa.struct([("age", pa.float64())]))

    assert risks(call_with_struct(spec(), row)) == [26.0, None]


def test_a_struct_without_an_argument_or_with_two_is_refused(loads: Loads) -> None:
    loads.coming = []
    two = pa.StructArray.from_arrays([pa.array([1.0]), pa.array([1.0])], names=["age", "AGE"])
    none = pa.array([{"x": 1}])

    with pytest.raises(ConfigError, match="2 fields with the name of argument 'age'"):
        call_with_struct(spec(), two)
    with pytest.raises(ConfigError, match="expected the arguments age, bmi"):
        call_with_struct(spec(), none)


@pytest.mark.usefixtures("scorer")
def test_defaults_alone_are_enough_for_a_struct() -> None:
    both = spec(Argument("age", pa.float64(), default=pa.array([1.0])), BMI)

    assert risks(call_with_struct(both, pa.array([{"x": 1}, {"x": 2}]))) == [26.0, 26.0]


FILE = Argument("path", pa.string(), nullable=False)


@pytest.mark.usefixtures("scorer")
def test_files_are_scored_one_by_one_by_their_paths() -> None:
    paths = pa.array(["file:/a%20b", None, "/lost", "/cc", "/ddd"])

    found = call_function(spec(FILE, is_files=True), [paths], {}).to_pylist()

    assert [row["risk"] for row in found] == [4.0, None, None, None, 4.0]
    assert found[1]["error"].startswith("[INPUT_NULL]")
    assert "returned 0 elements" in found[2]["error"]
    assert "returned 2 elements for a file, expected one" in found[3]["error"]


def test_a_default_of_null_fails_each_row_if_the_model_takes_no_null(loads: Loads) -> None:
    loads.coming = []
    bmi = Argument("bmi", pa.float64(), nullable=False, default=pa.nulls(1, pa.float64()))

    found = call_function(spec(AGE, bmi), [pa.array([1.0, 2.0])], {}).to_pylist()

    assert {row["error"] for row in found} == {
        "[INPUT_NULL] argument 'bmi': got NULL, expected a double that is not NULL"
    }
