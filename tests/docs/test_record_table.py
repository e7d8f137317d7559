from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from sparkscore.record.run_record import Part, RunRecord

PAGE = Path(__file__).parents[2] / "docs" / "result.md"
MARK = "<!-- table: record -->"


def rows_of(part: type[Part], prefix: str = "") -> Iterator[str]:
    """Give a row for each field that says what it holds; other fields are parts, whose fields say it."""
    for name, field in part.model_fields.items():
        if field.description:
            yield f"| `{prefix}{name}` | {field.description} |"
        else:
            yield from rows_of(part_in(field.annotation), f"{prefix}{name}.")


def part_in(annotation: object) -> type[Part]:
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, Part)]
    assert len(kinds) == 1, f"{annotation} needs a description, or is a part"
    return kinds[0]


def test_the_table_of_the_record_says_what_the_model_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    expected = "\n".join((MARK, "| name | holds |", "|---|---|", *rows_of(RunRecord), ""))
    if os.environ.get("UPDATE_DOCS"):
        text = re.sub(rf"{re.escape(MARK)}\n(?:\|.*\n)*", lambda _: expected, text)
        PAGE.write_text(text, encoding="utf-8")

    assert expected in text, "the page has drifted: UPDATE_DOCS=1 pytest tests/docs/test_record_table.py writes it"
