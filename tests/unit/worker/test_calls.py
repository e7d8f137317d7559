from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, ItemFailure, Outcome, failed_outcome
from sparkscore.signature import parse_ddl
from sparkscore.tolerance import Tolerance
from sparkscore.worker import FailureRules, LineageValues, ResultSpec
from sparkscore.worker.calls import Calls
from sparkscore.worker.engine import Loaded, Probed
from sparkscore.worker.loaded import LoadedEngine
from sparkscore.worker.quarantine import QUARANTINE_SCHEMA, quarantined_rows

AT = datetime(2026, 1, 1, tzinfo=UTC)
LINEAGE = LineageValues("run-1", "heart", "3")
SPEC = ResultSpec(parse_ddl("x bigint"), (), (), LINEAGE)
RAISED = Failure(
    ErrorCode.SCRIPT_RUN, "ValueError", "bad row, password=hunter2", "score.py, line 3", "Traceback: token=abc"
)
TIMEOUT = Failure(ErrorCode.MINI_BATCH_TIMEOUT, "MiniBatchTimeoutError", "too long")
TOLERANT = FailureRules(tries=1, tolerance=Tolerance(-1))


@dataclass
class FakeEngine:
    """An engine that fails where the test says, and remembers the values that it was given."""

    fail: Callable[[list[int], int], Failure | None]
    load_failures: list[Failure | None] = field(default_factory=list)
    asked: list[list[int]] = field(default_factory=list)
    is_loaded: bool = False

    def load(self) -> Loaded:
        failure = self.load_failures.pop(0) if self.load_failures else None
        self.is_loaded = failure is None
        return Loaded(failure)

    def score(self, mini_batch: MiniBatch, _spec: ResultSpec, _scored_at: datetime) -> Outcome:
        assert mini_batch.rows is not None
        values = mini_batch.rows.column("x").to_pylist()
        self.asked.append(values)
        failure = self.fail(values, len(self.asked))
        if failure is None:
            return Outcome(len(values), len(values), mini_batch.rows)
        self.is_loaded = failure.code not in {"MINI_BATCH_TIMEOUT", "PROCESS_ENDED"}
        return failed_outcome(len(values), failure)

    def probe(self, mini_batch: MiniBatch, declared: pa.Schema | None) -> Probed:
        raise NotImplementedError

    def close(self) -> None: ...


def poison(*bad: int) -> Callable[[list[int], int], Failure | None]:
    return lambda values, _: RAISED if set(bad) & set(values) else None


def score(engine: FakeEngine, items: int, rules: FailureRules = TOLERANT) -> tuple[Outcome, Calls]:
    calls = Calls(LoadedEngine("k", "w", engine), SPEC, rules, AT)
    return calls.score(MiniBatch("0-0", ("/in/a",), pa.table({"x": range(items)}))), calls


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=6))
def test_all_but_the_bad_rows_are_scored_in_order_within_the_bound_of_calls(items: int, bad: set[int]) -> None:
    bad = {value for value in bad if value < items}
    engine = FakeEngine(poison(*bad))

    outcome, calls = score(engine, items)

    scored = [] if outcome.table is None else outcome.table.column("x").to_pylist()
    assert scored == [value for value in range(items) if value not in bad]
    assert [item.position for item in outcome.failures] == sorted(bad)
    assert (outcome.items, outcome.scored, outcome.failed) == (items, items - len(bad), len(bad))
    extra = 2 * len(bad) * math.ceil(math.log2(items)) if items > 1 else 0
    # One more where no two items have been scored together.
    assert len(calls.reports) == len(engine.asked) <= 1 + extra + bool(bad)
    assert sum(call.scored for call in calls.reports) == outcome.scored
    assert (outcome.failure is None) is not bool(bad)


def test_a_mini_batch_is_tried_again_as_a_whole_before_it_is_halved() -> None:
    engine = FakeEngine(lambda _, call: RAISED if call < 3 else None)

    outcome, calls = score(engine, 4, FailureRules(tries=3, tolerance=Tolerance(0)))

    assert engine.asked == [[0, 1, 2, 3]] * 3
    assert (outcome.scored, outcome.failure, calls.tries) == (4, None, 3)
    assert [(call.items, call.scored, call.error_code) for call in calls.reports] == [
        (4, 0, "SCRIPT_RUN"), (4, 0, "SCRIPT_RUN"), (4, 4, ""),
    ]  # fmt: skip


def test_what_fails_whole_and_not_in_halves_is_tried_again_and_stands_in_parts() -> None:
    engine = FakeEngine(lambda values, _: RAISED if len(values) == 4 else None)

    outcome, calls = score(engine, 4)

    assert (outcome.scored, outcome.failure, outcome.failures) == (4, None, ())
    assert (outcome.scored_in_parts, outcome.is_contract_broken) == (4, False)
    assert engine.asked == [[0, 1, 2, 3], [0, 1], [2, 3], [0, 1, 2, 3]]
    assert [call.scored for call in calls.reports] == [0, 2, 2, 0]


def test_a_fault_that_passes_leaves_the_values_of_the_whole() -> None:
    engine = FakeEngine(lambda _, call: RAISED if call == 1 else None)

    outcome, calls = score(engine, 4)

    assert (outcome.scored, outcome.failure, outcome.scored_in_parts) == (4, None, 0)
    assert engine.asked == [[0, 1, 2, 3], [0, 1], [2, 3], [0, 1, 2, 3]]
    assert [call.scored for call in calls.reports] == [0, 0, 0, 4]


def test_a_clean_mini_batch_is_called_once() -> None:
    outcome, calls = score(FakeEngine(poison()), 4, FailureRules(tries=5))

    assert (outcome.scored, len(calls.reports), calls.tries) == (4, 1, 1)


@pytest.mark.parametrize("code", ["MINI_BATCH_TIMEOUT", "PROCESS_ENDED"])
def test_what_ends_the_process_is_tried_again_with_a_new_one_and_never_halved(code: str) -> None:
    failure = Failure(ErrorCode(code), "ScoringError", "gone")
    engine = FakeEngine(lambda *_: failure)
    loaded = LoadedEngine("k", "w", engine)
    calls = Calls(loaded, SPEC, FailureRules(tries=2, tolerance=Tolerance(-1)), AT)

    outcome = calls.score(MiniBatch("0-0", (), pa.table({"x": range(8)})))

    assert engine.asked == [list(range(8))] * 2
    assert outcome.failures == tuple(ItemFailure(position, failure) for position in range(8))
    assert loaded.loads == 2


def test_a_half_that_ends_the_process_stays_whole_and_the_rest_goes_on() -> None:
    engine = FakeEngine(lambda values, _: RAISED if len(values) == 8 else TIMEOUT if values[0] == 0 else None)

    outcome, _ = score(engine, 8)

    assert engine.asked == [list(range(8)), [0, 1, 2, 3], [4, 5, 6, 7]]
    assert [item.position for item in outcome.failures] == [0, 1, 2, 3]
    assert {item.failure.code for item in outcome.failures} == {"MINI_BATCH_TIMEOUT"}


def test_no_call_is_made_that_cannot_save_the_run() -> None:
    engine = FakeEngine(poison(0, 7))

    outcome, _ = score(engine, 8, FailureRules(tolerance=Tolerance(0)))

    # The first bad row is found, and then no more; what fails in every half comes first.
    assert engine.asked == [list(range(8)), [0, 1, 2, 3], [4, 5, 6, 7], [0, 1], [2, 3], [4, 5], [6, 7], [0]]
    assert (outcome.scored, outcome.failed) == (4, 4)


@pytest.mark.parametrize("when", [0, 1])
def test_a_model_that_does_not_load_fails_the_mini_batch_without_more_calls(when: int) -> None:
    failures = [None, Failure(ErrorCode.SCRIPT_INIT, "OSError", "x")][1 - when :]
    engine = FakeEngine(lambda *_: TIMEOUT, failures)

    outcome, calls = score(engine, 4, FailureRules(tries=9, tolerance=Tolerance(-1)))

    assert len(engine.asked) == when
    assert (outcome.failed, len(calls.reports)) == (4, when)
    assert outcome.failure is not None
    assert outcome.failure.code == "SCRIPT_INIT"


@pytest.mark.parametrize(
    ("tolerance", "items", "mini_batches", "is_passed"),
    [
        (Tolerance(0), 1, 1, True),
        (Tolerance(3), 3, 9, False),
        (Tolerance(3), 4, 1, True),
        (Tolerance(-1), 10**9, 10**6, False),
        (Tolerance(-1, 2), 9, 2, False),
        (Tolerance(-1, 2), 3, 3, True),
        (Tolerance(0, 0), 0, 0, False),
    ],
)
def test_the_bound_of_a_task(tolerance: Tolerance, items: int, mini_batches: int, *, is_passed: bool) -> None:
    assert tolerance.is_passed(items, mini_batches) is is_passed


# ----------------------------------------------------------------------------------------------------- quarantine


def quarantine(mini_batch: MiniBatch, outcome: Outcome) -> list[dict[str, Any]]:
    table = quarantined_rows(mini_batch, outcome, LINEAGE, 2, AT)
    assert table is not None
    assert table.schema == QUARANTINE_SCHEMA
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_a_failed_row_is_kept_with_every_digit_and_the_reason_without_secrets() -> None:
    rows = pa.table(
        {
            "id": [2**60 + 1, None],
            "amount": pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)),
            "text": ["é", None],
            "at": pa.array([AT, None], pa.timestamp("us", "UTC")),
            "raw": [b"\x00\xff", None],
            "values": [[1.5, None], None],
        }
    )
    outcome = Outcome(2, 1, failures=(ItemFailure(0, RAISED),), failure=RAISED)

    (row,) = quarantine(MiniBatch("3-1", ("file:///in/a%20b.csv",), rows), outcome)

    assert json.loads(row["row"]) == {
        "id": 2**60 + 1,
        "amount": "1.50",
        "text": "é",
        "at": "2026-01-01T00:00:00+00:00",
        "raw": "AP8=",
        "values": [1.5, None],
    }
    assert (row["run_id"], row["model_name"], row["model_version"]) == ("run-1", "heart", "3")
    assert (row["mini_batch"], row["position"], row["source_file"], row["tries"]) == ("3-1", 0, "/in/a b.csv", 2)
    assert (row["error_code"], row["error_class"], row["place"]) == ("SCRIPT_RUN", "ValueError", "score.py, line 3")
    assert "hunter2" not in str(row)
    assert "abc" not in row["traceback"]


def test_a_failed_file_is_named() -> None:
    outcome = Outcome(2, 1, failures=(ItemFailure(1, RAISED),), failure=RAISED)

    (row,) = quarantine(MiniBatch("0", ("/in/a.png", "/in/b.png")), outcome)

    assert (row["source_file"], row["position"], row["row"]) == ("/in/b.png", 1, None)


def test_files_that_failed_without_a_name_have_a_row_each() -> None:
    shortfall = Failure(ErrorCode.OUTPUT_ROWS, "OutputContractError", "run() returned 1 elements for 3 items")

    rows = quarantine(MiniBatch("0", ("/a", "/b", "/c")), Outcome(3, 1, failure=shortfall))

    assert [(row["source_file"], row["position"], row["error_code"]) for row in rows] == [
        (None, None, "OUTPUT_ROWS")
    ] * 2


def test_nothing_is_quarantined_where_all_was_scored() -> None:
    assert quarantined_rows(MiniBatch("0", ("/a",)), Outcome(1, 1), LINEAGE, 1, AT) is None
