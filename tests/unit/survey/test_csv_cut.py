from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.survey import csv_cut
from sparkscore.survey.csv_bytes import Dialect
from sparkscore.survey.csv_cut import NotCutError, can_cut, cut

CELLS = st.text(st.sampled_from('ab",\n é'), max_size=6)
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=9)


def pieces_of(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def cut_rows(blocks: list[str], header: list[str] | None, width: int = 2) -> list[list[str | None]]:
    batches = cut(iter(blocks), Dialect(), header, width)
    return [list(row.values()) for batch in batches for row in batch.to_pylist()]


@given(rows=ROWS, size=st.integers(1, 9), piece=st.integers(1, 20), has_header=st.booleans())
def test_rows_are_whole_wherever_the_text_is_divided(
    rows: list[list[str]], size: int, piece: int, *, has_header: bool
) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    expected = [[value or None for value in row] for row in rows[has_header:]]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(csv_cut, "_PIECE_BYTES", piece)
        assert cut_rows(pieces_of(stream.getvalue(), size), rows[0] if has_header else None) == expected


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_all_line_ends_and_blank_lines_are_known(line_end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_cut, "_PIECE_BYTES", 3)
    text = line_end.join(["", "id,x", "1,2", "", "3,4", ""])

    assert cut_rows(pieces_of(text, 2), ["id", "x"]) == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize(
    "text",
    ["id,x\n1\n", "id,x\n1,2,3\n", "id,x\n1,\0\n", "id,y\n1,2\n", "\ufeffid,x\n1,2\n", "\xef\xbb\xbfid,x\n1,2\n"],
)
def test_a_doubtful_text_is_not_divided(text: str) -> None:
    with pytest.raises(NotCutError):
        cut_rows([text], ["id", "x"])


def test_a_byte_order_mark_inside_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_cut, "_PIECE_BYTES", 4)

    with pytest.raises(NotCutError):
        cut_rows(["1,2\n", "\ufeff3,4\n"], None)


def test_values_of_many_lines_with_doubled_quotes_do_not_make_pieces_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_cut, "_PIECE_BYTES", 1 << 12)
    value = "{\n" + '  "key": "value",\n' * 80 + "}"
    record = f'1,"{value.replace(chr(34), chr(34) * 2)}"\n'

    pieces = list(csv_cut._pieces(iter(pieces_of(record * 50, 1000)), Dialect()))

    assert max(map(len, pieces)) < (1 << 12) + 2 * len(record)
    assert "".join(piece.decode() for piece in pieces) == record * 50


def test_an_open_quote_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_cut, "_PIECE_BYTES", 4)
    monkeypatch.setattr(csv_cut, "_LONGEST_RECORD", 1000)
    blocks = iter(['1,"a\n', *["2,b\n"] * 10_000])

    with pytest.raises(NotCutError):
        list(cut(blocks, Dialect(), None, 2))

    assert len(list(blocks)) > 9000


def test_a_long_record_is_not_searched_again_for_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_cut, "_PIECE_BYTES", 4)
    searched: list[int] = []
    search = csv_cut._last_end

    def counted(text: bytes, quote: str) -> int:
        searched.append(len(text))
        return search(text, quote)

    monkeypatch.setattr(csv_cut, "_last_end", counted)
    value = "\n" * 4000

    assert cut_rows(pieces_of(f'id,"{value}"\n', 4), None) == [["id", value]]
    assert sum(searched) < 4 * len(value)


@pytest.mark.parametrize(
    ("dialect", "width", "is_possible"),
    [
        (Dialect(), 2, True),
        (Dialect(), 1, True),
        (Dialect(), 0, False),
        (Dialect(), 20_481, False),
        (Dialect(reads_lines=True), 2, True),
        (Dialect(reads_lines=True), 1, False),
        (Dialect(reads_lines=True, sep="\t"), 2, False),
        (Dialect(sep="\t"), 2, True),
        (Dialect(sep=" "), 2, False),
        (Dialect(sep='"'), 2, False),
        (Dialect(sep="\\", escape="\\"), 2, False),
        (Dialect(escape="\\", comment="#"), 2, True),
        (Dialect(comment='"'), 2, False),
        (Dialect(line_end="\n"), 2, False),
        (Dialect(skips_leading=True), 2, False),
        (Dialect(skips_trailing=True), 2, False),
        (Dialect(sep="||"), 2, False),
        (Dialect(quote="", escape=""), 2, False),
    ],
)
def test_which_files_can_be_divided(dialect: Dialect, width: int, *, is_possible: bool) -> None:
    assert can_cut(dialect, width) == is_possible
