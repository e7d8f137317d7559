from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sparkscore.stage import MiniBatchReport, StagedFile
from sparkscore.stage.chunks import count_chunks, forget_chunk, read_chunk, read_done_units, write_chunk

REPORT = MiniBatchReport(
    unit=3, mini_batch="3", place="3", items=2, scored=2, failed=0, rows=2, calls=1, seconds=0.1,
    scored_at=datetime(2026, 1, 1, tzinfo=UTC), worker="w1", loads=1,
    staged=(StagedFile("attempts/00003-a/part.parquet", 2, 4),),
)  # fmt: skip


def stage(folder: Path, text: str = "rows") -> None:
    path = folder / "attempts" / "00003-a" / "part.parquet"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_a_chunk_is_found_with_its_reports(tmp_path: Path) -> None:
    stage(tmp_path)
    assert count_chunks(tmp_path) == 0
    assert read_chunk(str(tmp_path), 3, 0) == []

    write_chunk(str(tmp_path), 3, 0, [REPORT])

    assert count_chunks(tmp_path) == 1
    assert read_chunk(str(tmp_path), 3, 0) == [REPORT]
    assert (read_chunk(str(tmp_path), 3, 1), read_chunk(str(tmp_path), 30, 0)) == ([], [])
    assert [path.name for path in (tmp_path / "done").iterdir()] == ["3-0"]


def test_of_two_attempts_at_a_chunk_the_first_counts(tmp_path: Path) -> None:
    stage(tmp_path)
    write_chunk(str(tmp_path), 3, 0, [REPORT])

    write_chunk(str(tmp_path), 3, 0, [replace(REPORT, worker="w2")])

    assert read_chunk(str(tmp_path), 3, 0) == [REPORT]


@pytest.mark.parametrize("file", [StagedFile("attempts/00003-a/part.parquet", 2, 5), StagedFile("gone", 1, 1)])
@pytest.mark.parametrize("kind", ["staged", "quarantined"])
def test_a_chunk_whose_files_are_not_whole_is_not_done(tmp_path: Path, file: StagedFile, kind: str) -> None:
    stage(tmp_path, "half")
    files: dict[str, Any] = {kind: (file,)}
    write_chunk(str(tmp_path), 3, 0, [replace(REPORT, **files)])

    assert read_chunk(str(tmp_path), 3, 0) == []
    assert count_chunks(tmp_path) == 0


def test_a_unit_is_done_when_its_chunks_cover_all_its_items(tmp_path: Path) -> None:
    stage(tmp_path)
    for unit, first, count in [(3, 0, 2), (3, 2, 1), (4, 0, 2), (5, 1, 2), (6, 0, 1)]:
        write_chunk(str(tmp_path), unit, first, [replace(REPORT, unit=unit)] * count)

    done = read_done_units(tmp_path, {3: 6, 4: 6, 5: 4, 7: 2})

    assert {unit: len(reports) for unit, reports in done.items()} == {3: 3}


def test_a_chunk_can_be_forgotten(tmp_path: Path) -> None:
    stage(tmp_path)
    write_chunk(str(tmp_path), 3, 0, [REPORT])

    forget_chunk(str(tmp_path), 3, 0)
    forget_chunk(str(tmp_path), 3, 0)

    assert count_chunks(tmp_path) == 0
