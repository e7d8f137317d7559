from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.survey.csv_bytes import Dialect
from sparkscore.survey.csv_rows import find_uneven_row


def find(folder: Path, text: str, dialect: Dialect = Dialect(), width: int = 2) -> tuple[int, int] | None:  # noqa: B008 - frozen
    (folder / "a.csv").write_bytes(text.encode(dialect.encoding))
    found = find_uneven_row(str(folder / "a.csv"), dialect, width)
    return None if found is None else (found.line, found.values)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("id,x\n1,2,3\n", (2, 3)),
        ("id,x\n1,2\n3\n", (3, 1)),
        ("id,x\n1,2\n3", (3, 1)),
        ('id,x\n1,"a\nb"\n\n"c\n\nd"\n', (5, 1)),
        ("id,x\r\n1,2\r\n   \r\n", (3, 1)),
        ('id,x\n1,"a,b",\n', (2, 3)),
        ("id,x\n1,2\n\x1a", (3, 1)),
    ],
)
def test_the_first_row_that_is_uneven_is_found(text: str, row: tuple[int, int], tmp_path: Path) -> None:
    assert find(tmp_path, text) == row


@pytest.mark.parametrize("text", ["id,x\n1,2\n\n3,4", 'id,x\n1,"a,b\n,"\n', "", "\n\n", "id,x\r1,\r,\r"])
def test_rows_that_are_as_wide_as_the_header_pass(text: str, tmp_path: Path) -> None:
    assert find(tmp_path, text) is None


def test_comments_are_no_rows(tmp_path: Path) -> None:
    assert find(tmp_path, "#a,b,c\nid,x\n#\n1,2\n#last", Dialect(comment="#")) is None
    assert find(tmp_path, "#a,b,c\nid,x\n#\n1,2,3\n", Dialect(comment="#")) == (4, 3)


def test_a_file_that_cannot_be_read_has_no_such_row(tmp_path: Path) -> None:
    assert find_uneven_row(str(tmp_path / "missing.csv"), Dialect(), 2) is None
