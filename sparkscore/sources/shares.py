"""Divide the files of an input into shares that different Spark tasks can read. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")
# A share is complete when its files have at least this many bytes in total.
_SHARE_BYTES: Final = 16 * 1024 * 1024
# One task may read many small files, but the list of files that is sent to the task must stay short.
_MOST_ITEMS: Final = 500


def in_shares(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[tuple[T, ...]]:
    """Divide files, or parts of files, into consecutive shares.

    A share is complete when it has at least 16 MiB in total, or 500 elements.

    Args:
        items: the files or the parts of files.
        size_of: a function that returns the size of an element in bytes.

    >>> list(in_shares([1, 16777216, 2, 3], lambda size: size))
    [(1, 16777216), (2, 3)]
    """
    share: list[T] = []
    size = 0
    for item in items:
        share.append(item)
        size += size_of(item)
        if size >= _SHARE_BYTES or len(share) >= _MOST_ITEMS:
            yield tuple(share)
            share, size = [], 0
    if share:
        yield tuple(share)


def byte_ranges(size_bytes: int) -> list[tuple[int, int | None]]:
    """Divide a file into ranges of 16 MiB, and return the start and end of each range.

    The last range may be shorter. Its end is None, which means the end of the file. An empty file has one range.

    >>> byte_ranges(5), byte_ranges(20_000_000)
    ([(0, None)], [(0, 16777216), (16777216, None)])
    """
    starts = [*range(0, size_bytes, _SHARE_BYTES)] or [0]
    return list(zip(starts, [*starts[1:], None], strict=True))
