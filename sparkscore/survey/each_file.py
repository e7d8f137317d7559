"""Read a small part of many files, in several threads if files are slow. Runs on the driver and the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")
# A mounted store answers many requests at the same time. On a local disk, a footer or a first line takes less than a
# millisecond, most of it in Python, and threads that wait for each other would be slower.
_THREADS: Final = 16
_FEW: Final = 32
_SLOW_S: Final = 0.002


def read_each(read: Callable[[str], T], paths: Iterable[str]) -> Iterator[T]:
    """Call a function once for each path, and yield the results in the order of the paths.

    Several threads are used from the first 32 files on that take more than two milliseconds each.
    """
    left = iter(paths)
    while few := list(islice(left, _FEW)):
        start = time.perf_counter()
        found = [read(path) for path in few]
        is_slow = time.perf_counter() - start > _SLOW_S * len(few)
        yield from found
        if is_slow:
            break
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(read, left)
