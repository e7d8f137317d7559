"""Open and decode text files, and describe bytes that are not valid in the expected encoding.

Runs on the driver and the workers.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, Self

import pyarrow as pa

_BLOCK_BYTES: Final = 1 << 20
# Without a byte order mark, Java reads these encodings as big-endian; Python uses the byte order of the machine.
_BIG_ENDIAN: Final = {"utf-16": "utf-16-be", "utf-32": "utf-32-be"}

_MARKS: Final = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
# Control characters that do not occur in text. In windows-1252, the euro sign and curved quotes have these codes.
_CONTROLS: Final = re.compile("[\x80-\x9f]")
_CONTROL: Final = "a control character in ISO-8859-1; windows-1252 has characters such as € and curved quotes there"
_RENAME: Final = "Rename the file, or unpack it."
# Maps the first bytes of a file to a phrase for its format, and advice for the user.
_OTHER_FORMATS: Final = {
    b"\x1f\x8b": ("a gzip file, whose name must end with '.gz'", _RENAME),
    b"BZh": ("a bzip2 file, whose name must end with '.bz2'", _RENAME),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file, whose name must end with '.zst'", _RENAME),
    b"\xfd7zXZ": ("an XZ file, which Spark does not read", "Unpack it."),
    b"PK\x03\x04": ("a ZIP file or a workbook", "Unpack it, or save the sheet as a text file in UTF-8."),
    b"PAR1": ("a Parquet file", "Read it as such: --input-format parquet."),
}
_LINE_END: Final = "\n"
_START_BYTES: Final = 512
_WIDE_TEXT: Final = "bytes that look like text in {}"
_TO_UTF8: Final = (
    "Convert the file to UTF-8: iconv -f {0} -t UTF-8 OLD > NEW. Or set its encoding: 'input.options: {{encoding: "
    "{0}}}'."
)
_PYTHON_NAMES: Final = {"UTF-16LE": "utf-16-le", "UTF-16BE": "utf-16-be", "UTF-32": "utf-32"}
#: The phrase for a byte order mark in a JSON file with one record per line.
MARK_OF_LINES: Final = "a byte order mark, which Spark reads as part of the first record if each line is a record"
#: Maps a phrase that describes the bytes of a file to advice for the user.
FIXES: Final = {
    **dict(_OTHER_FORMATS.values()),
    MARK_OF_LINES: "Convert the file to UTF-8: iconv -f UTF-16 -t UTF-8 OLD > NEW. Or remove its first two bytes.",
    **{_WIDE_TEXT.format(name): _TO_UTF8.format(name) for name in _PYTHON_NAMES},
}


class WrongBytesError(ValueError):
    """Raised for a file that is not text in the expected encoding. The message describes what was found instead."""


class _Deflate:
    """A file that contains one zlib stream, open for reading. Hadoop calls this format ``deflate``."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("rb")  # noqa: SIM115 - closed in __exit__
        self._stream = zlib.decompressobj()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        while not self._stream.eof:
            data = self._stream.unconsumed_tail or self._file.read(size)
            if found := self._stream.decompress(data, size):
                return found
            if not data:
                raise EOFError
        return b""


# Hadoop decompresses a file if its name has one of these extensions, in lower case.
_OPENERS: Final[Mapping[str, Callable[[str], Any]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".deflate": _Deflate,
    ".zst": lambda path: pa.input_stream(path, compression="zstd"),
}
#: Extensions of compressed files that this module cannot open: Hadoop uses its own framing for these formats.
NOT_READ_HERE: Final = (".lz4", ".snappy")


def is_compressed(path: str) -> bool:
    """Return whether `open_bytes` decompresses a file with this path. Only the path's extension is checked."""
    return path.endswith(tuple(_OPENERS))


def open_bytes(path: str) -> IO[bytes]:
    """Open a file for reading bytes. It is decompressed if its name ends with .gz, .bz2, .deflate or .zst."""
    opener = next((opener for ending, opener in _OPENERS.items() if path.endswith(ending)), None)
    file: IO[bytes] = Path(path).open("rb") if opener is None else opener(path)  # noqa: SIM115 - the caller closes it
    return file


def decoded_blocks(path: str, encoding: str) -> Iterator[str]:
    """Yield the text of a file block by block, without a byte order mark. The last block is empty.

    Args:
        path: the path of the file, which is decompressed if it has the extension of a compressed format.
        encoding: the encoding, by a name that Python knows.

    Raises:
        WrongBytesError: the file is not text in that encoding, or looks like a file of another format or encoding.
        OSError: the file cannot be read.
        OSError, EOFError, zlib.error: the compressed data is damaged or truncated. The class depends on the compression
            format.
    """
    with open_bytes(path) as file:
        block = file.read(_BLOCK_BYTES)
        decoder = _decoder(block, codecs.lookup(encoding).name)
        offset, line, is_first = 0, 1, True
        while True:
            text = _decoded(decoder, block, offset, line)
            offset, line = offset + len(block), line + text.count("\n")
            yield text.removeprefix("\ufeff") if is_first else text
            if not block:
                return
            is_first = is_first and not text
            block = file.read(_BLOCK_BYTES)


def _decoder(start: bytes, encoding: str) -> codecs.IncrementalDecoder:
    if encoding in _BIG_ENDIAN and not start.startswith(_MARKS[encoding]):
        encoding = _BIG_ENDIAN[encoding]
    if other_format := find_other_format(start, encoding):
        raise WrongBytesError(other_format)
    return codecs.getincrementaldecoder(encoding)()


def find_other_format(start: bytes, encoding: str) -> str | None:
    """Return a phrase that names a file's format or encoding, or None if it seems to be the expected one.

    The phrase is, for example, ``a Parquet file``. `FIXES` contains advice for each phrase.

    Args:
        start: the first bytes of the file, for example its first block or line.
        encoding: Python's name of the expected encoding.
    """
    if binary := next((phrase for magic, (phrase, _) in _OTHER_FORMATS.items() if start.startswith(magic)), None):
        return binary
    wide = "" if encoding.startswith("utf-32") else _wide_by_mark(start) or _wide_by_zeros(start, encoding)
    is_expected = not wide or encoding == _PYTHON_NAMES[wide] or (encoding == "utf-16" and wide != "UTF-32")
    return None if is_expected else _WIDE_TEXT.format(wide)


def _wide_by_mark(start: bytes) -> str:
    if start.startswith(_MARKS["utf-32"]) or b"\0\0\0" in start[:4]:
        return "UTF-32"
    little, big = _MARKS["utf-16"]
    return "UTF-16LE" if start.startswith(little) else "UTF-16BE" if start.startswith(big) else ""


def _wide_by_zeros(start: bytes, encoding: str) -> str:
    """Return the UTF-16 encoding that the positions of zero bytes suggest, or an empty string.

    An ASCII character in UTF-16 has one zero byte, and most text files have ASCII characters, such as line endings.
    """
    little, big = (start[first:_START_BYTES:2].count(0) for first in (1, 0))
    if encoding.startswith("utf-16"):
        return "UTF-16LE" if little and not big else "UTF-16BE" if big and not little else ""
    return "" if b"\0" not in start[:4] else "UTF-16LE" if little > big else "UTF-16BE"


def find_control_character(text: str) -> tuple[int, str] | None:
    """Return the index of the first C1 control character (U+0080 to U+009F) in a text, and a phrase for error messages.

    The result is None if there is no such character. In a text decoded as ISO-8859-1, these characters suggest that it
    was written in windows-1252.
    """
    found = None if text.isascii() else _CONTROLS.search(text)
    return None if found is None else (found.start(), _CONTROL)


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, offset: int, line: int) -> str:
    held = len(decoder.getstate()[0])
    try:
        text = decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        start = offset - held + error.start
        line += error.object[: error.start].count(b"\n")
        raise WrongBytesError(f"byte {start + 1:,} (line {line:,}) is not {error.encoding.upper()}") from None
    if _is_latin(decoder) and (found := find_control_character(text)) is not None:
        index, phrase = found
        line += text.count(_LINE_END, 0, index)
        raise WrongBytesError(f"byte {offset + index + 1:,} (line {line:,}) is {phrase}")
    return text


def _is_latin(decoder: codecs.IncrementalDecoder) -> bool:
    return type(decoder).__module__ == "encodings.latin_1"
