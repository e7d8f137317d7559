from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from sparkscore.survey import text_bytes
from sparkscore.survey.text_bytes import WrongBytesError, decoded_blocks

TEXT = "id,näme\n1,€ 5\n2,日本\n"


def read(path: Path, encoding: str = "utf-8") -> str:
    return "".join(decoded_blocks(str(path), encoding))


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_is_read_in_its_encoding_and_without_a_byte_order_mark(
    encoding: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_bytes, "_BLOCK_BYTES", max(size, 4))
    (tmp_path / "a").write_bytes(TEXT.encode(encoding))

    assert read(tmp_path / "a", encoding.removesuffix("-sig")) == TEXT


def test_wide_text_without_a_mark_is_big_endian_as_java_has_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(TEXT.encode("utf-16-be"))

    assert read(tmp_path / "a", "utf-16") == TEXT


@pytest.mark.parametrize("size", [4, 1000])
@pytest.mark.parametrize(
    ("content", "encoding", "told"),
    [
        (b"id\n1\nM\xfcller\n", "utf-8", "byte 7 (line 3) is not UTF-8"),
        (b"id\n1\n\xed\xa0\x80\n", "utf-8", "byte 6 (line 3) is not UTF-8"),
        (b"id\n\xc3", "utf-8", "byte 4 (line 2) is not UTF-8"),
        (b"id\nM\xc3\xbcller\n", "ascii", "byte 5 (line 2) is not ASCII"),
        (b"id\n5 \x80\n", "iso-8859-1", "byte 6 (line 2) is a control character"),
    ],
)
def test_wrong_bytes_are_told_by_their_place(
    content: bytes, encoding: str, told: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_bytes, "_BLOCK_BYTES", size)
    (tmp_path / "a").write_bytes(content)

    with pytest.raises(WrongBytesError) as caught:
        read(tmp_path / "a", encoding)

    assert str(caught.value).startswith(told)


def test_text_of_iso_8859_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("Müller £\xa0\n".encode("latin-1"))

    assert read(tmp_path / "a", "iso-8859-1") == "Müller £\xa0\n"


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


@pytest.mark.parametrize("size", [3, 1000])
@pytest.mark.parametrize(
    ("ending", "compress"),
    [
        ("gz", lambda content: gzip.compress(content[:7]) + gzip.compress(content[7:])),
        ("bz2", bz2.compress),
        ("deflate", zlib.compress),
        ("zst", zstd),
    ],
)
def test_compressed_files_are_read_by_their_ending(
    ending: str, compress: object, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_bytes, "_BLOCK_BYTES", size)
    (tmp_path / f"a.{ending}").write_bytes(compress(TEXT.encode()))  # type: ignore[operator]

    assert read(tmp_path / f"a.{ending}") == TEXT


@pytest.mark.parametrize(
    ("ending", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("deflate", zlib.compress), ("zst", zstd)]
)
def test_a_compressed_file_that_is_cut_off_cannot_be_read(ending: str, compress: object, tmp_path: Path) -> None:
    content = compress(TEXT.encode() * 1000)  # type: ignore[operator]
    (tmp_path / f"a.{ending}").write_bytes(content[: len(content) // 2])

    with pytest.raises((OSError, EOFError, zlib.error)):
        read(tmp_path / f"a.{ending}")


@pytest.mark.parametrize(
    ("content", "kind"), [(gzip.compress(b"id\n"), "'.gz'"), (b"PK\x03\x04", "workbook"), (b"PAR1", "Parquet")]
)
def test_a_file_that_is_no_text_at_all_is_called_what_it_is(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)

    with pytest.raises(WrongBytesError, match=kind):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("read_as", ["utf-8", "iso-8859-1"])
def test_wide_text_is_no_text_of_single_bytes(encoding: str, read_as: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,x\n1,2\n".encode(encoding))

    with pytest.raises(WrongBytesError, match=encoding[:6].upper()):
        read(tmp_path / "a.csv", read_as)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("utf-16-le", "utf-16"), ("utf-16-le", "utf-16-be"), ("utf-16-be", "utf-16-le"), ("utf-16", "utf-16-be")],
)
@pytest.mark.parametrize("text", ["id,x\n1,2\n", "日本,x\n日,2\n"])
def test_wide_text_in_the_other_order_of_bytes_is_refused(
    text: str, written: str, read_as: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(written))

    with pytest.raises(WrongBytesError, match="UTF-16BE" if "be" in written else "UTF-16LE"):
        read(tmp_path / "a.csv", read_as)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["一,x\n一一,2\n", "一一\n", "x\n", "一Ā一Ā\n1", "日\n"])
def test_wide_text_in_its_own_order_is_read(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))

    assert read(tmp_path / "a.csv", encoding) == text


def test_an_empty_file_is_empty_text(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    assert read(tmp_path / "a") == ""
