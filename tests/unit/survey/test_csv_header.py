from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.survey import csv_header
from sparkscore.survey.csv_bytes import Dialect
from sparkscore.survey.csv_header import first_record


@pytest.mark.parametrize(
    ("text", "dialect", "record"),
    [
        ("id,x\n1,2\n", Dialect(), ("id", "x")),
        ("id,x", Dialect(), ("id", "x")),
        ("id", Dialect(), ("id",)),
        ("\ufeffid,x\r\n1,2\r\n", Dialect(), ("id", "x")),
        ('\ufeff"id","x"\r\n', Dialect(), ("id", "x")),
        ("id,x,,\n", Dialect(), ("id", "x", "", "")),
        (",id\n", Dialect(), ("", "id")),
        ("\n\nid,x\n", Dialect(), ("id", "x")),
        ("# a, b\nid,x\n", Dialect(comment="#"), ("id", "x")),
        ("# a, b\n", Dialect(comment="#"), None),
        ('"a ""b"", c","d\ne",""\n', Dialect(), ('a "b", c', "d\ne", "")),
        ('"a \\"b\\"",c\\"d,"e\\n"\n', Dialect(escape="\\"), ('a "b"', 'c\\"d', "e\\n")),
        ('"a" ,b\n', Dialect(), ("a", "b")),
        (' a, "b" \n', Dialect(), (" a", ' "b" ')),
        (' a, "b" \n', Dialect(skips_leading=True, skips_trailing=True), ("a", "b")),
        ("a||b|c||d\n", Dialect(sep="||"), ("a", "b|c", "d")),
        ("a;'b;c'\n", Dialect(sep=";", quote="'", escape="'"), ("a", "b;c")),
        ('5" pipe,b\n', Dialect(quote="", escape=""), ('5" pipe', "b")),
        ("", Dialect(), None),
        ("\n", Dialect(), None),
    ],
)
def test_the_first_record_is_read(text: str, dialect: Dialect, record: tuple[str, ...] | None, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode())
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))

    assert first_record(str(tmp_path / "a.csv"), dialect) == record
    assert first_record(str(tmp_path / "a.csv.gz"), dialect) == record


@given(
    names=st.lists(st.text(st.sampled_from('ab",\n é'), min_size=1), min_size=1, max_size=4),
    size=st.integers(1, 5),
)
def test_the_first_record_is_the_one_that_python_reads(names: list[str], size: int) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerows([names, ["1"] * len(names)])
    text = stream.getvalue()

    with pytest.MonkeyPatch.context() as patched:
        blocks = [text[at : at + size] for at in range(0, len(text), size)]
        patched.setattr(csv_header, "decoded_blocks", lambda *_: iter([*blocks, ""]))
        assert first_record("any", Dialect()) == tuple(names)
