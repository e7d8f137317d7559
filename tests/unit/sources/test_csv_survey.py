from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, cast

import pytest

from sparkscore.errors import SourceError, SourceSchemaError
from sparkscore.sources.csv_format import csv_format
from sparkscore.sources.csv_survey import check_and_survey
from sparkscore.sources.listing import list_files

#: A few small files are looked at where the driver is.
NO_SPARK = cast("Any", None)


def check(folder: Path, contents: dict[str, bytes], options: dict[str, str] | None = None) -> None:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    check_and_survey(NO_SPARK, list_files([str(folder)]).files, csv_format(options or {}), (), lambda _: ())


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (b"id\nM\xfcller\n", {}, r"\[INPUT_ENCODING\].*byte 5 \(line 2\).*UTF-8.*'input\.options\.encoding'"),
        (b"id\n5 \x80\n", {"encoding": "latin-1"}, r"\[INPUT_ENCODING\].*ISO-8859-1.*windows-1252"),
        (b'id\n1,"say \\"hi\\""\n', {}, r"\[INPUT_QUOTES\].*line 2.*escape: '\\' "),
        (b'id\n1,"a""b"\n', {"escape": "\\"}, r"\[INPUT_QUOTES\].*leave out 'input\.options\.escape'"),
        (b'id\n1,"5" pipe"\n', {}, r"\[INPUT_QUOTES\].*doubled.*Correct the file"),
        (b'id\n1,"a\n', {}, r"\[INPUT_OPEN_QUOTE\].*line 2.*quote: \"\""),
        (b"id\n1\n2\r\n", {}, r"\[INPUT_LINE_ENDS\].*line 3 ends with CR LF.*dos2unix"),
        (b"PK\x03\x04", {}, r"\[INPUT_ENCODING\].*workbook.*Unpack it"),
        (gzip.compress(b"id\n"), {}, r"\[INPUT_ENCODING\].*'\.gz'.*Rename the file"),
        ("id\n1\n".encode("utf-16-le"), {}, r"\[INPUT_ENCODING\].*iconv -f UTF-16LE"),
    ],
)
def test_a_file_that_would_be_misread_is_refused_by_name(
    content: bytes, options: dict[str, str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        check(tmp_path, {"a.csv": b"id\n", "b.csv": content}, options)

    assert f"'{tmp_path / 'b.csv'}'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.csv.gz", gzip.compress(b"id\n" + bytes(range(48, 58)) * 999)[:-9]),
        ("b.csv.gz", gzip.compress(b"id\n") + b"more"),
        ("b.csv.gz", b"id\n1\n"),
        ("b.csv.bz2", b"id\n1\n"),
        ("b.csv.zst", b"id\n1\n"),
        ("b.csv.deflate", b"id\n1\n"),
    ],
)
def test_a_packed_file_that_cannot_be_unpacked_is_refused_by_name(name: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"\[INPUT_UNREADABLE\].*{name}'.*[Uu]npack") as caught:
        check(tmp_path, {name: content})

    assert "Remove it" in str(caught.value)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (b"id,bmi,age\n", "another order"),
        (b"id,age,weight\n", "also 'weight' and no 'bmi'"),
        (b"id,age\n", "no 'bmi'"),
        (b"id,age,bmi,\n", "also ''"),
    ],
)
def test_headers_are_compared(other: bytes, told: str, tmp_path: Path) -> None:
    files = {"a.csv": b"id,age,bmi\n1,2,3\n", "b.csv": other}

    with pytest.raises(
        SourceSchemaError, match=rf"\[INPUT_HEADERS\].*b\.csv' has another.*a\.csv'.*got {told}"
    ) as caught:
        check(tmp_path, files)
    assert ("enforceSchema" in str(caught.value)) is (told != "another order")
    check(tmp_path, files, {"enforceSchema": "true"})
    check(tmp_path, files, {"header": "false"})


def test_headers_are_compared_as_spark_does(tmp_path: Path) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_HEADERS\]"):
        check(tmp_path, {"a.csv": b"sid,b\n1,2\n", "b.csv": "\u017fid,b\n1,2\n".encode()})


def test_headers_that_differ_in_case_are_the_same(tmp_path: Path) -> None:
    check(tmp_path, {"a.csv": b"id,AGE\n", "b.csv": b'\xef\xbb\xbf"ID",age\r\n1,2\r\n', "c.csv": b"\n"})


@pytest.mark.parametrize("ending", ["lz4", "snappy"])
def test_a_compression_that_hadoop_alone_reads_is_refused(ending: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"\[INPUT_PACKED\].*a\.csv\.{ending}"):
        check(tmp_path, {f"a.csv.{ending}": b"id\n"})
