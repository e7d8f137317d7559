from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sparkscore.worker import MiniBatchReport, StagedFile
from sparkscore.worker.done import has_done, read_done, write_done

REPORT = MiniBatchReport(
    unit=3, mini_batch="3", items=2, scored=2, failed=0, rows=2, calls=1, seconds=0.1,
    scored_at=datetime(2026, 1, 1, tzinfo=UTC), worker="w1", loads=1,
    staged=(StagedFile("attempts/00003-a/part.parquet", 2, 4),),
)  # fmt: skip


def stage(folder: Path, text: str = "rows") -> None:
    path = folder / "attempts" / "00003-a" / "part.parquet"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_a_unit_that_is_done_is_found_with_its_reports(tmp_path: Path) -> None:
    stage(tmp_path)
    assert not has_done(tmp_path)

    write_done(str(tmp_path), 3, [REPORT])

    assert has_done(tmp_path)
    assert read_done(tmp_path) == {3: [REPORT]}
    assert [path.name for path in (tmp_path / "done").iterdir()] == ["3"]


def test_of_two_attempts_at_a_unit_the_first_counts(tmp_path: Path) -> None:
    stage(tmp_path)
    write_done(str(tmp_path), 3, [REPORT])

    write_done(str(tmp_path), 3, [replace(REPORT, worker="w2")])

    assert read_done(tmp_path) == {3: [REPORT]}


def test_a_unit_whose_files_are_not_all_there_is_not_done(tmp_path: Path) -> None:
    stage(tmp_path, "half")
    write_done(str(tmp_path), 3, [replace(REPORT, staged=(StagedFile("attempts/00003-a/part.parquet", 2, 5),))])
    write_done(str(tmp_path), 4, [replace(REPORT, unit=4, staged=(StagedFile("attempts/gone.parquet", 1, 1),))])

    assert read_done(tmp_path) == {}
    assert not has_done(tmp_path)
