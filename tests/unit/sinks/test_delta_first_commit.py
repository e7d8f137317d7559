from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.errors import SinkConflictError, SinkError
from sparkscore.sinks import StagedResult, Target, first_commit_began, staged_in
from sparkscore.sinks.delta import DeltaSink


def sink_of(path: Path) -> DeltaSink:
    return DeltaSink(None, Target(path, "append", (), "march", "run_id"))  # type: ignore[arg-type]


def like_sparks(folder: Path) -> list[Path]:
    files = [
        folder / "part-00000-a.parquet",
        folder / "day=1" / "part-00001-b.parquet",
        folder / "_delta_log" / "x.tmp",
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("the user's")
    return files


def test_files_that_look_like_sparks_are_refused_where_this_run_has_begun_no_commit(tmp_path: Path) -> None:
    """Such as those at another output of a held run's id."""
    sink, files = sink_of(tmp_path / "out"), like_sparks(tmp_path / "out")
    # Beside a log without a commit, files may be those of another run's first commit, which is on its way.
    came = tmp_path / "came" / "part-00000-a.parquet"
    came.parent.mkdir()
    came.write_text("the user's")

    with staged_in(sink_of(tmp_path / "other").target, str(tmp_path / "scratch"), "id", is_moved=False) as stage:
        begun = sink_of(tmp_path / "other")
        begun._check_first_commit(stage)
        assert first_commit_began(stage, begun.target)
        is_retried = first_commit_began(stage, sink.target)
        with pytest.raises(SinkConflictError, match="OUTPUT_NOT_A_TABLE"):
            sink.check_target(is_retried=is_retried)
        with pytest.raises(SinkConflictError, match="OUTPUT_NOT_A_TABLE"):
            sink_of(came.parent).publish(StagedResult(stage, (), None, {}))  # type: ignore[arg-type]

    assert all(file.exists() for file in [*files, came])


def test_what_a_failed_first_commit_left_stays_and_does_not_stop_the_next_attempt(tmp_path: Path) -> None:
    sink = sink_of(tmp_path / "out")

    with staged_in(sink.target, str(tmp_path / "scratch"), "id", is_moved=False) as stage:
        sink._check_first_commit(stage)
        files = like_sparks(tmp_path / "out")
        sink.check_target(is_retried=first_commit_began(stage, sink.target))
        sink._check_first_commit(stage)

    assert all(file.exists() for file in files)
    assert not (tmp_path / "scratch").exists()


def test_a_full_disk_before_the_first_commit_is_a_failure_to_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    sink = sink_of(tmp_path / "out")
    with staged_in(sink.target, str(tmp_path / "scratch"), "id", is_moved=False) as stage:
        monkeypatch.setattr("sparkscore.sinks.delta.note_first_commit", full)
        with pytest.raises(SinkError, match=r"\[PUBLISH_FAILED\].*No space left.*as it was before the run"):
            sink._check_first_commit(stage)
