from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from pyspark.sql import SparkSession

from sparkscore.config import Input
from sparkscore.errors import SourceError
from sparkscore.sources.file_list import FileListSource

NO_SPARK = cast("SparkSession", None)


def test_files_are_pinned_without_spark(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"12")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "_hidden").write_bytes(b"1")

    source = FileListSource(NO_SPARK, Input(location=(str(tmp_path),)))

    snapshot = source.snapshot
    assert (snapshot.item_type, snapshot.items, snapshot.size_bytes) == ("files", 2, 2)
    assert [Path(file.path).name for file in snapshot.files] == ["a.png", "empty"]
    assert (snapshot.location, len(snapshot.skipped)) == (str(tmp_path), 1)
    assert source.frame() is None
    source.check_unchanged()


def test_several_locations_are_told_as_a_list(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("b", "a")]
    for name in names:
        Path(name).write_text(name)

    source = FileListSource(NO_SPARK, Input(location=tuple(names)))

    assert source.snapshot.location == names


def test_a_file_that_comes_later_is_not_scored_and_one_that_changes_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    source = FileListSource(NO_SPARK, Input(location=(str(tmp_path),)))

    (tmp_path / "b").write_text("b")
    source.check_unchanged()
    (tmp_path / "a").write_text("changed")

    assert source.snapshot.items == 1
    assert source.snapshot.version != FileListSource(NO_SPARK, Input(location=(str(tmp_path),))).snapshot.version
    with pytest.raises(SourceError, match="INPUT_CHANGED"):
        source.check_unchanged()
