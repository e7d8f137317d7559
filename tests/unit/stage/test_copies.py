from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.digest import digest_of_path
from sparkscore.stage.clearing import clear
from sparkscore.stage.copies import copy_once
from sparkscore.stage.layout import known_in
from sparkscore.stage.local_store import LocalStore

FOLDER = f"models/{'a' * 64}"


def model(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors")
    (folder / "deep" / "weights.bin").write_bytes(b"w" * 3_000_000)
    (folder / f".odd.{'0' * 32}").write_text("a name like that of an unfinished file")
    return folder


def stage(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_copy_has_the_same_files_and_goes_with_its_stage(tmp_path: Path) -> None:
    source, place = model(tmp_path / "model"), stage(tmp_path / "stage")

    copy = copy_once(source, place, FOLDER)

    assert copy == place / FOLDER / "model"
    assert digest_of_path(copy) == digest_of_path(source)
    assert copy_once(source, place, FOLDER) == copy
    assert clear(LocalStore(place), known_in(LocalStore(place))).left == []
    assert list(place.iterdir()) == []


def test_a_file_is_copied_beside_a_folder(tmp_path: Path) -> None:
    source, place = tmp_path / "env.tar.gz", stage(tmp_path / "stage")
    source.write_bytes(b"packed")

    assert copy_once(source, place, "python").read_bytes() == b"packed"
    assert clear(LocalStore(place), known_in(LocalStore(place))).left == []


@pytest.mark.parametrize("left", [".unfinished/MLmodel", f".unfinished/deep/.weights.bin.{'f' * 32}"])
def test_what_a_driver_that_died_has_copied_is_no_part_of_the_copy(tmp_path: Path, left: str) -> None:
    source, place = model(tmp_path / "model"), stage(tmp_path / "stage")
    copy_once(source, place, FOLDER).rename(tmp_path / "gone")
    begun = place / FOLDER / left
    begun.parent.mkdir(parents=True)
    begun.write_text("half")

    copy = copy_once(source, place, FOLDER)

    assert digest_of_path(copy) == digest_of_path(source)
    assert sorted(path.name for path in copy.rglob("*")) == sorted(path.name for path in source.rglob("*"))
