"""The tables of what lies in a stage are those of the code; ``UPDATE_DOCS=1`` writes them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from sparkscore.stage.layout import BESIDE, STAGE, Named

PAGE = Path(__file__).parents[2] / "docs" / "result.md"


def table_of(named: tuple[Named, ...]) -> str:
    rows = [f"| `{each.shown}` | {each.meaning} | {each.written_by} |" for each in named]
    return "\n".join(["| name | what it is | written by |", "|---|---|---|", *rows]) + "\n"


@pytest.mark.parametrize(("mark", "named"), [("stage", STAGE), ("beside stages", BESIDE)])
def test_the_table_is_that_of_the_code(mark: str, named: tuple[Named, ...]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- table: {mark} -->\n((?:\|.*\n)*)", text)
    assert found

    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(text[: found.start(1)] + table_of(named) + text[found.end(1) :], encoding="utf-8")
    else:
        assert found[1] == table_of(named)
