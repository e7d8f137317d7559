from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def read_table() -> Callable[[str, str], list[list[str]]]:
    """Return a function that reads the cells of a page's table, without its header and without backticks."""

    def read(page: str, mark: str) -> list[list[str]]:
        text = (DOCS / page).read_text(encoding="utf-8")
        lines = text.partition(f"<!-- table: {mark} -->\n")[2].splitlines()
        end = next(number for number, line in enumerate([*lines, ""]) if not line.startswith("|"))
        return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines[2:end]]

    return read
