from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.digest import different_parts, identity_of
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringScriptError
from sparkscore.plan import InputFile, Plan, Snapshot
from sparkscore.record import versions
from sparkscore.record.from_reports import (
    counts_of,
    describe_plan,
    loads_of,
    unseen_of,
    verified_models_of,
    warnings_of,
)
from sparkscore.record.run_record import end_record, new_record
from sparkscore.record.versions import git_commit_of
from sparkscore.stage import MiniBatchReport
from sparkscore.worker import ProbeReport

REPORT = MiniBatchReport(
    unit=0, mini_batch="0-0", place=None, items=10, scored=10, failed=0, rows=10, calls=1, seconds=0.1,
    scored_at=datetime(2026, 1, 1, tzinfo=UTC), worker="w1", loads=1,
)  # fmt: skip
PROBE = ProbeReport(predictions=None, is_frame=False, worker="w1", loads=1, calls=1, warnings=(), failure=None)


def test_a_new_record_has_every_name_and_nothing_counted_yet() -> None:
    record = new_record("a", "deployment.yml", {"output": {"mode": "error"}}).as_dict()

    assert (record["run_id"], record["state"], record["deployment"]) == ("a", "RUNNING", "deployment.yml")
    assert datetime.fromisoformat(record["started_at"]).utcoffset() is not None
    assert set(record["counts"]) == set(counts_of([], None, None).as_dict())
    assert set(record["counts"].values()) == {0}
    assert record["versions"]["python"]
    assert json.loads(json.dumps(record)) == record


def test_a_version_of_what_is_not_installed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(versions, "version", nothing)

    assert new_record("a", None, {}).as_dict()["versions"]["spark"] is None


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.integers(0, 4))), st.integers(0, 3))
def test_counts_always_add_up(batches: list[tuple[int, int, int]], not_scored: int) -> None:
    reports = [
        replace(REPORT, items=items, scored=items - min(items, failed), failed=min(items, failed), calls=calls)
        for items, failed, calls in batches
    ]
    planned = sum(report.items for report in reports) + not_scored

    counts = counts_of(iter(reports), None, planned).as_dict()

    assert counts["items"] == counts["scored"] + counts["failed"] + counts["skipped"] == planned
    assert counts["skipped"] == not_scored
    assert counts["mini_batches"] == len(reports)
    assert counts["attempts"] == sum(report.calls for report in reports)
    assert counts["probe_calls"] == 0


def test_where_the_items_are_not_planned_they_are_those_that_were_tried() -> None:
    counts = counts_of([replace(REPORT, scored=7, failed=3)], PROBE, None).as_dict()

    assert (counts["items"], counts["skipped"], counts["probe_calls"]) == (10, 0, 1)


def test_loads_are_counted_once_for_each_process_also_when_only_the_probe_ran_there() -> None:
    reports = [REPORT, REPORT, replace(REPORT, worker="w2")]

    assert loads_of(reports, None) == {"model_loads": 2, "worker_processes": 2}
    assert loads_of(reports, PROBE) == {"model_loads": 2, "worker_processes": 2}
    assert loads_of(reports, replace(PROBE, worker="w3")) == {"model_loads": 3, "worker_processes": 3}
    assert loads_of([], None) == {"model_loads": 0, "worker_processes": 0}


def test_processes_that_verified_a_model_are_counted_by_its_digest() -> None:
    reports = [replace(REPORT, models=("a", "b")), replace(REPORT, models=("a", "b")), replace(REPORT, worker="w2")]

    assert verified_models_of([*reports, replace(REPORT, worker="w3", models=("b",))]) == {"a": 1, "b": 2}
    assert verified_models_of([]) == {}


@pytest.mark.parametrize(("files", "described"), [((InputFile("/in/a", 3, 1),), 1), ((), None)])
def test_the_pinned_input_is_described(files: tuple[InputFile, ...], described: int | None) -> None:
    snapshot = Snapshot("delta", "/in", 4, 3, None, files, {"hidden": 2})

    assert describe_plan(Plan(snapshot), {"a": "int"}).as_dict() == {
        "format": "delta", "location": "/in", "version": 4, "items": None, "bytes": 3, "files": described,
        "skipped": {"hidden": 2},
        "order_doubt": None,
        "columns": {"a": "int"},
    }  # fmt: skip


def test_the_identity_depends_on_the_parts_and_not_on_their_order() -> None:
    parts: dict[str, Any] = {"input": 1, "config": {"a": 1, "b": Path("/x")}}

    assert identity_of(parts) == identity_of({"config": {"b": Path("/x"), "a": 1}, "input": 1})
    assert identity_of(parts) != identity_of({**parts, "input": 2})
    assert different_parts(identity_of(parts), identity_of({**parts, "input": 2})) == ["input"]


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (None, None),
        (KeyboardInterrupt(), {"code": "INTERRUPTED", "message": "The run was interrupted."}),
        (OSError("password=hunter2 is wrong"), {"code": "OSError", "message": "password=*** is wrong"}),
    ],
)
def test_a_record_ends_with_its_state_and_the_error_without_secrets(
    error: BaseException | None, described: dict[str, str] | None
) -> None:
    record = new_record("a", None, {})

    ended = end_record(record, "FAIL", error).as_dict()

    assert (ended["state"], ended["error"]) == ("FAIL", described)
    assert ended["ended_at"] >= ended["started_at"]
    assert (record.state, record.ended_at) == ("RUNNING", None)


def test_an_error_of_ours_is_recorded_by_its_code() -> None:
    error = ScoringScriptError(code=ErrorCode.SCRIPT_RUN, what="it", next_step="Mend it.")

    assert end_record(new_record("a", None, {}), "FAIL", error).as_dict()["error"] == {
        "code": "SCRIPT_RUN",
        "message": str(error),
    }


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *settings, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_of_a_checkout_is_named_and_changes_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    assert git_commit_of(folder) is None
    git(tmp_path, "init", "--quiet")
    assert git_commit_of(folder) is None
    (folder / "score.py").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    git(tmp_path, "tag", "-a", "v1", "-m", "a tag is not what we want")
    commit = git(tmp_path, "rev-parse", "HEAD")

    assert git_commit_of(folder) == commit
    (folder / "score.py").write_text("two")
    assert git_commit_of(folder) == f"{commit}-dirty"


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert git_commit_of(tmp_path) is None


def test_values_that_a_model_does_not_know_are_added_up_and_warned_of() -> None:
    reports = [replace(REPORT, unseen=(("city", 2), ("site", 1))), REPORT, replace(REPORT, unseen=(("city", 1000),))]

    assert unseen_of(reports) == {"city": 1002, "site": 1}
    (told,) = [warning for warning in warnings_of(reports, None) if "categories" in warning]
    assert "'city' 1,002, 'site' 1" in told
    assert unseen_of([REPORT]) == {}


def test_what_stands_only_in_parts_and_broken_contracts_are_counted_and_warned_of() -> None:
    in_parts = replace(REPORT, scored_in_parts=10)
    with_bad_items = replace(REPORT, scored=9, failed=1, scored_in_parts=9)
    broken = replace(REPORT, mini_batch="0-7", scored=0, failed=10, is_contract_broken=True)

    counts = counts_of([REPORT, in_parts, with_bad_items, broken], None, None).as_dict()
    parts, contract = warnings_of([REPORT, in_parts, with_bad_items, broken], None)

    assert (counts["scored_in_parts"], counts["broken_contracts"]) == (19, 1)
    assert parts.startswith("1 of 4 mini-batches (10 items) failed as a whole and were scored in parts")
    assert contract.startswith("1 of 4 mini-batches (10 items) failed as a whole by a broken contract")
    assert "'0-7'" in contract
    assert warnings_of([REPORT, with_bad_items], None) == []
