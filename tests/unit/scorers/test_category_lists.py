"""Which columns LightGBM's lists of categories are of: its model does not say."""

from __future__ import annotations

from typing import Any

import pytest

from sparkscore.scorers.category_lists import find_positions


@pytest.mark.parametrize(
    ("infos", "lists", "types", "positions"),
    [
        (["[0:9]", "-1:0:1"], [["a", "b"]], None, [1]),
        (["0:1", "[0:1]"], [[10, 20]], None, [0]),
        (["[0:1]", "[0:1]"], [[10, 20]], None, None),
        (["[0:1]", "[0:5]"], [[10, 20]], None, [0]),
        (["none", "0:1"], [["x"], ["a", "b"]], None, [0, 1]),
        (["none", "0:1", "none"], [["x"], ["a", "b"]], None, [0, 1]),
        (["none", "none"], [["x"]], None, None),
        (["none", "none"], [["x"]], ["number", "text"], [1]),
        (["none", "none"], [["x"]], ["text", "text"], None),
        (["0:1:2"], [["a", "b"]], None, None),
        (["0:1"], [["a", "b"]], ["number"], None),
        (["[0.5:1]"], [["a", "b"]], None, None),
        (["[0:1]"], [], None, []),
        (["0:1"], [], None, []),
    ],
)
def test_which_columns_the_lists_are_of(
    infos: list[str], lists: list[list[Any]], types: list[str] | None, positions: list[int] | None
) -> None:
    assert find_positions(infos, lists, types) == positions
