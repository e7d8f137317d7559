"""Split a text file, or a part of one, into lines as Spark's readers do.

Runs on the driver and the workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final

from sparkscore.survey.text_bytes import open_bytes

_BLOCK: Final = 1 << 20


def read_lines(path: str, start: int, end: int | None, separator: bytes | None) -> Iterator[bytes]:
    r"""Yield the lines that begin in a part of a file, including their line endings.

    Args:
        path: the path of the file.
        start: the offset of the first byte of the part; 0 for a compressed file.
        end: the offset of the first byte after the part, or None for the end of the file.
        separator: the bytes that end a line, or None for any of ``\n``, ``\r\n`` and ``\r``.
    """
    with open_bytes(path) as file:
        lines, offset = _split(file, separator), start
        if start:
            # Whether a line begins at the first byte depends on the bytes before it.
            width = 1 if separator is None else len(separator)
            offset = max(0, start - width)
            file.seek(offset)
            offset += len(next(lines, b""))
        for line in lines:
            if end is not None and offset >= end:
                return
            yield line
            offset += len(line)


def _split(file: IO[bytes], separator: bytes | None) -> Iterator[bytes]:
    pending: list[bytes] = []
    while block := file.read(_BLOCK):
        # The blocks of a long line are joined once, when its end is found.
        if separator is None and b"\n" not in block and b"\r" not in block:
            pending.append(block)
            continue
        lines = _split_lines(b"".join([*pending, block]), separator)
        # The last line, or the second half of its line ending, may continue in the next block.
        pending = [lines.pop()]
        yield from lines
    if any(pending):
        yield from _split_lines(b"".join(pending), separator)


def _split_lines(content: bytes, separator: bytes | None) -> list[bytes]:
    if separator is None:
        return content.splitlines(keepends=True)
    lines = content.split(separator)
    last = lines.pop()
    return [*(line + separator for line in lines), *([last] if last else [])]
