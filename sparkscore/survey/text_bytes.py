"""Read text files as the encoding says that they are, and tell what is wrong with their bytes (driver and worker)."""

from __future__ import annotations

import bz2
import codecs
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final, Self

import pyarrow as pa

_BLOCK_BYTES: Final = 1 << 20
# Python takes its own machine's order for these where there is no byte order mark, Java the big-endian one.
_BIG_ENDIAN: Final = {"utf-16": "utf-16-be", "utf-32": "utf-32-be"}
_WIDE: Final = ("utf-16", "utf-32")
_MARKS: Final = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
# Control characters that nobody writes: windows-1252 has the euro sign, dashes and curved quotes there.
_CONTROLS: Final = re.compile("[\x80-\x9f]")
_CONTROL: Final = "a control character in ISO-8859-1; windows-1252 has signs such as € and curved quotes there"
_RENAME: Final = "Rename the file, or unpack it."
# What a file is by its first bytes, and what to do then.
_KINDS_OF_FILES: Final = {
    b"\x1f\x8b": ("a gzip file, whose name must end with '.gz'", _RENAME),
    b"BZh": ("a bzip2 file, whose name must end with '.bz2'", _RENAME),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file, whose name must end with '.zst'", _RENAME),
    b"\xfd7zXZ": ("an XZ file, which Spark does not read", "Unpack it."),
    b"PK\x03\x04": ("a ZIP file or a workbook", "Unpack it, or save the sheet as a text file in UTF-8."),
    b"PAR1": ("a Parquet file", "Read it as such: --input-format parquet."),
}
_LINE_END: Final = "\n"
_LOOKED_AT: Final = 512
_MARK: Final = "a start as text in {} has it"
_TO_UTF8: Final = (
    "Convert the file to UTF-8: iconv -f {0} -t UTF-8 OLD > NEW. Or say how it is written: 'input.options: {{encoding: "
    "{0}}}'."
)
_OF_PYTHON: Final = {"UTF-16LE": "utf-16-le", "UTF-16BE": "utf-16-be", "UTF-32": "utf-32"}
#: What Spark's reader of JSON takes for a part of the first record.
MARK_OF_LINES: Final = "a byte order mark, which Spark does not pass over where each line is a record"
#: What to do about files that are called what they are.
FIXES: Final = {
    **dict(_KINDS_OF_FILES.values()),
    MARK_OF_LINES: "Convert the file to UTF-8: iconv -f UTF-16 -t UTF-8 OLD > NEW. Or remove its first two bytes.",
    **{_MARK.format(name): _TO_UTF8.format(name) for name in _OF_PYTHON},
}


class WrongBytesError(ValueError):
    """The bytes of a file are not text in its encoding; the message says which, and is a part of a sentence."""


class _Deflate:
    """A file of one zlib stream, which Hadoop calls deflate."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: PTH123, SIM115 - closed in __exit__
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


# What Hadoop reads by a file's ending, which it compares in lower case only.
_OPENERS: Final[Mapping[str, Callable[[str], Any]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".deflate": _Deflate,
    ".zst": lambda path: pa.input_stream(path, compression="zstd"),
}
#: Endings of files that Hadoop reads in a form of its own.
NOT_READ_HERE: Final = (".lz4", ".snappy")


def open_bytes(path: str) -> IO[bytes]:
    """Open a file and decompress it where its ending says so."""
    opener = next((opener for ending, opener in _OPENERS.items() if path.endswith(ending)), None)
    opened: IO[bytes] = open(path, "rb") if opener is None else opener(path)  # noqa: PTH123, SIM115 - callers close it
    return opened


def decoded_blocks(path: str, encoding: str) -> Iterator[str]:
    """Give the text of a file, block by block; a byte order mark is left out.

    Args:
        path: the file; it is decompressed where its ending says so.
        encoding: an encoding that Python knows.

    Raises:
        WrongBytesError: bytes are not text in that encoding.
        OSError: the file cannot be read, or is cut off where it is compressed (also `EOFError`, `zlib.error`).
    """
    with open_bytes(path) as file:
        block = file.read(_BLOCK_BYTES)
        decoder = _decoder(block, codecs.lookup(encoding).name)
        place, line, is_first = 0, 1, True
        while True:
            text = _decoded(decoder, block, place, line)
            place, line = place + len(block), line + text.count("\n")
            yield text.removeprefix("\ufeff") if is_first else text
            if not block:
                return
            is_first = is_first and not text
            block = file.read(_BLOCK_BYTES)


def _decoder(start: bytes, encoding: str) -> codecs.IncrementalDecoder:
    if encoding in _BIG_ENDIAN and not start.startswith(_MARKS[encoding]):
        encoding = _BIG_ENDIAN[encoding]
    if kind := other_kind(start, encoding):
        raise WrongBytesError(kind)
    return codecs.getincrementaldecoder(encoding)()


def other_kind(start: bytes, encoding: str) -> str | None:
    """Say what a file is by its first bytes, if that is no text in its encoding; None where nothing tells.

    `FIXES` has what to do then.

    Args:
        start: at least four bytes, where there are so many.
        encoding: Python's name of the encoding.
    """
    if kind := next((kind for magic, (kind, _) in _KINDS_OF_FILES.items() if start.startswith(magic)), None):
        return kind
    wide = "" if encoding.startswith("utf-32") else _wide_by_mark(start) or _wide_by_zeros(start, encoding)
    is_as_told = not wide or encoding == _OF_PYTHON[wide] or (encoding == "utf-16" and wide != "UTF-32")
    return None if is_as_told else _MARK.format(wide)


def _wide_by_mark(start: bytes) -> str:
    if start.startswith(_MARKS["utf-32"]) or b"\0\0\0" in start[:4]:
        return "UTF-32"
    little, big = _MARKS["utf-16"]
    return "UTF-16LE" if start.startswith(little) else "UTF-16BE" if start.startswith(big) else ""


def _wide_by_zeros(start: bytes, encoding: str) -> str:
    """Name an encoding by the zeros beside characters of ASCII, of which each text has some, such as line ends."""
    little, big = (start[first:_LOOKED_AT:2].count(0) for first in (1, 0))
    if encoding.startswith("utf-16"):
        return "UTF-16LE" if little and not big else "UTF-16BE" if big and not little else ""
    return "" if b"\0" not in start[:4] else "UTF-16LE" if little > big else "UTF-16BE"


def find_control_character(text: str) -> tuple[int, str] | None:
    """Give the place of a character in text of ISO-8859-1 that tells that it is none, and what it is."""
    found = None if text.isascii() else _CONTROLS.search(text)
    return None if found is None else (found.start(), _CONTROL)


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, place: int, line: int) -> str:
    held = len(decoder.getstate()[0])
    try:
        text = decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        start = place - held + error.start
        line += error.object[: error.start].count(b"\n")
        raise WrongBytesError(f"byte {start + 1:,} (line {line:,}) is not {error.encoding.upper()}") from None
    if _is_latin(decoder) and (found := find_control_character(text)) is not None:
        at, told = found
        raise WrongBytesError(f"byte {place + at + 1:,} (line {line + text.count(_LINE_END, 0, at):,}) is {told}")
    return text


def _is_latin(decoder: codecs.IncrementalDecoder) -> bool:
    return type(decoder).__module__ == "encodings.latin_1"
