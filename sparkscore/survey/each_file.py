"""Read a small part of each of many files, in several threads if this is slow. Runs on the driver and the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from statistics import median
from typing import Final, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")
# A mounted store answers many requests at the same time. On a local disk, a footer or a first line takes less than a
# millisecond, nearly all of it in Python, and threads that wait for each other would be slower.
_THREADS: Final = 16
_FEW: Final = 32
_SLOW_S: Final = 0.001


def read_each(read: Callable[[Item], Found], files: Iterable[Item]) -> Iterator[Found]:
    """Call a function once for each file, and yield the results in the order of the files.

    The function is called for 32 files at a time, in the current thread. As soon as most of 32 calls take more than a
    millisecond, and they spend more than a millisecond each waiting, the function is called for all remaining files in
    several threads.

    Args:
        read: the function. It may wait for a store, and several threads may call it.
        files: the files, for example their paths.
    """
    left = iter(files)
    while few := list(islice(left, _FEW)):
        found, seconds, worked = [], [], time.thread_time()
        for file in few:
            start = time.perf_counter()
            found.append(read(file))
            seconds.append(time.perf_counter() - start)
        # The CPU time is asked for only once, because this may take as long as a call. The median, because some calls
        # take long only because other processes are running on a busy machine.
        waited = sum(seconds) - (time.thread_time() - worked)
        yield from found
        if median(seconds) > _SLOW_S and waited > _SLOW_S * len(few):
            break
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(read, left)
