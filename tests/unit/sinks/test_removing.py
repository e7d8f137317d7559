"""Tests of the removal of stages."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from sparkscore.sinks.cleaning import clean_stages
from sparkscore.stage.layout import MARKER
from sparkscore.stage.local_store import LocalStore


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    folder = tmp_path / "dead"
    for name in (MARKER, "identity", "done/0-0"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("1")
    return folder


def test_a_stage_with_a_file_that_cannot_be_removed_is_left_and_named(
    stage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    remove = LocalStore._do_remove

    def refuse(self: LocalStore, path: Path) -> None:
        if path.name == "0-0":
            raise OSError(errno.EACCES, "Permission denied", str(path))
        remove(self, path)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "sparkscore"):
        patch.setattr(LocalStore, "_do_remove", refuse)
        assert clean_stages(stage.parent) == []

    assert (stage / "done" / "0-0").exists()
    (warning,) = caplog.messages
    for part in (f"left '{stage}'", "Permission denied", "'done/0-0'", "'sparkscore clean'"):
        assert part in warning
    assert [removed.path for removed in clean_stages(stage.parent)] == [stage]
    assert not stage.exists()


def test_a_stage_that_cannot_be_listed_is_left_and_named(
    stage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scan = LocalStore._do_scan

    def refuse(self: LocalStore, folder: Path) -> object:
        if folder.name == "done":
            raise OSError(errno.EACCES, "Permission denied", str(folder))
        return scan(self, folder)

    monkeypatch.setattr(LocalStore, "_do_scan", refuse)
    with caplog.at_level(logging.WARNING, "sparkscore"):
        assert clean_stages(stage.parent) == []

    assert "with files that cannot be listed" in caplog.text


def test_a_folder_that_is_not_empty_after_the_removal_is_left_and_named(
    stage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(LocalStore, "_do_drop", lambda *_: False)

    with caplog.at_level(logging.WARNING, "sparkscore"):
        assert clean_stages(stage.parent) == []

    assert (stage / MARKER).exists()
    assert f"left '{stage}', which could not be removed (the folder is not empty)" in caplog.text
