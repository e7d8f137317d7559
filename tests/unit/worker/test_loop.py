from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError, OutputContractError
from sparkscore.minibatch import SOURCE_FILE_COLUMN, MiniBatch, MiniBatchLimit
from sparkscore.outcome import Failure
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.signature import parse_ddl
from sparkscore.stage import REPORT_SCHEMA, MiniBatchReport, read_reports
from sparkscore.stage.chunks import ChunkLimit
from sparkscore.stage.plan_file import PLAN_SCHEMA, write_plan
from sparkscore.stage.progress import ItemsDone, read_progress
from sparkscore.tolerance import Tolerance
from sparkscore.worker import (
    FailureRules,
    ProbeReport,
    ProbeSpec,
    WorkerSpec,
    loaded,
    probe,
    read_probe_report,
    score_task,
)
from sparkscore.worker.loaded import KeptEngines
from tests.support.scorers import Loads, RecordingScorer, folder_of


def rows(count: int) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pydict({"x": pa.array(range(count), pa.int64())})]


def reports_of(batches: Iterable[pa.RecordBatch], spec: WorkerSpec, unit: int = 3) -> list[MiniBatchReport]:
    sent = list(score_task(batches, spec, unit))
    assert all(batch.schema == REPORT_SCHEMA for batch in sent)
    reports = read_reports(pa.Table.from_batches(sent, REPORT_SCHEMA))
    assert all(report.items == report.scored + report.failed for report in reports)
    assert all(not report.staged for report in reports[:-1])
    return reports


def staged_rows(reports: list[MiniBatchReport], spec: WorkerSpec) -> int:
    return sum(pq.read_metadata(folder_of(spec) / file.path).num_rows for file in reports[-1].staged)


@pytest.mark.parametrize("batches", [[], rows(0), rows(0) * 3])
def test_nothing_is_loaded_for_an_empty_input(batches: list[pa.RecordBatch], loads: Loads, spec: WorkerSpec) -> None:
    assert reports_of(batches, spec) == []
    assert loads.done == 0
    assert list(folder_of(spec).iterdir()) == []


def test_every_mini_batch_is_scored_once_staged_and_reported(loads: Loads, spec: WorkerSpec) -> None:
    scorer = RecordingScorer()
    loads.coming = [scorer]

    reports = reports_of(rows(25), spec)

    assert [(report.unit, report.mini_batch, report.items, report.calls) for report in reports] == [
        (3, "3-0", 10, 1), (3, "3-1", 10, 1), (3, "3-2", 5, 1),
    ]  # fmt: skip
    assert [batch.item_count for batch in scorer.called] == [10, 10, 5]
    assert staged_rows(reports, spec) == sum(report.rows for report in reports) == 25
    assert read_progress(str(folder_of(spec))) == ItemsDone(25, 0)
    assert all(report.seconds >= 0 and report.scored_at.tzinfo for report in reports)


def test_rows_are_scored_as_they_come(loads: Loads, spec: WorkerSpec) -> None:
    scorer = RecordingScorer()
    loads.coming = [scorer]
    asked: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(3):
            assert len(scorer.called) == number
            asked.append(number)
            yield from rows(10)

    reports_of(batches(), spec)

    assert asked == [0, 1, 2]


def test_planned_files_are_scored_in_the_plans_order(loads: Loads, spec: WorkerSpec, tmp_path: Path) -> None:
    scorer = RecordingScorer()
    loads.coming = [scorer]
    plan = [{"unit": 0, "mini_batch": name, "path": path} for name, path in (("0", "/a"), ("0", "/b"), ("5", "/c"))]
    write_plan(str(tmp_path / "plan.parquet"), pa.Table.from_pylist(plan, schema=PLAN_SCHEMA))
    planned = dataclasses.replace(spec, is_planned=True)

    reports = reports_of([pa.RecordBatch.from_pydict({"id": [0]})], planned, unit=0)

    assert [batch.files for batch in scorer.called] == [("/a", "/b"), ("/c",)]
    assert [(report.mini_batch, report.items) for report in reports] == [("0", 2), ("5", 1)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    files=st.lists(st.tuples(st.integers(1, 25), st.sampled_from("ab")), max_size=4),
    failing=st.integers(0, 8),
    way=st.sampled_from(["raise", "fewer", "more", "contract"]),
)
def test_counts_add_up_whatever_happens_when(
    files: list[tuple[int, str]], failing: int, way: str, loads: Loads, spec: WorkerSpec
) -> None:
    def score(mini_batch: MiniBatch) -> object:
        wanted = mini_batch.item_count
        if len(scorer.called) <= failing:
            return [1] * wanted
        if way == "raise":
            raise ScorerFailedError(Failure(ErrorCode.SCRIPT_RUN, "ValueError", "x"))
        return {"fewer": [1] * (wanted - 1), "more": [1] * (wanted + 1), "contract": None}[way]

    scorer = RecordingScorer(score)
    loads.coming, loaded._engines = [scorer], KeptEngines()
    batches = [
        pa.RecordBatch.from_pydict({"x": range(count), SOURCE_FILE_COLUMN: [file] * count}) for count, file in files
    ]

    reports = reports_of(batches, spec)

    total = sum(count for count, _ in files)
    done = sum(report.items for report in reports)
    failed = [report for report in reports if report.failed]
    assert len(scorer.called) == sum(report.calls for report in reports) >= len(reports)
    assert failed == reports[-1:] if failed else done == total
    assert [report.failure is not None for report in reports] == [report.failed > 0 for report in reports]
    assert not reports or staged_rows(reports, spec) == sum(report.rows for report in reports)


def test_the_first_failure_stops_the_task(loads: Loads, spec: WorkerSpec) -> None:
    def score(mini_batch: MiniBatch) -> object:
        if mini_batch.mini_batch_id == "3-1":
            raise ScorerFailedError(Failure(ErrorCode.SCRIPT_RUN, "ValueError", "x", "score.py, line 3", "tb", ""))
        return [1] * mini_batch.item_count

    scorer = RecordingScorer(score)
    loads.coming = [scorer]

    reports = reports_of(rows(50), spec)

    assert [report.failed for report in reports] == [0, 10]
    assert reports[-1].failure == Failure(ErrorCode.SCRIPT_RUN, "ValueError", "x", "score.py, line 3", "tb", "")
    assert [batch.item_count for batch in scorer.called] == [10, 10, 5, 5, 2, 3, 2, 3, 1]
    assert read_progress(str(folder_of(spec))) == ItemsDone(20, 10, 1)


def test_what_is_tolerated_does_not_stop_the_task_and_is_quarantined(loads: Loads, spec: WorkerSpec) -> None:
    def score(mini_batch: MiniBatch) -> object:
        assert mini_batch.rows is not None
        if 13 in mini_batch.rows.column("x").to_pylist():
            raise ScorerFailedError(Failure(ErrorCode.SCRIPT_RUN, "ValueError", "x", "score.py, line 3", "tb", ""))
        return [1] * mini_batch.item_count

    loads.coming = [RecordingScorer(score)]

    reports = reports_of(rows(50), dataclasses.replace(spec, rules=FailureRules(2, tolerance=Tolerance(1))))

    assert [report.failed for report in reports] == [0, 1, 0, 0, 0]
    assert [[call.items for call in report.attempts] for report in reports[:2]] == [
        [10],
        [10, 10, 5, 5, 2, 3, 1, 2, 1, 1],
    ]
    assert staged_rows(reports, spec) == 49
    (file,) = reports[-1].quarantined
    (row,) = pq.read_table(folder_of(spec) / file.path).to_pylist()
    assert (row["mini_batch"], row["position"], row["row"], row["tries"]) == ("3-1", 3, '{"x": 13}', 2)


@pytest.mark.parametrize(
    ("returned", "code"),
    [
        ([1] * 9, "OUTPUT_ROWS"),
        (None, "OUTPUT_KIND"),
        (["a"] * 10, "OUTPUT_TYPE"),
        (pd.DataFrame({"y": [1]}), "OUTPUT_COLUMNS"),
    ],
)
def test_what_cannot_become_rows_is_a_failure(returned: object, code: str, loads: Loads, spec: WorkerSpec) -> None:
    loads.coming = [RecordingScorer(lambda _: returned)]

    (report,) = reports_of(rows(10), spec)

    assert report.failure is not None
    assert report.failure.code == code
    assert report.items == 10


def test_a_returned_value_whose_methods_raise_is_a_failure_with_a_traceback_for_the_log(
    loads: Loads, spec: WorkerSpec
) -> None:
    class Broken(list[int]):
        def __iter__(self) -> Any:
            raise RuntimeError("inside the user's class")

    loads.coming = [RecordingScorer(lambda _: Broken([1]))]

    (report,) = reports_of(rows(1), spec)

    assert report.failure is not None
    assert report.failure.code == "OUTPUT_UNREADABLE"
    assert "inside the user's class" in report.failure.traceback_text
    assert "inside" not in report.failure.message


def test_an_interrupt_ends_the_task_and_leaves_no_open_file(
    loads: Loads, spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparkscore.stage.writer._BUFFER_ROWS", 1)

    def interrupted() -> Iterator[pa.RecordBatch]:
        yield from rows(20)
        raise KeyboardInterrupt

    loads.coming = [RecordingScorer()]

    with pytest.raises(KeyboardInterrupt):
        reports_of(interrupted(), spec)

    opened = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not any(path.startswith(str(folder_of(spec))) for path in opened)
    assert not [path for path in folder_of(spec).rglob("*") if "part-" in path.name]


def test_each_chunk_travels_in_a_batch_whose_last_report_names_its_files(loads: Loads, spec: WorkerSpec) -> None:
    loads.coming = [RecordingScorer()]
    fours = dataclasses.replace(spec, limit=MiniBatchLimit(items=1), chunk=ChunkLimit(items=4))

    sent = list(score_task(rows(9), fours, 0))

    assert [batch.num_rows for batch in sent] == [4, 4, 1]
    staged = [[sum(file["rows"] for file in row["staged"]) for row in batch.to_pylist()] for batch in sent]
    assert staged == [[0, 0, 0, 4], [0, 0, 0, 4], [1]]


def test_a_chunk_ends_when_its_time_is_over(loads: Loads, spec: WorkerSpec) -> None:
    loads.coming = [RecordingScorer()]
    at_once = dataclasses.replace(spec, chunk=ChunkLimit(seconds=0.0))

    assert [batch.num_rows for batch in score_task(rows(30), at_once, 0)] == [1, 1, 1]


def test_a_task_that_stages_nothing_names_no_files(loads: Loads, spec: WorkerSpec) -> None:
    loads.coming = [RecordingScorer(lambda _: None)]

    assert reports_of(rows(3), spec)[-1].staged == ()


def test_a_process_loads_once_for_all_tasks_of_a_run(loads: Loads, spec: WorkerSpec) -> None:
    scorer = RecordingScorer()
    loads.coming = [scorer]

    reports = [report for unit in range(3) for report in reports_of(rows(10), pickle.loads(pickle.dumps(spec)), unit)]  # noqa: S301 - as Spark sends it

    assert loads.done == 1
    assert {(report.worker, report.loads) for report in reports} == {(reports[0].worker, 1)}
    assert len(scorer.called) == 3
    assert scorer.closed == 0


@pytest.mark.parametrize("key", ["run-2/a", "run-1/b"], ids=["another run", "another attempt at the run"])
def test_another_run_or_attempt_loads_its_own_and_closes_the_one_before(
    key: str, loads: Loads, spec: WorkerSpec
) -> None:
    first, second = RecordingScorer(), RecordingScorer()
    loads.coming = [first, second]

    one = reports_of(rows(1), spec)
    two = reports_of(rows(1), dataclasses.replace(spec, engine=dataclasses.replace(spec.engine, key=key)))

    assert (loads.done, first.closed, second.closed) == (2, 1, 0)
    assert one[0].worker != two[0].worker


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ScorerFailedError(Failure(ErrorCode.SCRIPT_INIT, "OSError", "x")), "SCRIPT_INIT"),
        (ModelLoadError(code=ErrorCode.MODEL_LOAD, what="model 'm'", next_step="Mend it."), "MODEL_LOAD"),
    ],
)
def test_a_scorer_that_does_not_load_is_tried_once_in_a_process(
    error: Exception, code: str, loads: Loads, spec: WorkerSpec
) -> None:
    scorer = RecordingScorer()
    loads.coming = [error, scorer]

    reports = [reports_of(rows(25), spec, unit) for unit in range(3)]

    assert loads.done == 1
    assert [len(task) for task in reports] == [1, 1, 1]
    assert all(task[0].failure is not None and task[0].failure.code == code for task in reports)
    assert all((task[0].failed, task[0].calls, task[0].staged) == (10, 0, ()) for task in reports)
    (after,) = reports_of(rows(1), dataclasses.replace(spec, engine=dataclasses.replace(spec.engine, key="run-1/b")))
    assert (after.scored, loads.done) == (1, 2)


def probed(loads: Loads, spec: WorkerSpec, rows: pa.Table | None = None, ddl: str | None = None) -> ProbeReport:
    stream = pa.BufferOutputStream()
    if rows is not None:
        with pa.ipc.new_stream(stream, rows.schema) as writer:
            writer.write_table(rows)
    asked = ProbeSpec(
        spec.engine, "0", ("/a", "/b"), None if rows is None else bytes(stream.getvalue()),
        None if ddl is None else parse_ddl(ddl),
    )  # fmt: skip
    report = read_probe_report(pa.Table.from_batches([probe(pickle.loads(pickle.dumps(asked)))]))  # noqa: S301 - as Spark sends it
    assert (report.failure is None) == (report.predictions is not None)
    assert report.loads == loads.done == 1
    return report


def test_a_probe_tells_what_comes_back_and_leaves_the_scorer_for_the_run(loads: Loads, spec: WorkerSpec) -> None:
    scorer = RecordingScorer(lambda _: [("a", 0.5), ("b", 1.0)])
    loads.coming = [scorer]

    report = probed(loads, spec)

    assert report.predictions == pa.schema([("c0", pa.string()), ("c1", pa.float64())])
    assert (report.is_frame, report.calls, scorer.called) == (False, 1, [MiniBatch("0", ("/a", "/b"))])
    assert reports_of(rows(1), spec)[0].worker == report.worker


def test_a_probe_of_rows_hands_them_over_and_enforces_what_is_declared(loads: Loads, spec: WorkerSpec) -> None:
    scorer = RecordingScorer(lambda _: pd.DataFrame({"y": [1, 2, 3]}))
    loads.coming = [scorer]

    report = probed(loads, spec, pa.table({"x": [1, 2]}), "y double")

    assert report.predictions == pa.schema([("y", pa.float64())])
    assert report.is_frame
    assert scorer.called[0].rows is not None
    assert scorer.called[0].rows.to_pylist() == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ScorerFailedError(Failure(ErrorCode.SCRIPT_RUN, "OSError", "x", "score.py, line 3", "tb", "")), "SCRIPT_RUN"),
        (OutputContractError(code=ErrorCode.INPUT_INEXACT, what="w", next_step="n"), "INPUT_INEXACT"),
        (None, "OUTPUT_KIND"),
    ],
)
def test_a_probe_that_fails_says_why(error: Exception | None, code: str, loads: Loads, spec: WorkerSpec) -> None:
    def score(_: MiniBatch) -> object:
        if error is not None:
            raise error
        return 1

    loads.coming = [RecordingScorer(score)]

    report = probed(loads, spec)

    assert report.failure is not None
    assert (report.failure.code, report.calls, report.is_frame) == (code, 1, False)


def test_a_probe_of_a_scorer_that_does_not_load_says_why(loads: Loads, spec: WorkerSpec) -> None:
    loads.coming = [ScorerFailedError(Failure(ErrorCode.SCRIPT_INIT, "OSError", "x"))]

    report = probed(loads, spec)

    assert report.failure is not None
    assert (report.failure.code, report.calls) == ("SCRIPT_INIT", 0)
