"""Read the lines of text files, or of a part of one, as Spark's readers cut them (driver and worker)."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

_BLOCK: Final = 1 << 20


def _open_zstd(path: str) -> Any:
    return pa.input_stream(path, compression="zstd")


# By the end of a file's name, as Hadoop has it.
OPENERS: Final[Mapping[str, Callable[..., Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".zst": _open_zstd}
#: Endings that Hadoop unpacks and nothing here does.
UNREADABLE: Final = (".deflate", ".lz4", ".snappy")


def open_text(path: str) -> IO[bytes]:
    """Open a file for reading its bytes, unpacked where its name says that it is packed."""
    opener = OPENERS.get(Path(path).suffix)
    file: IO[bytes] = Path(path).open("rb") if opener is None else opener(path)  # noqa: SIM115 - the caller closes it
    return file


def is_packed(path: str) -> bool:
    """Tell whether a file is packed, so that it can be read from its start only."""
    return Path(path).suffix in OPENERS


def read_lines(path: str, start: int, end: int | None, separator: bytes | None) -> Iterator[bytes]:
    r"""Give the lines that begin in a part of a file, each with its end.

    Args:
        path: the file.
        start: first byte of the part; 0 for a packed file.
        end: first byte behind the part; None for the end of the file.
        separator: what ends a line; None for ``\n``, ``\r\n`` and ``\r``.
    """
    with open_text(path) as file:
        lines, place = _split(file, separator), start
        if start:
            # The byte before tells whether a line begins at the first one.
            width = 1 if separator is None else len(separator)
            place = max(0, start - width)
            file.seek(place)
            place += len(next(lines, b""))
        for line in lines:
            if end is not None and place >= end:
                return
            yield line
            place += len(line)


def _split(file: IO[bytes], separator: bytes | None) -> Iterator[bytes]:
    waiting: list[bytes] = []
    while block := file.read(_BLOCK):
        # A long line is put together once, at its end.
        if separator is None and b"\n" not in block and b"\r" not in block:
            waiting.append(block)
            continue
        lines = _cut(b"".join([*waiting, block]), separator)
        # The end of the last one may be in the next block, also the second half of it.
        waiting = [lines.pop()]
        yield from lines
    if any(waiting):
        yield from _cut(b"".join(waiting), separator)


def _cut(content: bytes, separator: bytes | None) -> list[bytes]:
    if separator is None:
        return content.splitlines(keepends=True)
    lines = content.split(separator)
    last = lines.pop()
    return [*(line + separator for line in lines), *([last] if last else [])]
