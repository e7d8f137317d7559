from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sparkscore.survey import csv_bytes, text_bytes
from sparkscore.survey.csv_bytes import Dialect, FileFault, check_and_read

BACKSLASH = Dialect(escape="\\")
BY_LINE = Dialect(reads_lines=True)


def find_fault(path: str, dialect: Dialect) -> FileFault | None:
    return check_and_read(path, dialect, list).fault


def reason_of(path: Path, text: str, dialect: Dialect = Dialect()) -> str | None:  # noqa: B008 - frozen
    path.write_bytes(text.encode(dialect.encoding))
    fault = find_fault(str(path), dialect)
    return None if fault is None else fault.reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "id\n",
        "id,x\r\n1,2\r\n",
        "id,x\r1,2\r",
        'a,""\n"","b"\n',
        '"a ""b"" c","d\ne"\n',
        '"C:\\temp\\",1\n',
        '"C:\\temp\\"\n2\n',
        '"C:\\temp\\"',
        '"a \\""b"" c"\n',
        '1,5" pipe\n2,6" pipe\n3,7"\n',
        '1,5" pipe\n',
        '1, "a"\n',
        '"a" ,1\n"b"\t\n',
        'a,b\r\n1,"x\ny"\r\n',
        'a,b\r\n1,"x\ry"\r\n',
        'a,b\n1,"x\r\ny"\n2,"z\rz"\n',
        "don't,1\n",
        "\ufeffid,x\n1,2\n",
    ],
)
def test_what_is_right_passes(text: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a.csv", text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('1,"say \\"hi\\""\n', "backslash"),
        ('1,"say \\"hi\\" to"\n', "backslash"),
        ('"say \\"",1\n"say \\"",2\n', "backslash"),
        ('"12\\"","x"\n', "backslash"),
        ('1,"\\"a"\n', "backslash"),
        ('1,"b\n2,c\n', "open quote"),
        ('1,"b', "open quote"),
        ('1,"C:\\temp\\",2\n3,"x\n', "open quote"),
        ('2,"b"b\n', "quote inside"),
        ('2,"b" b\n', "quote inside"),
        ('2,"b" "b"\n', "quote inside"),
        ('a\r\n"1\r\n2"\r\n', "quoted end"),
        ('"a\r\nb"\r\n1\r\n', "quoted end"),
        ('a\r"1\r2"\r', "quoted end"),
        ('a\r"1\r\n2"\r', "quoted end"),
        ("a\n1\r\n", "line ends"),
        ("a\r\n1\n", "line ends"),
        ("a\n1\r2\n", "line ends"),
        ("a\nb\r", "line ends"),
        ('"a\nb",c\r\n1,2\r\n', "line ends"),
    ],
)
def test_what_would_be_misread_is_told(text: str, reason: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a.csv", text) == reason


def test_a_file_whose_quotes_are_escaped_by_backslashes_passes_with_that_escape(tmp_path: Path) -> None:
    text = '1,"say \\"hi\\""\n2,"C:\\\\"\n3,"a,\\"\nb"\n4,a\\"b\n5,""\n'

    assert reason_of(tmp_path / "a.csv", text, BACKSLASH) is None
    assert reason_of(tmp_path / "a.csv", text) == "backslash"


@pytest.mark.parametrize(
    ("text", "reason"), [('1,"a""b"\n', "doubled quote"), ('1,"a\\"\n', "open quote"), ('1,"a"b\n', "quote inside")]
)
def test_a_file_whose_quotes_are_doubled_is_told_with_a_backslash_escape(
    text: str, reason: str, tmp_path: Path
) -> None:
    assert reason_of(tmp_path / "a.csv", text, BACKSLASH) == reason


@pytest.mark.parametrize(
    "dialect",
    [
        Dialect(reads_lines=True, line_end="|"),
        Dialect(quote=""),
        Dialect(comment="#"),
    ],
)
def test_what_is_no_quote_is_not_counted(dialect: Dialect, tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a.csv", '# it is 5" long\n# "\n1,2\n', dialect) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('1,5" pipe\r\n2,"a ""b"""\n3,x\r', None),
        ('1,"a\nb"\n', "open quote"),
        ('1,"a\n2,"b"\n', "open quote"),
        ('1,"a\n2,b"\n', "open quote"),
        ('1,"say \\"hi\\""\n', "backslash"),
        ('1,"a"b\n', "quote inside"),
    ],
)
def test_line_by_line_each_line_must_be_right(text: str, reason: str | None, tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a.csv", text, BY_LINE) == reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("sep", [",", ";", "§", "||"])
def test_other_signs_and_encodings_are_looked_at_too(sep: str, encoding: str, tmp_path: Path) -> None:
    dialect = Dialect(encoding=encoding, sep=sep, quote="'", escape="'")

    assert reason_of(tmp_path / "a.csv", f"'a''b'{sep}c\n'd'{sep}''\n", dialect) is None
    assert reason_of(tmp_path / "a.csv", f"'a''b'{sep}c\n'd'{sep}'\n", dialect) == "open quote"


def test_bytes_that_are_no_text_are_told_first(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'id,name\n1,"M\xfcller\n')

    fault = find_fault(str(tmp_path / "a.csv"), Dialect())

    assert fault is not None
    assert (fault.reason, fault.detail) == ("bytes", "byte 13 (line 2) is not UTF-8")


def test_a_file_that_cannot_be_unpacked_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"\x1f\x8bno gzip")

    fault = find_fault(str(tmp_path / "a.csv.gz"), Dialect())

    assert fault is not None
    assert fault.reason == "unreadable"


def test_a_file_that_cannot_be_opened_is_its_readers_business(tmp_path: Path) -> None:
    assert find_fault(str(tmp_path / "missing.csv"), Dialect()) is None


def test_a_line_end_inside_is_kept_where_it_is_told_what_ends_lines(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a.csv", 'a\r\n"1\r\n2"\r\n', Dialect(line_end="\r\n")) is None
    assert reason_of(tmp_path / "a.csv", 'a\r\n"1\r\n2"\r\n', Dialect(reads_lines=True)) == "open quote"


@pytest.mark.parametrize("inside", ["\r\n" * 20, "x" * 9 + "\r\n" + "x" * 9])
def test_a_line_end_is_seen_in_blocks_without_a_quote(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_bytes, "_BLOCK_BYTES", 4)

    assert reason_of(tmp_path / "a.csv", f'a\r\n"{inside}"\r\n') == "quoted end"
    assert reason_of(tmp_path / "a.csv", f'a\r\n"{inside}"\r\n', BY_LINE) == "open quote"


SIGNS = st.text(st.sampled_from('ab",\\\n\r é'), max_size=12)


@example(text="\r\\\\\n", size=1, dialect=BACKSLASH)
@example(text='"a"\\\\,', size=9, dialect=BACKSLASH)
@given(text=SIGNS, size=st.integers(1, 5), dialect=st.sampled_from([Dialect(), BACKSLASH, BY_LINE]))
def test_the_look_at_all_quotes_never_passes_what_the_walk_refuses(text: str, size: int, dialect: Dialect) -> None:
    blocks = [text[start : start + size] for start in range(0, len(text), size)]
    walked = csv_bytes.Walk(dialect).find(blocks)

    check = csv_bytes._QuickCheck(dialect)
    watched = list(check.watch(iter(blocks)))

    assert not check.has_passed() or (walked is None and watched == blocks)
    assert walked == csv_bytes.Walk(dialect).find([text])


ROWS = st.lists(
    st.lists(SIGNS.map(lambda text: text.replace("\r", "")), min_size=2, max_size=3), min_size=1, max_size=4
)


@given(rows=ROWS, quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), size=st.integers(1, 9))
def test_whatever_python_writes_passes(rows: list[list[str]], quoting: int, size: int) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n", quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    text = stream.getvalue()

    assert csv_bytes.Walk(Dialect()).find(text[at : at + size] for at in range(0, len(text), size)) is None


def test_blocks_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_bytes, "_BLOCK_BYTES", 4)

    assert reason_of(tmp_path / "a.csv", 'a,"b ""c"" d"\r\n"é","€"\r\n' * 3) is None


@pytest.mark.parametrize(
    ("text", "by_lines"),
    [
        ("id,x\n1,2\n", "yes"),
        ("id,x\r\n1,2\r\n", "yes"),
        ("\ufeffid,x\n1,2", "yes"),
        ('id,x\n"1","a ""b"" c"\n\n\n2,3\n', "yes"),
        ('id,x\n1,"a\nb"\n', "no"),
        ('id,x\n1,"\n"\n', "no"),
        ("id\n \n1\n", "no"),
        ("id,x\n\t1,2\n", "no"),
        (" \nid\n1\n", "no"),
        ("\x1f\n", "no"),
        ('1,5" pipe\n', "no"),
        ("", "yes"),
    ],
)
@pytest.mark.parametrize("block_bytes", [2, 3, 1000])
def test_rows_are_lines_only_without_line_ends_in_values_and_blanks_at_starts(
    text: str, by_lines: str, block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_bytes, "_BLOCK_BYTES", block_bytes)
    (tmp_path / "a.csv").write_bytes(text.encode())
    path = str(tmp_path / "a.csv")

    assert check_and_read(path, Dialect(), list).has_lines is (by_lines == "yes")
    assert not check_and_read(path, BACKSLASH, list).has_lines
    assert not check_and_read(path, Dialect(comment="#"), list).has_lines
    assert not check_and_read(path, Dialect(quote=""), list).has_lines
