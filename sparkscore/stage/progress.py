"""Tell the driver how far a task has come, by a small file in the stage (written by workers, read by the driver).

Files, not Spark's status, because they count items rather than tasks, and are there on Spark Connect too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from sparkscore.stage import layout
from sparkscore.stage.store import Store
from sparkscore.stage.surroundings import open_store

_SECONDS_BETWEEN_WRITES = 0.5


@dataclass(frozen=True)
class ItemsDone:
    """Items that tasks have finished so far.

    They are shown to people, and tell the run that it cannot succeed any more; its verdict rests on the reports.

    Attributes:
        items, failed: items that are done, and of these the ones that failed.
        failed_mini_batches: mini-batches with failed items.
    """

    items: int
    failed: int
    failed_mini_batches: int = 0


class ProgressFile:
    """One task's progress file, written at most twice a second and never torn.

    Attributes:
        is_stopped: whether the driver has asked all tasks to stop, as far as was seen at the last write.
    """

    def __init__(self, stage_folder: str, unit: int) -> None:
        self.is_stopped = False
        self._store = open_store(stage_folder)
        self._name = layout.progress(unit)
        self._items = 0
        self._failed = 0
        self._failed_mini_batches = 0
        self._next_write = 0.0

    def add(self, items: int, failed: int) -> None:
        """Count a finished mini-batch."""
        self._items += items
        self._failed += failed
        self._failed_mini_batches += failed > 0
        if time.monotonic() >= self._next_write:
            self._write()

    def close(self) -> None:
        """Write the last count."""
        if self._items:
            self._write()

    def _write(self) -> None:
        # Progress is a courtesy: a full disk here must not fail a mini-batch that was scored.
        with suppress(OSError):
            done = [self._items, self._failed, self._failed_mini_batches]
            self._store.put(self._name, json.dumps(done).encode(), is_durable=False)
            self.is_stopped = self._store.find(layout.STOP) is not None
        self._next_write = time.monotonic() + _SECONDS_BETWEEN_WRITES


def ask_to_stop(stage_folder: str) -> None:
    """Let the tasks make no more calls, since the run cannot succeed any more. Runs on the driver."""
    with suppress(OSError):  # each task still stops by its own failures
        open_store(stage_folder).touch(layout.STOP)


def forget_progress(stage_folder: str, kept: Collection[int]) -> None:
    """Remove what an earlier attempt has said, but of the units that it has done. Runs on the driver."""
    store = open_store(stage_folder)
    store.delete(layout.STOP)
    for name, unit in _units(store):
        if unit not in kept:
            store.delete(name)


def read_progress(stage_folder: str) -> ItemsDone:
    """Add up the progress of all tasks. Runs on the driver, while the tasks write."""
    items = failed = failed_mini_batches = 0
    store = open_store(stage_folder)
    for name, _ in _units(store):
        with suppress(OSError, ValueError):
            done = json.loads(store.read(name))
            # Earlier versions did not count mini-batches.
            failed_mini_batches += done[2] if len(done) > 2 else 0  # noqa: PLR2004 - the third of three numbers
            items, failed = items + done[0], failed + done[1]
    return ItemsDone(items, failed, failed_mini_batches)


def _units(store: Store) -> list[tuple[str, int]]:
    """Return the names of the progress files, each with its work unit."""
    found = ((entry.name, entry.name.rpartition("/")[2]) for entry in store.entries(layout.PROGRESS))
    return [(name, int(unit)) for name, unit in found if unit.isdecimal()]
