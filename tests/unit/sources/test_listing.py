from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.errors import ConfigError, SourceError, SourceNotFoundError
from sparkscore.plan import InputFile
from sparkscore.sources.listing import (
    HIDDEN,
    NAMED_TWICE,
    NOT_A_FILE,
    Listing,
    is_hidden,
    list_files,
)
from sparkscore.survey import each_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for name in ("b.csv", "a.csv", "deep/er/c.csv", "day=1/d.csv", "_p=1/e.csv", "empty.csv"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "empty.csv" else name)
    return folder


def names_in(listing: Listing, folder: Path) -> list[str]:
    return [str(Path(file.path).relative_to(folder)) for file in listing.files]


def test_a_folder_is_listed_with_everything_below_sorted_by_path(folder: Path) -> None:
    listing = list_files([str(folder)])

    assert names_in(listing, folder) == ["_p=1/e.csv", "a.csv", "b.csv", "day=1/d.csv", "deep/er/c.csv", "empty.csv"]
    assert (listing.skipped, listing.folder) == ({}, folder)
    status = (folder / "a.csv").stat()
    assert listing.files[1] == InputFile(str(folder / "a.csv"), status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize("name", ["_SUCCESS", ".part.crc", "_delta_log/0.json", ".hidden/x.csv", "x.csv._COPYING_"])
@pytest.mark.parametrize("location", ["in", "in/*", "in/"])
def test_hidden_files_are_left_out_and_counted(name: str, location: str, folder: Path) -> None:
    before = list_files([str(folder)]).files
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")

    listing = list_files([str(folder.parent / location)])

    assert listing.files == before
    # A glob does not match a leading dot at all.
    assert listing.skipped == ({} if location == "in/*" and name.startswith(".") else {HIDDEN: 1})


def test_a_hidden_file_that_is_named_is_listed(folder: Path) -> None:
    (folder / "_SUCCESS").write_text("")

    assert names_in(list_files([str(folder / "_SUCCESS")]), folder) == ["_SUCCESS"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("in/?.csv", ["a.csv", "b.csv"]),
        ("in/[a]*", ["a.csv"]),
        ("in/**/c.csv", ["deep/er/c.csv"]),
        ("i*/deep", ["deep/er/c.csv"]),
    ],
)
def test_globs_are_understood(pattern: str, found: list[str], folder: Path) -> None:
    listing = list_files([str(folder.parent / pattern)])

    assert (names_in(listing, folder), listing.folder) == (found, None)


def test_a_name_with_pattern_characters_is_first_of_all_a_name(folder: Path) -> None:
    (folder / "[a].csv").write_text("x")

    assert names_in(list_files([str(folder / "[a].csv")]), folder) == ["[a].csv"]


def test_a_file_that_is_named_twice_is_listed_once_and_counted(folder: Path) -> None:
    listing = list_files([str(folder / "a.csv"), f"file:{folder / 'a.csv'}", str(folder / "b.csv")])

    assert names_in(listing, folder) == ["a.csv", "b.csv"]
    assert (listing.skipped, listing.folder) == ({NAMED_TWICE: 1}, None)


def test_a_relative_location_gives_absolute_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)

    listing = list_files(["in"])

    assert listing == list_files([str(folder)])


def test_links_to_files_are_items_and_links_to_folders_are_not_followed(folder: Path) -> None:
    before = len(list_files([str(folder)]).files)
    (folder / "link.csv").symlink_to(folder / "a.csv")
    (folder / "circle").symlink_to(folder)
    (folder / "broken").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")

    listing = list_files([str(folder)])

    assert len(listing.files) == before + 1
    assert listing.skipped == {NOT_A_FILE: 3}


def test_a_named_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert list_files([str(tmp_path / "pipe")]) == Listing((), {NOT_A_FILE: 1})


@pytest.mark.parametrize("location", ["nowhere/deep/x.csv", "in/*.parquet"])
def test_a_location_that_names_nothing_is_refused_with_the_nearest_folder(location: str, folder: Path) -> None:
    with pytest.raises(SourceNotFoundError) as caught:
        list_files([str(folder), str(folder.parent / location)])

    nearest = folder if location.startswith("in") else folder.parent
    assert caught.value.code == "INPUT_NOT_FOUND"
    assert f"'{nearest}'" in caught.value.next_step


def test_a_location_on_a_store_is_refused() -> None:
    with pytest.raises(ConfigError, match="LOCATION_REMOTE"):
        list_files(["s3://bucket/in"])


def test_a_folder_that_cannot_be_read_stops_the_listing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(SourceError) as caught:
        list_files([str(folder)])

    assert (caught.value.code, caught.value.got) == ("INPUT_UNREADABLE", "Permission denied")
    assert str(folder / "deep") in caught.value.what


@pytest.mark.parametrize("slow_s", [1.0, -1.0], ids=["local", "behind a network"])
def test_each_file_is_looked_at_once(slow_s: float, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each_file, "_SLOW_S", slow_s)
    for number in range(100):
        (folder / "deep" / f"{number:02}.csv").write_text("x" * number)
    seen: Counter[str] = Counter()
    stat = os.stat

    def counted(path: str | Path, **options: bool) -> os.stat_result:
        seen[str(path)] += 1
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", counted)

    listing = list_files([str(folder)])

    paths = [file.path for file in listing.files]
    assert paths == sorted(paths)
    assert {path: seen[path] for path in paths} == dict.fromkeys(paths, 1)
    assert [file.size_bytes for file in listing.files if "/deep/" in file.path][:100] == list(range(100))


@pytest.mark.parametrize("location", ["in", "in/*", "in/caf\udce9.csv"])
def test_a_name_that_no_table_can_hold_is_refused(location: str, folder: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.csv")).write_text("x")

    with pytest.raises(SourceError) as caught:
        list_files([str(folder.parent / location)])

    assert caught.value.code == "INPUT_NAME"
    assert "caf?.csv" in str(caught.value).encode().decode()


@given(st.text("ab_.=", min_size=1, max_size=6))
def test_hidden_is_what_spark_passes_over(name: str) -> None:
    assert is_hidden(name) == (name[0] == "." or (name[0] == "_" and "=" not in name))
