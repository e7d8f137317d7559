"""The largest memory of the processes of a side, by their part: driver, JVM, workers (Linux)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_EVERY_S: Final = 0.2


class Peaks:
    """The largest resident memory in MiB that was seen: of the driver, of a JVM, and of the largest worker."""

    def __init__(self) -> None:
        self.driver_mib = self.jvm_mib = self.worker_mib = 0.0

    def facts(self) -> dict[str, float]:
        """Return the peaks by name."""
        return {"driver_mib": self.driver_mib, "jvm_mib": self.jvm_mib, "worker_mib": self.worker_mib}

    def look(self, driver: int) -> None:
        """Look at the processes of a driver once. A process's own mark of its peak is read, so none is missed."""
        for pid in _family(driver):
            with suppress(OSError, ValueError, IndexError):
                status = Path(f"/proc/{pid}/status").read_text()
                mib = int(status.partition("VmHWM:")[2].split()[0]) / 1024
                if status.startswith("Name:\tjava"):
                    self.jvm_mib = max(self.jvm_mib, mib)
                elif pid == driver:
                    self.driver_mib = max(self.driver_mib, mib)
                else:
                    self.worker_mib = max(self.worker_mib, mib)


@contextmanager
def peaks_of(driver: int) -> Iterator[Peaks]:
    """Watch the memory of a process and of all below it while the ``with`` block runs."""
    peaks, ended = Peaks(), threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            peaks.look(driver)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()
        peaks.look(driver)


def _family(leader: int) -> set[int]:
    """Return a process id and those of all processes below it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, before = {leader}, 0
    while len(found) > before:
        before = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found
