from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.removal import (
    make_folder,
    move_new,
    remove_below,
    remove_made,
)


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


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
