from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sparkscore.errors import ConfigError
from sparkscore.sinks.stage import clean_stages, staged_in
from sparkscore.sinks.target import Target
from sparkscore.stage_names import MARKER


def target_of(path: Path, run_id: str = "march") -> Target:
    return Target(path, "append", (), run_id, "run_id")


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("the user's")
    return path


def dead_stage(holder: Path, run_id: str = "dead") -> Path:
    for name in (MARKER, "identity", "done/0-0", f"attempts/00000-{'a' * 32}/day=1/part-00000-{'a' * 32}-0001.parquet"):
        write(holder / run_id / name)
    return holder / run_id


@pytest.mark.parametrize("kind", ["folder", "file", "link", "link to a stage"])
def test_what_the_user_has_at_the_place_of_a_stage_is_refused_and_stays(tmp_path: Path, kind: str) -> None:
    stage, theirs = tmp_path / "scratch" / "march", tmp_path / "elsewhere"
    stage.parent.mkdir()
    if kind == "folder":
        kept = write(stage / "data.csv")
    elif kind == "file":
        kept = write(stage)
    else:
        kept = write(theirs / "data.csv") if kind == "link" else dead_stage(theirs.parent, theirs.name) / "identity"
        stage.symlink_to(theirs, target_is_directory=True)

    with (
        pytest.raises(ConfigError, match=r"\[STAGE_NOT_OURS\].*output.stage"),
        staged_in(target_of(tmp_path / "out"), str(stage.parent), "id", is_moved=True),
    ):
        pytest.fail("the run began")

    clean_stages(stage.parent)
    assert kept.exists()
    assert not list(stage.parent.glob("*.lock"))


def test_what_the_user_puts_into_a_stage_is_left_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, "sparkscore"),
        staged_in(target_of(tmp_path / "out"), str(tmp_path / "scratch"), "id", is_moved=True) as stage,
    ):
        kept = write(stage.path / "notes.txt"), write(stage.path / "attempts" / "data.csv")
        gone = write(stage.path / "done" / "0-0")

    assert [path.exists() for path in (*kept, gone)] == [True, True, False]
    assert "attempts/data.csv" in caplog.text
    assert "notes.txt" in caplog.text


def test_clean_in_a_shared_folder_removes_stages_only(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    kept = write(shared / "colleague" / "data.csv"), write(shared / "poetry.lock"), write(shared / "a.lock.bak")
    stage = dead_stage(shared)

    removed = clean_stages(shared)

    assert [item.path for item in removed] == [stage]
    assert not stage.exists()
    assert sorted(path.relative_to(shared).as_posix() for path in shared.rglob("*") if path.is_file()) == sorted(
        path.relative_to(shared).as_posix() for path in kept
    )


def test_a_file_named_like_the_runs_lock_is_refused_and_stays(tmp_path: Path) -> None:
    kept = write(tmp_path / "scratch" / "poetry.lock")

    with (
        pytest.raises(ConfigError, match="RUN_LOCK_FOREIGN"),
        staged_in(target_of(tmp_path / "out", "poetry"), str(kept.parent), "id", is_moved=True),
    ):
        pytest.fail("the run began")
    assert kept.read_text() == "the user's"


@pytest.mark.parametrize("is_new", [True, False])
def test_a_folder_for_stages_may_be_new_or_the_users(tmp_path: Path, is_new: bool) -> None:  # noqa: FBT001
    kept = None if is_new else write(tmp_path / "scratch" / "data.csv")

    with staged_in(target_of(tmp_path / "out"), str(tmp_path / "scratch"), "id", is_moved=True) as stage:
        write(stage.path / "plan.parquet")

    assert (tmp_path / "scratch").exists() == (not is_new)
    assert kept is None or kept.exists()
