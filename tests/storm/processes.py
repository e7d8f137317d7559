"""Find the processes of one driver and kill only these. Check after a kill whether it ended the process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

#: Every process of a life inherits this variable, so that it is known as ours even when its parents are dead.
MARK: Final = "SPARKSCORE_STORM_LIFE"

Role = Literal["executor", "worker", "child"]


@dataclass(frozen=True)
class Process:
    """A process, identified by its id and its start time, because a later process may have the same id."""

    pid: int
    parent: int
    began: str
    command: str

    @property
    def is_alive(self) -> bool:
        fields = _fields(self.pid)
        return fields is not None and fields[19] == self.began

    def kill(self) -> bool:
        """Kill the process, and return whether it was alive before and is gone after."""
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                # The descriptor means one process for ever: what is true of it now stays true when the signal is sent.
                if not self.is_alive:
                    return False
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)
            return wait_until(lambda: not self.is_alive, 10)
        return False


def of_life(mark: str) -> list[Process]:
    """Return the living processes whose environment has the mark of a driver."""
    line = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if line not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            fields = _fields(int(folder.name))
            if fields is not None:
                found.append(Process(int(folder.name), int(fields[1]), fields[19], command))
    return found


def below(top: int, processes: Iterable[Process]) -> list[Process]:
    """Return those of the given processes that descend from a process."""
    all_of_them = list(processes)
    kept, tops = list[Process](), {top}
    while tops:
        children = [process for process in all_of_them if process.parent in tops]
        kept += children
        tops = {process.pid for process in children}
    return kept


def with_role(role: Role, processes: Iterable[Process]) -> list[Process]:
    """Return the processes with one role: executors' JVMs, Python workers of Spark's daemon, or children that score."""
    all_of_them = list(processes)
    daemons = {process.pid for process in all_of_them if "pyspark.daemon" in process.command}
    scoring = {process.pid for process in all_of_them if "sparkscore.worker.child.main" in process.command}
    tests: dict[Role, Callable[[Process], bool]] = {
        "executor": lambda process: "CoarseGrainedExecutorBackend" in process.command,
        "worker": lambda process: process.pid in daemons and process.parent in daemons,
        "child": lambda process: process.pid in scoring and process.parent in scoring,  # a copy of its parent
    }
    return [process for process in all_of_them if tests[role](process)]


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for a condition, and return whether it became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _fields(pid: int) -> list[str] | None:
    """Return the fields of `/proc/PID/stat` from the state on, or None if the process has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields
