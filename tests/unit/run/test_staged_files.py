"""Files that changed between the worker that wrote them and the driver that publishes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparkscore.errors import SinkError
from sparkscore.progress import SilentDisplay
from sparkscore.run import PreparedRun, execute, publish, resume, steps
from sparkscore.run.staged_files import check_staged_files
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


def test_after_a_changed_file_the_run_is_completed_by_its_id(
    session: Any, ask: Ask, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_after_a_change(spark: Any, manifest: Any, stage: Any) -> None:
        monkeypatch.setattr(steps, "check_staged_files", check_staged_files)
        (stage.path / manifest.files[0].path).write_bytes(b"other")
        check_staged_files(spark, manifest, stage)

    monkeypatch.setattr(steps, "check_staged_files", check_after_a_change)
    with pytest.raises(SinkError, match=r"\[STAGED_FILE_CHANGED\]"):
        execute(session, ask(), progress=SilentDisplay())
    before = len((files / "calls.log").read_text().split())

    run = resume(session, "night")

    check_ledger(run.record, tmp_path / "runs", [str(path) for path in files.glob("*.txt")], key=None)
    assert 0 < len((files / "calls.log").read_text().split()) - before < 3
