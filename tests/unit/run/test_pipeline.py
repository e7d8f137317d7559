"""A whole run over files, without Spark: the steps in their order, and what each leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.errors import ErrorThresholdExceededError, MissingDependencyError, ScoringScriptError
from sparkscore.progress import SilentDisplay
from sparkscore.record.listing import read_record
from sparkscore.run import PreparedRun, execute, score
from tests.support.ledger import check_ledger, read_table

Ask = Callable[..., PreparedRun]


def run(session: Any, prepared: PreparedRun) -> Any:
    return execute(session, prepared, progress=SilentDisplay())


def keys_in(files: Path) -> list[str]:
    return [str(path) for path in sorted(files.glob("*.txt"))]


def calls_in(files: Path) -> list[str]:
    return sorted((files / "calls.log").read_text().split())


def test_each_file_is_scored_and_published_once(session: Any, ask: Ask, files: Path, tmp_path: Path) -> None:
    done = run(session, ask())

    check_ledger(done.record, tmp_path / "runs", keys_in(files), key=None)
    assert sorted(read_table(tmp_path / "out")["size"].to_pylist()) == [1, 2, 3]
    assert calls_in(files) == ["a.txt", "b.txt", "c.txt"]
    assert done.record["counts"]["mini_batches"] == 3
    assert read_record(tmp_path / "runs", "night") == done.recorded


def test_a_session_of_another_spark_is_refused_before_anything_is_read(session: Any, ask: Ask, files: Path) -> None:
    session.version = "3.5.6"

    with pytest.raises(
        MissingDependencyError, match=r"\[SPARK_VERSION\].*got a session of Spark 3\.5, expected one of"
    ):
        run(session, ask())

    assert not (files / "calls.log").exists()


def test_a_run_that_is_complete_is_not_run_again(session: Any, ask: Ask, files: Path) -> None:
    first = run(session, ask())

    again = run(session, ask())

    assert again.record == first.record
    assert calls_in(files) == ["a.txt", "b.txt", "c.txt"]


def test_files_that_are_tolerated_go_to_the_quarantine(session: Any, ask: Ask, files: Path, tmp_path: Path) -> None:
    (files / "b.txt").write_text("fails")

    done = run(session, ask(settings__error_threshold=1))

    check_ledger(done.record, tmp_path / "runs", keys_in(files), key=None)
    assert read_table(tmp_path / "out_quarantine")["source_file"].to_pylist() == [str(files / "b.txt")]


def test_a_file_that_fails_fails_the_run_and_nothing_is_published(
    session: Any, ask: Ask, files: Path, tmp_path: Path
) -> None:
    (files / "b.txt").write_text("fails")

    with pytest.raises(ScoringScriptError, match=r"\[SCRIPT_RUN\].*ValueError.*Nothing was published") as caught:
        run(session, ask())

    assert caught.value.record is not None
    assert caught.value.record["state"] == read_record(tmp_path / "runs", "night").state == "FAIL"
    assert not list((tmp_path / "out").glob("run_id=*"))


def test_more_failures_than_are_tolerated_stop_the_run(session: Any, ask: Ask, files: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (files / name).write_text("fails")

    with pytest.raises(ErrorThresholdExceededError, match="ERROR_THRESHOLD"):
        run(session, ask(settings__error_threshold=1))


def test_a_run_that_is_held_shows_no_rows(session: Any, ask: Ask, files: Path, tmp_path: Path) -> None:
    held = run(session, ask(publish="audit"))

    assert held.record["state"] == "HELD"
    assert Path(held.record["stage"]).is_dir()
    assert not list((tmp_path / "out").glob("run_id=*"))
    assert calls_in(files) == ["a.txt", "b.txt", "c.txt"]


def test_score_prepares_and_executes(session: Any, ask: Ask, files: Path, tmp_path: Path) -> None:
    ask()

    done = score(session, tmp_path / "deployment" / "deployment.yml", run_id="other")

    check_ledger(done.record, tmp_path / "runs", keys_in(files), key=None)
