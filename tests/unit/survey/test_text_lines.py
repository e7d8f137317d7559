from __future__ import annotations

import bz2
import gzip
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.survey import text_lines
from sparkscore.survey.text_lines import read_lines


@given(
    content=st.text(alphabet="ab\r\n", max_size=40).map(str.encode),
    cuts=st.sets(st.integers(1, 39), max_size=5),
    block=st.integers(1, 7),
)
def test_parts_together_have_each_line_once(
    content: bytes, cuts: set[int], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_bytes(content)
    ends = [0, *sorted(cut for cut in cuts if cut < len(content)), None]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(text_lines, "_BLOCK", block)
        found = [line for start, end in pairwise(ends) for line in read_lines(str(path), start or 0, end, None)]

    assert found == content.splitlines(keepends=True)


@pytest.mark.parametrize("start", range(9))
def test_a_separator_of_two_bytes_ends_lines(start: int, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"ab||c\n||d")

    first = list(read_lines(str(tmp_path / "a.txt"), 0, start, b"||")) if start else []
    assert [*first, *read_lines(str(tmp_path / "a.txt"), start, None, b"||")] == [b"ab||", b"c\n||", b"d"]


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("a.txt", b"a\nb"),
        ("a.txt.gz", gzip.compress(b"a\n") + gzip.compress(b"b")),
        ("a.txt.bz2", bz2.compress(b"a\nb")),
        ("a.txt.zst", pa.compress(b"a\nb", codec="zstd", asbytes=True)),
    ],
)
def test_packed_files_are_unpacked(name: str, packed: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(packed)

    assert list(read_lines(str(tmp_path / name), 0, None, None)) == [b"a\n", b"b"]
