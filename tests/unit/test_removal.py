from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.removal import (
    make_folder,
    move_new,
    remove_below,
    remove_known,
    remove_listed,
    remove_made,
)


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def is_ours(name: str) -> bool:
    return name.rsplit("/", maxsplit=1)[-1].startswith("ours") or name == "ours/"


def test_what_is_not_known_is_left_and_named_with_the_folders_around_it(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "ours" / "ours.txt"), write(tmp_path / "ours" / "notes.txt")
    folder = write(tmp_path / "other" / "ours.txt").parent

    removal = remove_known(tmp_path, is_ours)

    assert removal.removed == [ours]
    assert sorted(removal.left) == sorted([theirs, folder])
    assert (ours.exists(), theirs.exists(), folder.exists()) == (False, True, True)


def test_a_dry_look_says_the_same_and_removes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "ours" / "ours.txt")
    write(tmp_path / "ours" / "notes.txt")

    looked = remove_known(tmp_path, is_ours, is_dry=True)
    is_there = (tmp_path / "ours" / "ours.txt").exists()

    assert is_there
    assert looked == remove_known(tmp_path, is_ours)
    assert looked.size_bytes == 1


def test_links_are_never_followed(tmp_path: Path) -> None:
    theirs = write(tmp_path / "theirs" / "ours.txt")
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "ours").symlink_to(theirs.parent, target_is_directory=True)
    (tmp_path / "link").symlink_to(theirs.parent, target_is_directory=True)

    remove_known(tmp_path / "stage", is_ours)
    remove_known(tmp_path / "link", is_ours)
    remove_listed(tmp_path, ["link/ours.txt"])

    assert theirs.exists()
    assert not (tmp_path / "stage" / "ours").is_symlink()


def test_a_list_that_leads_out_of_its_folder_removes_nothing_there(tmp_path: Path) -> None:
    outside, inside = write(tmp_path / "outside"), write(tmp_path / "table" / "a" / "b")

    remove_listed(tmp_path / "table", ["../outside", str(outside), "a/../../outside", "a/b"])

    assert outside.exists()
    assert not inside.parent.exists()
    assert (tmp_path / "table").is_dir()


def test_only_a_folder_that_was_made_here_goes_with_its_tree(tmp_path: Path) -> None:
    made, theirs = make_folder("x-", tmp_path), write(tmp_path / "theirs" / "data.csv")
    write(made / "deep" / "file")
    (made / "link").symlink_to(theirs.parent, target_is_directory=True)

    remove_made(made)
    remove_made(theirs.parent)

    assert not made.exists()
    assert theirs.exists()
    with pytest.raises(ValueError, match="in no folder that sparkscore made"):
        remove_below(theirs.parent, theirs)


def test_a_move_never_replaces(tmp_path: Path) -> None:
    source, empty = tmp_path / "source", tmp_path / "empty"
    source.mkdir()
    empty.mkdir()

    with pytest.raises(FileExistsError):
        move_new(source, empty)
    assert source.exists()
