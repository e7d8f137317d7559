from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from sparkscore.digest import digest_of_path
from sparkscore.scorers.packed_folder import pack_folder, unpack_folder

LONG = "deep/" * 60 + "weights.bin"
# The last one is no text in UTF-8.
NAMES = ["MLmodel", "data/ü ñ.bin", LONG, "empty", os.fsdecode(b"data/\xff.bin")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    for number, name in enumerate(NAMES):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(b"" if name == "empty" else os.urandom(1000 * number + 1))
    (made / "__pycache__").mkdir()
    (made / "__pycache__" / "x.pyc").touch()
    return made


def test_a_folder_comes_back_with_its_digest(folder: Path, tmp_path: Path) -> None:
    pack_folder(folder, tmp_path / "packed")
    unpack_folder(tmp_path / "packed", tmp_path / "copy")

    assert digest_of_path(tmp_path / "copy") == digest_of_path(folder)
    assert not (tmp_path / "copy" / "__pycache__").exists()


def test_folders_with_the_same_digest_have_equal_archives(folder: Path, tmp_path: Path) -> None:
    pack_folder(folder, tmp_path / "one")
    for file in folder.rglob("*.bin"):
        os.utime(file, (1, 1))
        file.chmod(0o600)
    pack_folder(folder, tmp_path / "two")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_empty_folder_stays_empty(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    pack_folder(tmp_path / "model", tmp_path / "packed")
    unpack_folder(tmp_path / "packed", tmp_path / "copy")

    assert list((tmp_path / "copy").iterdir()) == []


@pytest.mark.parametrize("size", [0, 100, 700])
def test_an_archive_that_was_cut_off_is_no_folder(folder: Path, tmp_path: Path, size: int) -> None:
    pack_folder(folder, tmp_path / "packed")
    os.truncate(tmp_path / "packed", size)

    with pytest.raises(OSError, match="damaged"):
        unpack_folder(tmp_path / "packed", tmp_path / "copy")


@pytest.mark.parametrize("name", ["../outside", "/outside-of-sparkscore", "a/../../outside"])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "packed", "w") as archive:
        archive.addfile(tarfile.TarInfo(name))

    with pytest.raises(OSError, match="damaged"):
        unpack_folder(tmp_path / "packed", tmp_path / "copy")

    assert not (tmp_path / "outside").exists()
