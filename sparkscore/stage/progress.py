"""Progress files: tasks write how many items they have done, and the driver reads it (driver and worker).

Spark's own status is not used, because it counts tasks instead of items and Spark Connect does not have it.
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
    """How many items the tasks have done so far.

    These numbers are shown to people, and let the run stop early if too many items failed. Whether a run succeeded is
    decided by the reports.

    Attributes:
        items, failed: number of items that are done, and how many of them failed.
        failed_mini_batches: number of mini-batches with failed items.
    """

    items: int
    failed: int
    failed_mini_batches: int = 0


class ProgressFile:
    """The progress file of one task. It is written atomically, and at most twice a second.

    Attributes:
        is_stopped: whether the driver had asked all tasks to stop when the file was written last.
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
        """Count a mini-batch that is done."""
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
        # A mini-batch that was scored must not fail because its progress cannot be written.
        with suppress(OSError):
            done = [self._items, self._failed, self._failed_mini_batches]
            self._store.put(self._name, json.dumps(done).encode(), is_durable=False)
            self.is_stopped = self._store.find(layout.STOP) is not None
        self._next_write = time.monotonic() + _SECONDS_BETWEEN_WRITES


def ask_to_stop(stage_folder: str) -> None:
    """Ask all tasks to make no more calls, because the run cannot succeed any more. Runs on the driver."""
    with suppress(OSError):  # each task also stops by its own failures
        open_store(stage_folder).touch(layout.STOP)


def forget_progress(stage_folder: str, kept: Collection[int]) -> None:
    """Remove the progress files of an earlier attempt, except for some work units. Runs on the driver.

    Args:
        stage_folder: path of the run's stage.
        kept: the work units that are done.
    """
    store = open_store(stage_folder)
    store.delete(layout.STOP)
    for name, unit in _units(store):
        if unit not in kept:
            store.delete(name)


def read_progress(stage_folder: str) -> ItemsDone:
    """Add up the progress of all tasks. Runs on the driver, while the tasks are writing."""
    items = failed = failed_mini_batches = 0
    store = open_store(stage_folder)
    for name, _ in _units(store):
        with suppress(OSError, ValueError):
            done = json.loads(store.read(name))
            # Earlier versions did not count failed mini-batches.
            failed_mini_batches += done[2] if len(done) > 2 else 0  # noqa: PLR2004 - the third of three numbers
            items, failed = items + done[0], failed + done[1]
    return ItemsDone(items, failed, failed_mini_batches)


def _units(store: Store) -> list[tuple[str, int]]:
    """Return the names of the progress files in a stage, each with its work unit."""
    found = ((entry.name, entry.name.rpartition("/")[2]) for entry in store.entries(layout.PROGRESS))
    return [(name, int(unit)) for name, unit in found if unit.isdecimal()]
