from __future__ import annotations

from pathlib import Path

from sparkscore.stage.clearing import clear, delete_listed
from sparkscore.stage.local_store import LocalStore


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def is_ours(name: str) -> bool:
    return name.rsplit("/", maxsplit=1)[-1].startswith("ours") or name == "ours/"


def test_what_is_not_known_is_left_and_named_with_the_folders_around_it(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "ours" / "ours.txt"), write(tmp_path / "ours" / "notes.txt")
    folder = write(tmp_path / "other" / "ours.txt").parent

    removal = clear(LocalStore(tmp_path), is_ours)

    assert removal.removed == [ours]
    assert sorted(removal.left) == sorted([theirs, folder])
    assert (ours.exists(), theirs.exists(), folder.exists()) == (False, True, True)


def test_a_dry_look_says_the_same_and_removes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "ours" / "ours.txt")
    write(tmp_path / "ours" / "notes.txt")

    looked = clear(LocalStore(tmp_path), is_ours, is_dry=True)
    is_there = (tmp_path / "ours" / "ours.txt").exists()

    assert is_there
    assert looked == clear(LocalStore(tmp_path), is_ours)
    assert looked.size_bytes == 1


def test_links_are_never_followed(tmp_path: Path) -> None:
    theirs = write(tmp_path / "theirs" / "ours.txt")
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "ours").symlink_to(theirs.parent, target_is_directory=True)
    (tmp_path / "link").symlink_to(theirs.parent, target_is_directory=True)

    clear(LocalStore(tmp_path / "stage"), is_ours)
    clear(LocalStore(tmp_path / "link"), is_ours)
    delete_listed(LocalStore(tmp_path), ["link/ours.txt"])

    assert theirs.exists()
    assert not (tmp_path / "stage" / "ours").is_symlink()


def test_a_list_that_leads_out_of_its_folder_removes_nothing_there(tmp_path: Path) -> None:
    outside, inside = write(tmp_path / "outside"), write(tmp_path / "table" / "a" / "b")

    delete_listed(LocalStore(tmp_path / "table"), ["../outside", str(outside), "a/../../outside", "a/b"])

    assert outside.exists()
    assert not inside.parent.exists()
    assert (tmp_path / "table").is_dir()
