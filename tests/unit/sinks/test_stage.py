from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from sparkscore.errors import ConfigError, SinkError
from sparkscore.sinks.cleaning import Removed, clean_stages
from sparkscore.sinks.stage import shown_in, staged_in
from sparkscore.sinks.target import Target
from sparkscore.stage.layout import MARKER, STAGE_FOLDER, unfinished


def target_of(path: Path, run_id: str = "march") -> Target:
    return Target(path, "append", (), run_id, "run_id")


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("the user's")
    return path


def dead_stage(holder: Path, run_id: str = "dead") -> Path:
    for name in ("identity", "done/0-0", f"attempts/00000-{'a' * 32}/day=1/part-00000-{'a' * 32}-0001.parquet"):
        write(holder / run_id / name)
    (holder / run_id / MARKER).touch()
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


@pytest.mark.parametrize("content", ["", "{", '{"tok'])
def test_a_file_that_may_be_the_beginning_of_a_lock_stays_in_a_folder_of_the_users(
    tmp_path: Path, content: str
) -> None:
    kept, other = write(tmp_path / "scratch" / "poetry.lock"), write(tmp_path / "scratch" / "notes.lock")
    for file in (kept, other):
        file.write_text(content)
        os.utime(file, (0, 0))

    with (
        pytest.raises(ConfigError, match="RUN_LOCK_FOREIGN"),
        staged_in(target_of(tmp_path / "out", "poetry"), str(kept.parent), "id", is_moved=True),
    ):
        pytest.fail("the run began")
    assert clean_stages(kept.parent) == []
    assert [file.read_text() for file in (kept, other)] == [content, content]


def test_a_beginning_of_a_lock_among_our_own_stops_nobody(tmp_path: Path) -> None:
    torn = write(tmp_path / "out" / "_sparkscore" / "march.lock")
    torn.write_text("")
    os.utime(torn, (0, 0))

    with staged_in(target_of(tmp_path / "out"), None, "id", is_moved=True) as stage:
        assert stage.path.is_dir()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_folder_for_stages_may_be_new_or_the_users(tmp_path: Path, is_new: bool) -> None:  # noqa: FBT001
    kept = None if is_new else write(tmp_path / "scratch" / "data.csv")

    with staged_in(target_of(tmp_path / "out"), str(tmp_path / "scratch"), "id", is_moved=True) as stage:
        write(stage.path / "plan.parquet")

    assert (tmp_path / "scratch").exists() == (not is_new)
    assert kept is None or kept.exists()


@pytest.mark.parametrize(
    ("output", "stage", "run_id"),
    [
        ("results/pred", "results", "pred"),
        ("results/pred", "results", "pred_quarantine"),
        ("results", "results", "march"),
        ("results", "results/stage", "march"),
        ("results/march/pred", "results", "march"),
    ],
)
def test_a_stage_that_is_or_holds_an_output_is_refused(tmp_path: Path, output: str, stage: str, run_id: str) -> None:
    with (
        pytest.raises(ConfigError, match="STAGE_OVERLAP"),
        staged_in(target_of(tmp_path / output, run_id), str(tmp_path / stage), "id", is_moved=True),
    ):
        pytest.fail("the run began")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("output", "stage"), [("results/pred", "results"), ("results", "results/_stage"), ("results", "runs/stage")]
)
def test_a_stage_beside_an_output_is_allowed_and_clean_leaves_the_output(
    tmp_path: Path, output: str, stage: str
) -> None:
    kept = write(tmp_path / output / "run_id=one" / "part-0.parquet")

    with staged_in(target_of(tmp_path / output), str(tmp_path / stage), "id", is_moved=True):
        pass

    dead_stage(tmp_path / stage)
    assert len(clean_stages(tmp_path / stage)) == 1
    assert kept.exists()


def test_a_folder_for_stages_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "scratch").symlink_to(tmp_path / "real", target_is_directory=True)

    with staged_in(target_of(tmp_path / "out"), str(tmp_path / "scratch"), "id", is_moved=True) as stage:
        assert (tmp_path / "real" / "march" / MARKER).is_file()
        assert stage.path.is_dir()

    assert list((tmp_path / "real").iterdir()) == []


def test_what_the_user_has_in_a_folder_named_like_ours_stays(tmp_path: Path) -> None:
    kept = write(tmp_path / "out" / "_sparkscore" / "march" / "data.csv")

    with (
        pytest.raises(ConfigError, match="STAGE_NOT_OURS"),
        staged_in(target_of(tmp_path / "out"), None, "id", is_moved=True),
    ):
        pytest.fail("the run began")
    assert clean_stages(tmp_path / "out" / "_sparkscore") == []
    assert kept.exists()


def test_a_dry_clean_names_what_would_go_and_its_size_and_removes_nothing(tmp_path: Path) -> None:
    stage = dead_stage(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    looked = clean_stages(tmp_path, is_dry=True)

    assert sorted(tmp_path.rglob("*")) == before
    assert looked == [Removed(stage, sum(path.stat().st_size for path in stage.rglob("*") if path.is_file()))]
    assert clean_stages(tmp_path) == looked


@pytest.mark.parametrize("kept", ["held", "done/0-0"])
def test_a_stage_that_lost_its_identity_is_refused_and_its_rows_stay(tmp_path: Path, kept: str) -> None:
    stage = dead_stage(tmp_path / "out" / "_sparkscore", "march")
    (stage / "identity").unlink()
    (stage / "done" / "0-0").unlink()
    write(stage / kept)

    with (
        pytest.raises(ConfigError, match=r"\[STAGE_CHANGED\].*no file 'identity'"),
        staged_in(target_of(tmp_path / "out"), None, "a:1", is_moved=False),
    ):
        pass

    assert list(stage.rglob("*.parquet"))


def test_an_identity_that_was_written_over_is_another_request(tmp_path: Path) -> None:
    stage = dead_stage(tmp_path / "out" / "_sparkscore", "march")
    (stage / "identity").write_text("mine")

    with (
        pytest.raises(ConfigError, match="RUN_ID_USED"),
        staged_in(target_of(tmp_path / "out"), None, "a:1", is_moved=False),
    ):
        pass

    assert list(stage.rglob("*.parquet"))


def test_an_output_that_is_a_circle_of_links_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "out")

    with (
        pytest.raises(SinkError, match="OUTPUT_NOT_WRITABLE"),
        staged_in(target_of(tmp_path / "out"), None, "a:1", is_moved=False),
    ):
        pass


def test_a_driver_that_died_before_the_mark_was_written_is_in_nobodys_way(tmp_path: Path) -> None:
    begun = tmp_path / "out" / STAGE_FOLDER / "march" / unfinished(MARKER, "0" * 32)
    write(begun)

    with staged_in(target_of(tmp_path / "out"), None, "id", is_moved=True) as stage:
        assert stage.path == begun.parent
    assert not begun.parent.exists()

    write(begun)
    clean_stages(begun.parents[1])
    assert not begun.parents[1].exists()


def test_what_a_killed_driver_left_of_a_check_is_removed_by_the_next_one(tmp_path: Path) -> None:
    holder = tmp_path / "out" / STAGE_FOLDER
    dead_stage(holder, f"march-shown-{'a' * 32}")
    of_another_run = dead_stage(holder, f"april-shown-{'b' * 32}")
    of_the_user = write(holder / f"march-shown-{'c' * 32}" / "notes.txt")

    with shown_in(target_of(tmp_path / "out")) as folder:
        assert Path(folder.location).parent == holder

    assert sorted(holder.iterdir()) == sorted([of_another_run, of_the_user.parent])


def test_nothing_is_left_of_a_check_if_a_driver_before_was_killed(tmp_path: Path) -> None:
    dead_stage(tmp_path / "out" / STAGE_FOLDER, f"march-shown-{'a' * 32}")

    with shown_in(target_of(tmp_path / "out")):
        pass

    assert not (tmp_path / "out" / STAGE_FOLDER).exists()
