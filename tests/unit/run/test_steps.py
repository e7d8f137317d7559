from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.record.listing import read_record
from sparkscore.record.run_record import HELD, new_record
from sparkscore.run import PreparedRun
from sparkscore.run import steps as subject
from sparkscore.run.state import RunState
from sparkscore.run.steps import nothing_to_do, open_input, plan_input, score_on_workers, start_record
from sparkscore.sources import FailedItems
from sparkscore.stage.progress import ItemsDone
from sparkscore.tolerance import Tolerance

Ask = Callable[..., PreparedRun]


def state_of(prepared: PreparedRun, state: str | None, stage: str | None = None) -> RunState:
    prepared.folder.create()
    record = None if state is None else new_record(prepared.run_id, None, {}).noting(state=state, stage=stage)
    return RunState(prepared.folder, prepared.folder.claim(), record)


def test_the_record_of_an_attempt_says_where_the_rows_of_a_held_run_wait(ask: Ask) -> None:
    prepared = ask()

    assert start_record(prepared, state_of(prepared, None)).stage is None
    assert start_record(prepared, state_of(prepared, "FAIL")).stage is None
    held = start_record(prepared, state_of(prepared, HELD, "/out/_sparkscore/night"))
    assert (held.run_id, held.stage) == ("night", "/out/_sparkscore/night")


@pytest.mark.parametrize(("size", "mini_batches"), [(1, 3), (2, 2), (10, 1)])
def test_files_are_planned_by_their_number(session: Any, ask: Ask, size: int, mini_batches: int) -> None:
    prepared = ask(settings__mini_batch_size=size)

    plan = plan_input(session, prepared, open_input(session, prepared))

    assert plan.snapshot.items == 3
    assert plan.mini_batches is not None
    assert len(set(plan.mini_batches["mini_batch"].to_pylist())) == mini_batches


def test_failed_items_are_opened_in_the_quarantine(session: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "open_failed", lambda *arguments: arguments)
    failed = FailedItems("first", "/q", "parquet", None, "first")

    opened: Any = open_input(session, replace(ask(), failed=failed))

    assert opened == (session, failed, None)


@pytest.mark.parametrize(("failed", "stops"), [(0, False), (1, False), (2, True)])
def test_tasks_are_asked_to_stop_once_more_failed_than_is_tolerated(
    monkeypatch: pytest.MonkeyPatch, failed: int, *, stops: bool
) -> None:
    asked: list[str] = []

    @contextmanager
    def follow(*arguments: Any) -> Iterator[None]:
        arguments[-1](ItemsDone(5, failed, failed))
        yield

    monkeypatch.setattr(subject, "follow", follow)
    monkeypatch.setattr(subject, "score_plan", lambda *_: ["new"])
    stage: Any = SimpleNamespace(ask_to_stop=lambda: asked.append("stop"), read_progress=None)
    spec = SimpleNamespace(rules=SimpleNamespace(tolerance=Tolerance(1)))
    work: Any = SimpleNamespace(spec=spec, rows=None, done=("before",))
    plan: Any = SimpleNamespace(snapshot=SimpleNamespace(items=9, item_type="files"))
    spark: Any = None
    display: Any = None

    reports: Any = score_on_workers(spark, stage, plan, work, display)

    assert reports == ["before", "new"]
    assert asked == (["stop"] if stops else [])


def test_a_run_over_failed_items_of_which_none_is_left_is_complete_without_rows(
    session: Any, ask: Ask, tmp_path: Path
) -> None:
    session.createDataFrame = list  # nobody asks for the rows here
    failed = FailedItems("first", "/q", "parquet", None, "first", since=("second",), left=Counter())
    prepared = replace(ask(), failed=failed)
    state = state_of(prepared, None)

    with state.lock:
        run = nothing_to_do(session, prepared, state)

    assert run.record == read_record(tmp_path / "runs", "night").as_dict()
    assert (run.record["state"], run.record["output"]["rows"], run.record["input"]["items"]) == ("COMPLETE", 0, 0)
    assert run.record["only_failed"]["without"] == ["second"]
