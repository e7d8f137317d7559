"""Files that changed between the worker that wrote them and the driver that publishes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pyarrow.parquet as pq
import pytest

from sparkscore.config import Output
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError, SinkError
from sparkscore.progress import SilentDisplay
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import new_record
from sparkscore.run import PreparedRun, execute, publish, staged_files, steps
from sparkscore.run.resume import resume
from sparkscore.run.staged_files import check_staged_files
from sparkscore.sinks import target_of
from sparkscore.spark.jobs import join_files
from sparkscore.stage import StagedFile
from tests.support.ledger import check_ledger

Ask = Callable[..., PreparedRun]


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-10]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"PAR1", b"PAR2", 1)),
        lambda file: file.unlink(),
    ],
    ids=["truncated", "another byte", "removed"],
)
def test_a_staged_file_that_changed_is_not_published_and_what_was_in_it_is_scored_again(
    session: Any, ask: Ask, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    held = execute(session, ask(publish="audit"), progress=SilentDisplay())
    file = max((Path(held.record["stage"]) / "attempts").rglob("*.parquet"))
    change(file)

    with pytest.raises(SinkError, match=r"\[STAGED_FILE_CHANGED\].*Nothing was published") as caught:
        publish(session, "night")

    assert file.name in str(caught.value)
    assert "sparkscore resume night" in caught.value.next_step
    assert not list((tmp_path / "out").glob("run_id=*"))


def test_files_as_they_were_written_are_published(session: Any, ask: Ask, files: Path, tmp_path: Path) -> None:
    execute(session, ask(publish="audit"), progress=SilentDisplay())

    run = publish(session, "night")

    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)


def change_a_file_before_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next run find that one of its files was changed after it was written."""

    def check_after_a_change(spark: Any, manifest: Any, stage: Any) -> None:
        monkeypatch.setattr(steps, "check_staged_files", check_staged_files)
        (stage.path / manifest.files[0].path).write_bytes(b"other")
        check_staged_files(spark, manifest, stage)

    monkeypatch.setattr(steps, "check_staged_files", check_after_a_change)


def test_after_a_changed_file_the_run_is_completed_by_its_id(
    session: Any, ask: Ask, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_a_file_before_the_check(monkeypatch)
    with pytest.raises(SinkError, match=r"\[STAGED_FILE_CHANGED\]"):
        execute(session, ask(), progress=SilentDisplay())
    before = len((files / "calls.log").read_text().split())

    run = resume(session, "night")

    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)
    assert 0 < len((files / "calls.log").read_text().split()) - before < 3


def published(folder: Path) -> list[Path]:
    return sorted((folder / "out" / "run_id=night").rglob("*.parquet"))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two files be many."""
    monkeypatch.setattr("sparkscore.sinks.file_number._FEW", 1)
    monkeypatch.setattr("sparkscore.sinks.file_number._TIMES", 1)


@pytest.mark.parametrize("settings", [{}, {"output__target_file_size": "64KB"}, {"chunk_size": 1}])
def test_each_unit_has_a_file_unless_files_are_joined(
    session: Any, ask: Ask, files: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    run = execute(session, ask(**settings), progress=SilentDisplay())

    assert len(published(tmp_path)) == (1 if "output__target_file_size" in settings else 3)
    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)
    assert sorted(pq.read_table(tmp_path / "out")["size"].to_pylist()) == [1, 2, 3]


@pytest.mark.usefixtures("few")
def test_too_many_files_are_joined_also_those_of_a_run_that_is_held(
    session: Any, ask: Ask, files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "sparkscore"):
        held = execute(session, ask(publish="audit"), progress=SilentDisplay())
    assert "3 files of the result were joined into 1" in caplog.text
    assert len(list((Path(held.record["stage"]) / "attempts").rglob("*.parquet"))) == 4

    run = publish(session, "night")

    assert len(published(tmp_path)) == 1
    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)


def jobs_that_join(monkeypatch: pytest.MonkeyPatch, join: Callable[..., Any]) -> list[Any]:
    """Note which groups of files each job joins."""
    jobs: list[Any] = []

    def noted(*arguments: Any) -> Any:
        jobs.append(arguments[2])
        return join(*arguments)

    monkeypatch.setattr(staged_files, "join_files", noted)
    return jobs


@pytest.mark.parametrize("settings", [{}, {"output__target_file_size": "64KB"}])
def test_the_files_of_the_quarantine_are_joined_as_those_of_the_result(
    session: Any, ask: Ask, files: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    for name in ("a.txt", "b.txt"):
        (files / name).write_text(f"{name} fails")

    run = execute(session, ask(settings__error_threshold=3, **settings), progress=SilentDisplay())

    quarantined = sorted((tmp_path / "out_quarantine" / "run_id=night").rglob("*.parquet"))
    assert len(quarantined) == (1 if settings else 2)
    assert sum(pq.read_metadata(file).num_rows for file in quarantined) == run.record["quarantine"]["rows"] == 2
    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)


@pytest.mark.usefixtures("few")
def test_too_many_files_of_the_quarantine_are_joined_in_the_job_that_joins_the_result(
    session: Any,
    ask: Ask,
    files: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in "defg":
        (files / f"{name}.txt").write_text(f"{name} fails" if name in "de" else name)
    jobs = jobs_that_join(monkeypatch, join_files)

    with caplog.at_level("INFO", "sparkscore"):
        run = execute(session, ask(settings__error_threshold=3), progress=SilentDisplay())

    assert [len(groups) for groups in jobs] == [2]
    assert "3 files of the result were joined into 1" in caplog.text
    assert "2 files of the quarantine were joined into 1" in caplog.text
    assert len(list((tmp_path / "out_quarantine" / "run_id=night").rglob("*.parquet"))) == 1
    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)


@pytest.mark.parametrize("target_file_size", [None, "64KB"])
@pytest.mark.parametrize("reason", [None, "mode overwrite replaces rows"])
@pytest.mark.usefixtures("few")
def test_files_whose_rows_spark_must_write_again_are_not_joined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reason: str | None, target_file_size: str | None
) -> None:
    jobs = jobs_that_join(monkeypatch, lambda *_: [None])
    monkeypatch.setattr(staged_files, "has_other_hosts", lambda _: False)
    monkeypatch.setattr(staged_files, "task_slots", lambda _: 1)
    monkeypatch.setattr(staged_files, "why_not_table", lambda *_: reason)
    files = tuple(StagedFile(f"attempts/{number}-0/a.parquet", 1, 100) for number in range(9))
    manifest = Manifest(files, (), {"id": "bigint"}, {}, new_record("night", None, {}))
    config = Output.model_validate({"location": str(tmp_path / "out"), "target_file_size": target_file_size})
    sink: Any = SimpleNamespace(format="delta", target=target_of(config, "night", "run_id"))

    staged_files.join_small_files(None, manifest, MagicMock(), (sink, sink))  # type: ignore[arg-type]

    assert jobs == ([] if reason else [[files]])


@pytest.mark.usefixtures("few")
def test_files_that_cannot_be_joined_are_published_as_they_are(
    session: Any, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> list[None]:
        raise ScoringError(code=ErrorCode.SPARK_JOB, what="the Spark job", got="a lost executor", next_step="Repeat.")

    monkeypatch.setattr(staged_files, "join_files", fail)

    execute(session, ask(), progress=SilentDisplay())

    assert "small files of the result could not be joined: the Spark job: got a lost executor" in caplog.text
    assert len(published(tmp_path)) == 3


@pytest.mark.usefixtures("few")
def test_after_a_change_of_a_joined_file_it_is_joined_again(
    session: Any, ask: Ask, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_a_file_before_the_check(monkeypatch)
    with pytest.raises(SinkError, match=r"\[STAGED_FILE_CHANGED\]"):
        execute(session, ask(), progress=SilentDisplay())

    run = resume(session, "night")

    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)
    assert len(published(tmp_path)) == 1
    assert len((files / "calls.log").read_text().split()) == 3
