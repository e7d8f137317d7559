from __future__ import annotations

import pickle
import tempfile
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkscore.error_codes import ErrorCode
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome, failed_outcome
from sparkscore.stage.plan_file import PLAN_SCHEMA, read_planned_mini_batches, write_plan
from sparkscore.stage.progress import ItemsDone, ProgressFile, read_progress
from sparkscore.stage.report import (
    REPORT_SCHEMA,
    CallReport,
    MiniBatchReport,
    ScoredMiniBatch,
    StagedFile,
    WorkerState,
    make_report,
    read_reports,
    write_reports,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
COUNT = st.integers(0, 2**40)
REPORTS = st.builds(
    MiniBatchReport,
    unit=st.integers(0, 3), mini_batch=TEXT, place=st.none() | TEXT,
    items=COUNT, scored=COUNT, failed=COUNT, rows=COUNT, calls=COUNT,
    seconds=st.floats(0, 1e9), scored_at=st.datetimes(timezones=st.just(UTC)), worker=TEXT,
    loads=COUNT,
    warnings=st.lists(TEXT, max_size=2).map(tuple),
    failure=st.none() | st.builds(Failure, st.sampled_from(ErrorCode), TEXT, TEXT, TEXT, TEXT, TEXT),
    attempts=st.lists(
        st.builds(CallReport, COUNT, COUNT, st.booleans(), st.floats(0, 1e9), TEXT, TEXT), max_size=2
    ).map(tuple),
    staged=st.lists(st.builds(StagedFile, TEXT, COUNT, COUNT), max_size=2).map(tuple),
    unseen=st.dictionaries(TEXT, COUNT, max_size=2).map(lambda counts: tuple(counts.items())),
)  # fmt: skip

CALL = CallReport(5, 3, is_part=False, seconds=0.5, error_code="C", error_class="E")
STATE = WorkerState("w", 1, ("a warning",))


@settings(max_examples=40)
@given(st.lists(REPORTS, max_size=4))
def test_reports_arrive_as_they_were_sent_ordered_by_work_unit(reports: list[MiniBatchReport]) -> None:
    batch = write_reports(reports)

    assert batch.schema == REPORT_SCHEMA
    assert read_reports(pa.Table.from_batches([batch])) == sorted(reports, key=lambda report: report.unit)


def test_few_of_many_reports_are_python_objects_at_a_time() -> None:
    outcome, count = Outcome(items=10, scored=10), 10_000
    numbered = (MiniBatch(f"0-{number}", (), input_position=f"file:{number}0+10") for number in range(count))
    reports = [make_report(0, each, ScoredMiniBatch(outcome, (CALL,), 0.5, AT), STATE) for each in numbered]
    tracemalloc.start()
    try:
        batch = write_reports(reports)
        kept_by_writing, written = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        found = read_reports(pa.Table.from_batches([batch]))
        kept, read = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found == reports
    assert kept_by_writing < 20 * count
    assert written < 100 * count  # the reports themselves take 600 bytes each
    assert read < 1.5 * kept


def test_reports_of_an_earlier_version_have_no_counts_of_unseen_values() -> None:
    batch = write_reports(
        [make_report(0, MiniBatch("0-0", ()), ScoredMiniBatch(Outcome(1, 1), (CALL,), 0.5, AT), STATE)]
    )

    (report,) = read_reports(pa.Table.from_batches([batch]).drop_columns(["unseen"]))

    assert report.unseen == ()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_the_time_of_a_report_is_utc_also_in_a_session_of_another_zone(zone: str) -> None:
    report = make_report(
        0,
        MiniBatch("0-0", ()),
        ScoredMiniBatch(Outcome(1, 1), (CALL,), 0.5, AT.astimezone(timezone(timedelta(hours=5)))),
        STATE,
    )
    table = pa.Table.from_batches([write_reports([report])])
    index = table.schema.get_field_index("scored_at")

    (found,) = read_reports(table.set_column(index, "scored_at", table.column(index).cast(pa.timestamp("us", zone))))

    assert found.scored_at == AT
    assert found.scored_at.tzinfo is UTC


def test_a_report_tells_the_counts_of_its_outcome() -> None:
    failure = Failure(ErrorCode.SCRIPT_RUN, "E", "m")
    partly = make_report(
        2,
        MiniBatch("2-0", ()),
        ScoredMiniBatch(Outcome(5, 3, pa.table({"x": [1, 2, 3]}), failure), (CALL,), 0.5, AT),
        STATE,
    )
    not_at_all = make_report(
        2, MiniBatch("2-0", ()), ScoredMiniBatch(failed_outcome(5, failure), (CALL,), 0.5, AT), STATE
    )

    assert (partly.items, partly.scored, partly.failed, partly.rows, partly.staged) == (5, 3, 2, 3, ())
    assert not_at_all == replace(partly, scored=0, failed=5, rows=0)
    assert pickle.loads(pickle.dumps(partly)) == partly  # noqa: S301 - our own


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), max_size=5))
def test_a_task_reads_the_mini_batches_of_its_own_units(units: list[list[int]]) -> None:
    rows = [
        {"unit": unit, "mini_batch": f"{unit}-{name}", "path": f"/in/{unit}/{name}/{number}"}
        for unit, sizes in enumerate(units)
        for name, size in enumerate(sizes)
        for number in range(size)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/plan.parquet"
        write_plan(path, pa.Table.from_pylist(rows, schema=PLAN_SCHEMA))
        found = [
            [(batch.mini_batch_id, batch.files, batch.rows) for batch in read_planned_mini_batches(path, [unit])]
            for unit in range(len(units))
        ]

    assert found == [
        [
            (f"{unit}-{name}", tuple(f"/in/{unit}/{name}/{number}" for number in range(size)), None)
            for name, size in enumerate(sizes)
        ]
        for unit, sizes in enumerate(units)
    ]


def test_a_task_may_get_several_units_or_none(tmp_path: Path) -> None:
    rows = [{"unit": unit, "mini_batch": str(unit), "path": f"/in/{unit}"} for unit in range(4)]
    path = str(tmp_path / "plan.parquet")
    write_plan(path, pa.Table.from_pylist(rows, schema=PLAN_SCHEMA))

    assert [batch.mini_batch_id for batch in read_planned_mini_batches(path, [3, 0, 2])] == ["3", "0", "2"]
    assert list(read_planned_mini_batches("/nowhere", [])) == []


def test_progress_adds_up_over_tasks_and_attempts_replace_each_other(tmp_path: Path) -> None:
    for unit, batches in ((0, [(5, 0), (5, 2)]), (1, [(3, 0)]), (1, [(3, 0), (4, 0)]), (12, [])):
        progress = ProgressFile(str(tmp_path), unit)
        for items, failed in batches:
            progress.add(items, failed)
        progress.close()

    assert read_progress(str(tmp_path)) == ItemsDone(items=17, failed=2, failed_mini_batches=1)
    assert sorted(path.name for path in (tmp_path / "progress").iterdir()) == ["0", "1"]


def test_progress_is_written_at_once_and_then_twice_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.0, 100.2, 100.4, 100.6, 100.6, 100.7])
    monkeypatch.setattr("sparkscore.stage.progress.time.monotonic", lambda: next(clock))
    progress = ProgressFile(str(tmp_path), 0)
    seen = []

    for _ in range(5):
        progress.add(1, 0)
        seen.append(read_progress(str(tmp_path)).items)

    assert seen == [1, 1, 1, 4, 4]


def test_progress_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "progress").write_text("a file where a folder should be")
    progress = ProgressFile(str(tmp_path), 0)

    progress.add(1, 0)
    progress.close()

    assert read_progress(str(tmp_path)) == ItemsDone(0, 0)


def test_what_is_no_progress_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "progress").mkdir()
    (tmp_path / "progress" / "0").write_text("[1")
    (tmp_path / "progress" / ".1.unfinished").write_text("[1, 1]")
    (tmp_path / "progress" / "2").write_text("[2, 1]")

    assert read_progress(str(tmp_path)) == ItemsDone(2, 1)


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "{}",
        "null",
        '"ab"',
        "[]",
        "[1]",
        "[[1], 2]",
        "[1, null, 1]",
        "[1.5, 0]",
        "[true, 0]",
        "[-1, 0]",
        "[" * 9999,
    ],
)
def test_a_progress_file_with_other_content_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "progress").mkdir()
    (tmp_path / "progress" / "0").write_text(text)
    (tmp_path / "progress" / "2").write_text("[2, 1, 1]")

    assert read_progress(str(tmp_path)) == ItemsDone(2, 1, 1)


def test_progress_that_cannot_be_listed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("sparkscore.stage.progress.open_store", lambda _: SimpleNamespace(entries=fail))

    assert read_progress(str(tmp_path)) == ItemsDone(0, 0)


def test_a_code_of_another_version_is_kept_in_the_message() -> None:
    outcome = failed_outcome(1, Failure(ErrorCode.SCRIPT_RUN, "E", "m"))
    report = make_report(0, MiniBatch("0-0", ()), ScoredMiniBatch(outcome, (CALL,), 0.5, AT), STATE)
    rows = pa.Table.from_batches([write_reports([report])]).to_pylist()
    rows[0]["failure"]["code"] = "OF_TOMORROW"

    (read,) = read_reports(pa.Table.from_pylist(rows, schema=REPORT_SCHEMA))

    assert read.failure == Failure(ErrorCode.UNEXPECTED, "E", "[OF_TOMORROW] m")
