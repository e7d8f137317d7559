"""Watch the memory of other processes while a test runs (Linux)."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Final

_EVERY_S: Final = 0.25
_LEAST_SAMPLES: Final = 24


class Memory:
    """Samples of the resident memory of Python processes.

    Attributes:
        samples: the sizes in KiB that were seen of each process, in order of time, by process id.
    """

    def __init__(self) -> None:
        self.samples: dict[int, list[int]] = defaultdict(list)

    def growth(self) -> float:
        """Return by which factor the process that grew most did so, from its third quarter to its last quarter.

        The first half is left out: a process imports packages there, waits for the model, and its allocator keeps the
        memory of the first mini-batches. Processes that were seen a few times only are not counted.
        """
        counted = [sizes for sizes in self.samples.values() if len(sizes) >= _LEAST_SAMPLES]
        assert counted, "no process ran long enough"
        return max(_last(sizes) / _third(sizes) for sizes in counted)


def _third(sizes: list[int]) -> float:
    return median(sizes[len(sizes) // 2 : 3 * len(sizes) // 4])


def _last(sizes: list[int]) -> float:
    return median(sizes[3 * len(sizes) // 4 :])


@contextmanager
def python_memory_of(leaders: Iterable[int]) -> Iterator[Memory]:
    """Sample the memory of all Python processes below some processes while the ``with`` block runs."""
    memory, ended = Memory(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(memory, frozenset(leaders), ended), daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        ended.set()
        watcher.join()


def _watch(memory: Memory, leaders: frozenset[int], ended: threading.Event) -> None:
    while not ended.is_set():
        for pid in _below(leaders):
            with suppress(OSError, ValueError, IndexError):
                if "python" in Path(f"/proc/{pid}/comm").read_text():
                    status = Path(f"/proc/{pid}/status").read_text()
                    memory.samples[pid].append(int(status.partition("VmRSS:")[2].split()[0]))
        time.sleep(_EVERY_S)


def _below(leaders: frozenset[int]) -> set[int]:
    """Return the process ids of all processes below the given ones."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, before = set(leaders), 0
    while len(found) > before:
        before = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - leaders
