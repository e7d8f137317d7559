from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkscore.spark.user_cache import is_ours_alone, read_fact, user_cache, write_fact


def test_the_cache_is_made_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))

    found = user_cache()

    assert found == tmp_path / "caches" / "sparkscore"
    assert found.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("given", ["", "relative/path"])
def test_without_such_a_folder_it_is_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert user_cache() == tmp_path / ".cache" / "sparkscore"


@pytest.mark.parametrize("case", ["a file", "others may write", "a link", "a folder that cannot be made"])
def test_a_folder_that_is_not_safe_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "sparkscore"
    if case == "a file":
        folder.write_text("taken")
    elif case == "others may write":
        folder.mkdir()
        folder.chmod(0o777)
    elif case == "a link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")

    assert user_cache() is None


def test_a_file_of_somebody_else_is_not_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o600)
    assert is_ours_alone(tmp_path / "file")

    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_123)

    assert not is_ours_alone(tmp_path / "file")


def test_facts_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_fact(tmp_path / "fact.json", ["/a.jar", 12])

    assert read_fact(tmp_path / "fact.json") == ["/a.jar", 12]
    assert [path.name for path in tmp_path.iterdir()] == ["fact.json"]


def test_a_fact_that_cannot_be_used_is_none(tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('["/a.jar"')
    (tmp_path / "shared.json").write_text("[]")
    (tmp_path / "shared.json").chmod(0o666)

    assert [read_fact(tmp_path / name) for name in ("none.json", "torn.json", "shared.json")] == [None] * 3


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    write_fact(tmp_path / "none" / "fact.json", [])

    assert not list(tmp_path.iterdir())
