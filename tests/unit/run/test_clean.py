"""Clean: what dead runs have left is removed, and of none is said that it is over while its rows may be there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sparkscore
from sparkscore.config import Deployment
from sparkscore.record.listing import read_record
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import COMPLETE, FAIL, HELD, RUNNING, RecordedOutput, new_record
from sparkscore.record.runs_folder import RunFolder
from sparkscore.sinks.stage import is_held_in, staged_in
from sparkscore.sinks.target import Target
from sparkscore.stage.lock import RunLock

Write = Callable[..., RunFolder]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Leave a run, with a stage, as its driver left it."""

    def make(state: str, *, runs: str = "runs", holds: bool = False, publishes: bool = False) -> RunFolder:
        folder, out = RunFolder(tmp_path / runs, "night"), tmp_path / "out"
        folder.create()
        target = Target(out, "append", (), "night", "run_id")
        with staged_in(target, None, "id", is_moved=False, run_folder=folder.path) as stage:
            stage.is_kept = True
        config = Deployment.model_validate({"output": {"location": str(out), "format": "parquet"}}).effective()
        output = RecordedOutput(format="parquet", location=str(out), columns={"x": "int"} if publishes else None)
        record = new_record("night", None, config).noting(
            state=state, output=output, identity="id", stage=str(stage.path) if holds else None
        )
        folder.write_record(record)
        if publishes or holds:
            folder.write_manifest(Manifest((), (), {"x": "int"}, {}, record))
        return folder

    return make


def stage_in(tmp_path: Path) -> Path:
    return tmp_path / "out" / "_sparkscore" / "night"


@pytest.mark.parametrize("state", [RUNNING, FAIL])
def test_a_dead_run_is_cleaned(write: Write, tmp_path: Path, state: str) -> None:
    write(state)

    looked, cleaned = sparkscore.clean(dry_run=True), sparkscore.clean()

    assert cleaned == looked | {"dry_run": False}
    assert cleaned["ended"] == (["night"] if state == RUNNING else [])
    assert [removed["path"] for removed in cleaned["removed"]] == [str(stage_in(tmp_path))]
    assert read_record(tmp_path / "runs", "night").state == ("ABORT" if state == RUNNING else FAIL)
    assert sparkscore.clean()["removed"] == []


@pytest.mark.parametrize("state", [HELD, FAIL, RUNNING])
def test_what_was_held_is_left_whatever_publishing_it_ended_with(write: Write, tmp_path: Path, state: str) -> None:
    write(state, holds=True, publishes=True)

    cleaned = sparkscore.clean()

    assert (cleaned["removed"], cleaned["ended"]) == ([], [])
    assert stage_in(tmp_path).is_dir()
    assert read_record(tmp_path / "runs", "night").state == state
    assert not (stage_in(tmp_path) / "held").exists()


def test_a_held_run_is_left_by_those_who_keep_their_runs_elsewhere(write: Write, tmp_path: Path) -> None:
    write(HELD, runs="theirs", holds=True)

    assert sparkscore.clean([tmp_path / "out"], runs=tmp_path / "mine")["removed"] == []
    assert stage_in(tmp_path).is_dir()


def test_where_nobody_can_tell_whether_a_run_is_held_its_stage_is_left(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(HELD, runs="theirs", holds=True)
    (tmp_path / "theirs").rename(tmp_path / "on another host")

    assert sparkscore.clean([tmp_path / "out"])["removed"] == []
    assert stage_in(tmp_path).is_dir()
    assert "remove the stage yourself" in caplog.text


def test_a_stage_whose_run_was_removed_is_cleaned(write: Write, tmp_path: Path) -> None:
    folder = write(HELD, holds=True)
    folder.path.rename(tmp_path / "removed")

    assert len(sparkscore.clean([tmp_path / "out"])["removed"]) == 1


def test_a_complete_run_holds_nothing(write: Write, tmp_path: Path) -> None:
    write(COMPLETE, holds=True)

    assert not is_held_in(stage_in(tmp_path))


def test_a_stage_that_an_earlier_version_held_is_left(write: Write, tmp_path: Path) -> None:
    write(FAIL)
    (stage_in(tmp_path) / "run").unlink()
    (stage_in(tmp_path) / "held").touch()

    assert sparkscore.clean()["removed"] == []
    assert stage_in(tmp_path).is_dir()


def test_a_run_whose_driver_died_while_it_published_is_not_said_to_be_over(write: Write, tmp_path: Path) -> None:
    write(RUNNING, publishes=True)

    cleaned = sparkscore.clean()

    assert (cleaned["ended"], cleaned["undecided"]) == ([], ["night"])
    assert read_record(tmp_path / "runs", "night").state == RUNNING


def test_a_run_that_is_taken_up_meanwhile_is_not_ended(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(RUNNING)
    enter = RunLock.__enter__

    def enter_later(lock: RunLock) -> RunLock:
        if lock._path == folder.lock_file:
            folder.write_record(read_record(tmp_path / "runs", "night").noting(state=COMPLETE))
        return enter(lock)

    monkeypatch.setattr(RunLock, "__enter__", enter_later)

    assert sparkscore.clean()["ended"] == []
    assert read_record(tmp_path / "runs", "night").state == COMPLETE


def test_the_command_line_prints_what_python_returns(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sparkscore.cli import run_command_line  # noqa: PLC0415 - the command line is the subject

    write(RUNNING, publishes=True)
    said = sparkscore.clean(dry_run=True)

    assert run_command_line(["clean", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == said
    assert run_command_line(["clean"]) == 0
    assert "left    night: its driver died while it published" in capsys.readouterr().out
    shown: dict[str, Any] = sparkscore.show_run("night")
    assert run_command_line(["runs", "show", "night", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == shown
    assert run_command_line(["runs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == sparkscore.list_runs() == [shown]
    assert tmp_path.is_dir()
