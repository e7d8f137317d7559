"""Simulated driver processes over one store: how each lives, and how it ended."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

from sparkscore.errors import SparkscoreError
from sparkscore.stage import surroundings
from tests.support.simulation.store import Crash, Event, FaultyStores, Process

COMPLETE, ERROR, DEAD, RAW = "complete", "error", "dead", "raw"
#: What an error says if its driver has published nothing.
NOTHING: Final = (
    "Nothing was written",
    "Nothing was published",
    "nothing was published",
    "as it was before the run",
)


@dataclass(frozen=True)
class Ended:
    """How a simulated driver ended.

    Attributes:
        how: `COMPLETE`, `ERROR` for a `SparkscoreError`, `DEAD`, or `RAW` for any other exception.
        process: the driver's process.
        error: the exception, if there was one.
        record: the run record.
    """

    how: str
    process: Process
    error: BaseException | None = None
    record: Mapping[str, Any] | None = None

    @property
    def code(self) -> str:
        return getattr(self.error, "code", "")

    def __str__(self) -> str:
        return f"{self.how}{'' if self.error is None else f': {type(self.error).__name__} {self.error}'}"


class Drivers:
    """The simulated drivers that use the stores below a folder.

    Attributes:
        root: the folder.
        rng: the source of all random names, made from the seed.
        store: the stores, whose calls may fail.
        alive: the ids of the processes that are alive.
        has_hosts: whether each process has a host of its own.
    """

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng = root, rng
        self.store = FaultyStores(root, self.token)
        self.alive: set[int] = set()
        self.has_hosts = False
        self._lives = 0

    def forget(self) -> None:
        """Begin again as if no driver had lived yet."""
        self.alive.clear()
        self.has_hosts, self._lives = False, 0

    def lived(self, work: Callable[[], Any], events: Mapping[int, Event] | None = None) -> Ended:
        """Do a driver's work in a simulated process until it ends or is killed.

        Args:
            work: the work, which returns the run record.
            events: what happens at calls of the stores, by the number of the call.
        """
        process = self._new_process(events)
        with self.store.lived_by(process):
            try:
                ended = Ended(COMPLETE, process, record=work())
            except Crash:
                ended = Ended(DEAD, process)
            except SparkscoreError as error:
                ended = Ended(ERROR, process, error, error.record)
            except Exception as error:  # noqa: BLE001 - what a user would see as a traceback
                ended = Ended(RAW, process, error)
            self.alive.discard(process.pid)
            # What the script's call died of is taken for an error of the script, until the next call of the store.
            return replace(ended, how=DEAD) if process.is_dead else ended

    def _new_process(self, events: Mapping[int, Event] | None) -> Process:
        self._lives += 1
        process = Process(1_000_000 + self._lives, dict(events or {}))
        self.alive.add(process.pid)
        return process

    def host(self) -> str:
        """Return the host name, the same for all processes, or one for each if `has_hosts` is set."""
        process = self.store.process
        return f"host-{process.pid if process is not None and self.has_hosts else 0}"

    def token(self) -> str:
        """Return a random name; for simulated processes it comes from the seed."""
        return f"{self.rng.getrandbits(128):032x}" if self.store.process else uuid.uuid4().hex

    def process(self) -> surroundings.Process:
        """Return the identity of the calling process; each simulated driver has its own process id."""
        process = self.store.process
        pid = process.pid if process is not None else os.getpid()
        return surroundings.Process(pid, self.host(), "of all lives", self.began(pid))

    def began(self, pid: int) -> str | None:
        return f"life {pid}" if pid in self.alive else None

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the product use these stores and processes, without waiting times."""
        here = surroundings.Surroundings(self.store.open, self.token, self.process, self.began, self.store.call)
        with ExitStack() as stack:
            stack.enter_context(surroundings.put_into(here))
            stack.enter_context(mock.patch("sparkscore.stage.lock.BEAT_S", 3600.0))
            yield


def grow_older(lock: Path, seconds: float = 60.0) -> None:
    """Let time pass: make the heartbeat of a lock older."""
    then = lock.stat().st_mtime - seconds
    os.utime(lock, (then, then))
