"""The table function: any number of rows, mini-batches across record batches, and a row for each failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from sparkscore.worker.sql_call import FunctionSpec
from sparkscore.worker.sql_table import TableRows
from tests.support.scorers import Loads, RecordingScorer

AGE, BMI = Argument("age", pa.float64()), Argument("bmi", pa.float64(), default=pa.array([25.0]))


def spread(mini_batch: MiniBatch) -> object:
    """Return two rows for an age of 2, none for an age of 0, and one for another age; or the number of files."""
    if mini_batch.rows is None:
        return [float(len(mini_batch.files))] * 2
    ages = mini_batch.rows["age"].to_pylist()
    if any(age < 0 for age in ages):
        raise ScorerFailedError(Failure(ErrorCode.SCRIPT_RUN, "ValueError", "age is negative"))
    return [age for age in ages for _ in range({2.0: 2, 0.0: 0}.get(age, 1))]


def spec(**more: Any) -> FunctionSpec:
    arguments = more.pop("arguments", (AGE, BMI))
    result = ResultSpec(parse_ddl("risk double"), ("age",), (), LineageValues("", "heart", "3"), columns=2)
    engine = EngineSpec("sql/t", ScriptSpec(b"", "score.py"))
    return FunctionSpec("f", arguments, engine, result, ("risk",), "3", **{"limit": MiniBatchLimit(items=4), **more})


@pytest.fixture
def scorer(loads: Loads) -> RecordingScorer:
    scorer = RecordingScorer(spread)
    loads.coming = [scorer]
    return scorer


def sizes(scorer: RecordingScorer) -> list[int]:
    return [mini_batch.item_count for mini_batch in scorer.called]


def scored(made: FunctionSpec, batches: Sequence[Sequence[float | int]]) -> list[dict[str, Any]]:
    rows = TableRows(made)

    def tables() -> Iterator[pa.Table]:
        for ages in batches:
            yield from rows.add(pa.record_batch({"other": ["x"] * len(ages), "AGE": pa.array(ages)}))
        yield from rows.finish()

    found = list(tables())
    assert all(table.schema.equals(pa.schema(list(made.returns))) for table in found)
    return [row for table in found for row in table.to_pylist()]


def test_a_script_may_return_more_or_fewer_rows_and_mini_batches_join_record_batches(scorer: RecordingScorer) -> None:
    found = scored(spec(), [[1.0, 2.0, 0.0], [3.0, 0.0, 4.0], [], [5.0]])

    assert [row["risk"] for row in found] == [1.0, 2.0, 2.0, 3.0, 4.0, 5.0]
    assert {(row["error"], row["model_version"]) for row in found} == {(None, "3")}
    assert sizes(scorer) == [4, 3]


@pytest.mark.usefixtures("scorer")
def test_a_mini_batch_that_fails_is_one_row_with_an_error_and_never_part_of_a_result() -> None:
    counts: list[tuple[str, int, int]] = []
    counted = spec(count=lambda *each: counts.append(each))

    found = scored(counted, [[1, 3, 2**53 + 1], [5, 5, 5, 5, 5, -1], [6, 7]])

    assert [row["risk"] for row in found] == [None, 5.0, 5.0, 5.0, 5.0, None]
    wrong, raised = [row["error"] for row in found if row["error"] is not None]
    assert wrong.startswith("[SQL_ARGUMENT_VALUE] argument 'age'")
    assert wrong.endswith("(rows: 4)")
    assert raised == "ValueError: age is negative (rows: 3)"
    assert counts == [("f", 4, 4), ("f", 4, 0), ("f", 3, 3)]


@pytest.mark.usefixtures("scorer")
def test_an_error_can_stop_the_query() -> None:
    with pytest.raises(ScoringError, match=r"a mini-batch of 2 rows cannot be scored: got ValueError: age is negative"):
        scored(spec(raises=True), [[1.0, -1.0]])


def test_a_table_without_an_argument_is_refused_before_a_model_is_loaded(loads: Loads) -> None:
    loads.coming = []
    rows = TableRows(spec())

    with pytest.raises(
        ConfigError, match=r"function 'f_table': got a table without 'age', expected the columns age, bmi"
    ):
        list(rows.add(pa.record_batch({"bmi": [1.0]})))


def test_a_file_may_have_several_rows(scorer: RecordingScorer) -> None:
    path = Argument("path", pa.string(), nullable=False)
    rows = TableRows(spec(arguments=(path,), is_files=True))

    found = [row for table in rows.add(pa.record_batch({"path": ["/a", "/b"]})) for row in table.to_pylist()]

    assert [row["risk"] for row in found] == [1.0] * 4
    assert sizes(scorer) == [1, 1]
    assert list(rows.finish()) == []
