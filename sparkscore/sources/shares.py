"""Divide the files of an input into shares for Spark's tasks (driver)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")
# A share is full when its items have this many bytes or more.
_SHARE_BYTES: Final = 16 * 1024 * 1024
# Many small files make one task and one answer, but the list of them must stay short.
_MOST_ITEMS: Final = 500


def in_shares(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[tuple[T, ...]]:
    """Divide items into shares of about 16 MiB, and of at most 500 items, in their order.

    Args:
        items: files or parts of files.
        size_of: returns the bytes of an item.

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
    """Divide a file into ranges of 16 MiB: the start and the end of each. The last one has no end.

    >>> byte_ranges(5), byte_ranges(20_000_000)
    ([(0, None)], [(0, 16777216), (16777216, None)])
    """
    starts = [*range(0, size_bytes, _SHARE_BYTES)] or [0]
    return list(zip(starts, [*starts[1:], None], strict=True))
