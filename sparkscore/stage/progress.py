"""Write and read progress files, which show the driver how many items are done. Runs on the driver and the workers.

Spark's own job status is not used, because it counts tasks instead of items.
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
    """How many items the tasks have processed so far, in total.

    These numbers are shown to the user, and let a run stop early if too many items have failed.

    Attributes:
        items: number of processed items.
        failed: number of these items that failed.
        failed_mini_batches: number of mini-batches with failed items.
    """

    items: int
    failed: int
    failed_mini_batches: int = 0


class ProgressFile:
    """The progress file of one task, written by `add` at most twice a second, and once more by `close`.

    Attributes:
        is_stopped: whether the driver had asked all tasks to stop when the file was last written. False before the
            first write.
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
        """Count the items of a finished mini-batch. Write the file if the last write was at least half a second ago.

        Any `OSError` is ignored.

        Args:
            items: number of items in the mini-batch.
            failed: number of these items that failed.
        """
        self._items += items
        self._failed += failed
        self._failed_mini_batches += failed > 0
        if time.monotonic() >= self._next_write:
            self._write()

    def close(self) -> None:
        """Write the final item counts to the file, unless no items were counted. Any `OSError` is ignored."""
        if self._items:
            self._write()

    def _write(self) -> None:
        # A scored mini-batch must not fail because the progress file cannot be written.
        with suppress(OSError):
            done = [self._items, self._failed, self._failed_mini_batches]
            self._store.put(self._name, json.dumps(done).encode(), is_durable=False)
            self.is_stopped = self._store.find(layout.STOP) is not None
        self._next_write = time.monotonic() + _SECONDS_BETWEEN_WRITES


def ask_to_stop(stage_folder: str) -> None:
    """Ask all tasks to stop, because the run can no longer succeed. Any `OSError` is ignored."""
    with suppress(OSError):  # each task also stops when too many of its own items fail
        open_store(stage_folder).touch(layout.STOP)


def forget_progress(stage_folder: str, kept: Collection[int]) -> None:
    """Remove the stop request and the progress files of an earlier execution of the run. Runs on the driver.

    Args:
        stage_folder: path of the run's stage.
        kept: numbers of the finished work units, whose progress files are kept.
    """
    store = open_store(stage_folder)
    store.delete(layout.STOP)
    for name, unit in _units(store):
        if unit not in kept:
            store.delete(name)


def read_progress(stage_folder: str) -> ItemsDone:
    """Return the totals of all progress files. Runs on the driver.

    Tasks may be writing these files at the same time. Files that cannot be read or parsed are skipped. If the files
    cannot be listed, all totals are 0.
    """
    store, found = open_store(stage_folder), list[ItemsDone]()
    with suppress(OSError):
        found = [_read(store, name) for name, _ in _units(store)]
    return ItemsDone(
        sum(done.items for done in found),
        sum(done.failed for done in found),
        sum(done.failed_mini_batches for done in found),
    )


def _read(store: Store, name: str) -> ItemsDone:
    """Return the item counts in a progress file, or zeros if the file cannot be read or parsed."""
    with suppress(OSError, ValueError, RecursionError):
        numbers = json.loads(store.read(name))
        if isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers):
            # Earlier versions did not count failed mini-batches.
            items, failed, failed_mini_batches = [*numbers, 0][:3]
            return ItemsDone(items, failed, failed_mini_batches)
    return ItemsDone(0, 0)


def _units(store: Store) -> list[tuple[str, int]]:
    """Return the names of the progress files in a stage, each with its work unit's number."""
    found = ((entry.name, entry.name.rpartition("/")[2]) for entry in store.entries(layout.PROGRESS))
    return [(name, int(unit)) for name, unit in found if unit.isdecimal()]
