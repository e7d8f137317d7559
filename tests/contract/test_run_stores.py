"""The promises of the stores in which a run keeps its record and its stage, also when a step of theirs fails."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from sparkscore.errors import ConfigError, LineageError, SinkError
from sparkscore.record.run_record import COMPLETE, new_record
from sparkscore.record.run_store import RunStore
from sparkscore.record.runs_folder import open_run
from sparkscore.stage import Decision, MiniBatchReport, RunStage, StagedFile, StageFolder, TaskStage
from sparkscore.stage.plan_file import PLAN_SCHEMA
from sparkscore.stage.report import CallReport
from sparkscore.stage.surroundings import Surroundings, put_into
from tests.support.simulation.store import Crash, Fault, FaultyStores, Process

ROWS = pa.table({"prediction": [1.0, 2.0], "run_id": ["night", "night"]})
PLAN = pa.Table.from_pylist(
    [
        {"unit": 0, "mini_batch": "0", "path": "/in/a"},
        {"unit": 0, "mini_batch": "1", "path": "/in/b"},
        {"unit": 1, "mini_batch": "2", "path": "/in/c"},
    ],
    schema=PLAN_SCHEMA,
)
#: More steps of a store than any of the calls here makes.
MOST_STEPS = 60


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[FaultyStores]:
    stores = FaultyStores(tmp_path)
    with put_into(Surroundings(open_store=stores.open)):
        yield stores


@pytest.fixture
def run(stores: FaultyStores, tmp_path: Path) -> RunStore:
    del stores
    run = open_run(tmp_path / "runs", "night")
    run.create()
    return run


@pytest.fixture
def stage(stores: FaultyStores, tmp_path: Path) -> RunStage:
    del stores
    (tmp_path / "stage").mkdir()
    return StageFolder(tmp_path / "stage")


@pytest.fixture
def task(stage: RunStage) -> TaskStage:
    """The stage as it reaches a task."""
    sent: TaskStage = pickle.loads(pickle.dumps(stage.for_tasks(left_out=("run_id",))))  # noqa: S301 - as Spark sends it
    return sent


def score(task: TaskStage, unit: int, first: int, worker: str = "w1", count: int = 1) -> list[MiniBatchReport]:
    """Score a chunk as a task does, and return its reports."""
    reports = [
        MiniBatchReport(
            unit=unit, mini_batch=str(number), place=str(number), items=2, scored=2, failed=0, rows=2, calls=1,
            seconds=0.1, scored_at=datetime(2026, 1, 1, tzinfo=UTC), worker=worker, loads=1,
        )
        for number in range(first, first + count)
    ]  # fmt: skip
    with task.open_chunk(unit) as chunk:
        chunk.write(ROWS)
        chunk.quarantine(ROWS)
        staged, quarantined = chunk.finish()
    reports[-1] = replace(reports[-1], staged=staged, quarantined=quarantined)
    task.keep_chunk(unit, first, reports)
    return reports


def with_each_fault(stores: FaultyStores, fault: Fault, do: Callable[[], object]) -> Iterator[None]:
    """Call once for each step of a call's store, with a fault at that step; the caller looks after each."""
    for step in range(MOST_STEPS):
        process = Process(step, {step: fault})
        with stores.lived_by(process):
            with suppress(Crash, OSError, LineageError, SinkError):
                do()
            has_ended = step >= len(process.calls)
        yield
        if has_ended:
            return
    raise AssertionError("the call makes more steps than that")


FAULTS = [Fault.BEFORE, Fault.AFTER, Fault.LOST, Fault.FAILED]


# ------------------------------------------------------------------------------------------------ the tasks' part


def test_a_chunk_is_done_with_the_reports_and_the_rows_of_one_attempt(task: TaskStage, stage: RunStage) -> None:
    assert task.done_chunk(3, 0) == []

    reports = score(task, 3, 0)

    assert task.done_chunk(3, 0) == reports
    assert stage.count_chunks() == 1
    files = (*reports[0].staged, *reports[0].quarantined)
    assert [file.rows for file in files] == [2, 2]
    assert task.find_changed(files, reads_all=True) == []


def test_of_two_attempts_at_a_chunk_the_first_counts(task: TaskStage) -> None:
    first = score(task, 3, 0, "w1")

    second = score(task, 3, 0, "w2")

    assert task.done_chunk(3, 0) == first
    assert {file.path for file in first[0].staged}.isdisjoint(file.path for file in second[0].staged)


def test_a_chunk_that_is_forgotten_is_not_done(task: TaskStage) -> None:
    score(task, 3, 0)

    task.forget_chunk(3, 0)
    task.forget_chunk(3, 0)

    assert task.done_chunk(3, 0) == []


def test_a_chunk_that_is_not_finished_is_not_done(task: TaskStage, stage: RunStage) -> None:
    with pytest.raises(RuntimeError, match="the script"), task.open_chunk(3) as chunk:  # noqa: PT012 - the scene
        chunk.write(ROWS)
        raise RuntimeError("the script")

    assert (task.done_chunk(3, 0), stage.count_chunks()) == ([], 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_while_a_chunk_is_scored_it_is_done_as_a_whole_or_not_at_all(
    stores: FaultyStores, task: TaskStage, fault: Fault
) -> None:
    unit = 0

    def attempt() -> None:
        score(task, unit, 0)

    for _ in with_each_fault(stores, fault, attempt):
        done = task.done_chunk(unit, 0)
        if done:
            assert [(report.unit, report.mini_batch) for report in done] == [(unit, "0")]
            assert task.find_changed((*done[0].staged, *done[0].quarantined), reads_all=True) == []
        score(task, unit, 0)
        assert task.done_chunk(unit, 0)
        unit += 1
    assert unit > 5, "the call has several steps"


def test_a_task_hears_that_it_shall_stop_and_the_driver_how_far_it_is(task: TaskStage, stage: RunStage) -> None:
    progress = task.progress_of(3)
    progress.add(10, 1)
    assert (stage.read_progress().items, progress.is_stopped) == (10, False)

    stage.ask_to_stop()
    progress.close()
    assert progress.is_stopped

    stage.forget_progress({})
    assert stage.read_progress().items == 0
    later = task.progress_of(3)
    later.add(1, 0)
    assert not later.is_stopped


# ----------------------------------------------------------------------------------------------- the driver's part


def test_the_tasks_get_the_mini_batches_that_were_planned(task: TaskStage, stage: RunStage) -> None:
    assert stage.keep_plan(PLAN) == {0: 2, 1: 1}

    assert [(batch.mini_batch_id, batch.files) for batch in task.planned([1, 0])] == [
        ("2", ("/in/c",)),
        ("0", ("/in/a",)),
        ("1", ("/in/b",)),
    ]


def test_the_units_of_the_first_attempt_stay_and_another_plan_is_refused(stage: RunStage) -> None:
    stage.keep_plan(PLAN)
    as_one = PLAN.set_column(0, "unit", pa.array([0, 0, 0], pa.int64()))

    assert stage.keep_plan(as_one) == {0: 2, 1: 1}
    with pytest.raises(SinkError, match="STAGE_CHANGED"):
        stage.keep_plan(PLAN.slice(0, 2))


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_while_the_plan_is_kept_the_next_attempt_has_it(
    stores: FaultyStores, tmp_path: Path, fault: Fault
) -> None:
    folders = iter(tmp_path / f"stage-{number}" for number in range(MOST_STEPS))
    stage = StageFolder(tmp_path)

    def attempt() -> None:
        nonlocal stage
        stage = StageFolder(next(folders))
        stage.path.mkdir()
        stage.keep_plan(PLAN)

    for _ in with_each_fault(stores, fault, attempt):
        assert stage.keep_plan(PLAN) == {0: 2, 1: 1}


@pytest.mark.parametrize("decision", Decision)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_decision_is_kept_as_a_whole_or_not_at_all(
    stores: FaultyStores, stage: RunStage, decision: Decision, fault: Fault
) -> None:
    assert stage.kept(decision) is None

    for _ in with_each_fault(stores, fault, lambda: stage.keep(decision, b"new")):
        assert stage.kept(decision) in {None, b"old", b"new"}
        stage.keep(decision, b"old")
        assert stage.kept(decision) == b"old"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stage_has_one_nonce_however_often_it_is_asked_for(
    stores: FaultyStores, task: TaskStage, stage: RunStage, fault: Fault
) -> None:
    nonces: set[str] = set()

    for _ in with_each_fault(stores, fault, stage.keep_nonce):
        nonces.add(stage.keep_nonce())

    assert nonces == {task.nonce()}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_driver_takes_what_a_worker_proved(
    stores: FaultyStores, task: TaskStage, stage: RunStage, fault: Fault
) -> None:
    for _ in with_each_fault(stores, fault, lambda: task.forget_proof(task.write_proof("torn"))):
        name = task.write_proof("whole")
        assert stage.take_proof(name) == "whole"
        with pytest.raises(FileNotFoundError):
            stage.take_proof(name)


def test_a_task_that_does_not_see_the_stage_makes_none(task: TaskStage, tmp_path: Path) -> None:
    (tmp_path / "stage").rename(tmp_path / "elsewhere")

    with pytest.raises(FileNotFoundError):
        task.nonce()
    with pytest.raises(FileNotFoundError):
        task.write_proof("text")
    assert not (tmp_path / "stage").exists()


def test_a_unit_is_done_when_all_its_items_are_in_chunks(task: TaskStage, stage: RunStage) -> None:
    score(task, 0, 0, count=2)
    score(task, 1, 0)

    assert {unit: len(reports) for unit, reports in stage.done_units({0: 4, 1: 4, 2: 2}).items()} == {0: 2}


def test_the_chunks_of_a_file_that_changed_are_scored_again(task: TaskStage, stage: RunStage) -> None:
    (first,), (second,) = score(task, 0, 0), score(task, 1, 0)

    stage.forget_chunks_of({first.staged[0].path})

    assert (task.done_chunk(0, 0), task.done_chunk(1, 0)) == ([], [second])
    assert task.find_changed([StagedFile("attempts/gone.parquet", 1, 1)], reads_all=False)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_is_there_as_a_whole_or_not_at_all(
    stores: FaultyStores, stage: RunStage, tmp_path: Path, fault: Fault
) -> None:
    model, digest = tmp_path / "model", "0" * 64
    model.mkdir()
    for name in ("a.bin", "b.bin"):
        (model / name).write_text(name)
    number = 0

    def attempt() -> None:
        stage.keep_model(model, f"{number:064d}")

    for _ in with_each_fault(stores, fault, attempt):
        copy = stage.keep_model(model, f"{number:064d}")
        assert [(copy / name).read_text() for name in ("a.bin", "b.bin")] == ["a.bin", "b.bin"]
        number += 1
    assert stage.keep_model(model, digest).name == model.name


# ------------------------------------------------------------------------------------------------ beside the stage


def test_one_driver_has_the_claim_and_knows_that_it_has(run: RunStore) -> None:
    assert not run.is_claimed()

    with run.claim() as claim:
        claim.check()
        assert (claim.is_ours(), run.is_claimed()) == (True, True)
        with pytest.raises(ConfigError, match="RUN_ID_RUNNING"), open_run(run.runs, run.run_id).claim():
            pytest.fail("two drivers work on one run")
        assert claim.is_ours()

    assert not run.is_claimed()


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_while_a_record_is_written_a_reader_finds_the_old_one_or_the_new_one(
    stores: FaultyStores, run: RunStore, fault: Fault
) -> None:
    old = new_record(run.run_id, "d.yml", {})
    run.write_record(old)

    for _ in with_each_fault(stores, fault, lambda: run.write_record(old.noting(state=COMPLETE))):
        found = run.read_record()
        assert found is not None
        assert found.state in {old.state, COMPLETE}
        run.write_record(old)
        assert run.read_record() == old


def test_a_record_stays_as_it_is_if_the_claim_is_lost_at_the_last_moment(run: RunStore) -> None:
    old = new_record(run.run_id, "d.yml", {})
    run.write_record(old)

    def lost() -> None:
        raise RuntimeError("another driver has the run")

    with pytest.raises(RuntimeError, match="another driver"):
        run.write_record(old.noting(state=COMPLETE), lost)

    assert run.read_record() == old


@pytest.mark.parametrize("fault", FAULTS)
def test_there_is_one_key_however_often_it_is_asked_for(stores: FaultyStores, run: RunStore, fault: Fault) -> None:
    keys: set[bytes] = set()

    for _ in with_each_fault(stores, fault, run.key):
        keys.add(run.key())

    assert len(keys) == 1
    assert open_run(run.runs, run.run_id).key() in keys


def test_what_was_not_kept_is_nothing(run: RunStore) -> None:
    assert run.read_record() is None
    assert run.read_request() is None
    assert run.read_manifest() is None
    assert not run.has_manifest()
    assert run.read_scored_again() == []
    assert run.read_attempts().num_rows == 0
    assert run.read_code() == {"files": {}, "left_out": {}}


def test_the_rows_of_the_run_table_come_back(run: RunStore, task: TaskStage) -> None:
    (report,) = score(task, 0, 0)
    call = CallReport(items=2, scored=2, is_part=False, seconds=0.1, error_code="", error_class="")

    run.write_attempts([replace(report, attempts=(call, call))])

    assert (
        run.read_attempts().select(["run_id", "mini_batch", "items"]).to_pylist()
        == [{"run_id": "night", "mini_batch": "0", "items": 2}] * 2
    )
