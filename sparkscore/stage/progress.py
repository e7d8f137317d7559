"""Tell the driver how far a task has come, by a small file in the stage (written by workers, read by the driver).

Files, not Spark's status, because they count items rather than tasks, and are there on Spark Connect too.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sparkscore.removal import put_in_place, remove_file
from sparkscore.stage.layout import PROGRESS, STOP

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
        self._stop = Path(stage_folder) / STOP
        self._path = Path(stage_folder) / PROGRESS / str(unit)
        self._own = uuid.uuid4().hex  # two attempts at the unit may write at once
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
            self._path.parent.mkdir(exist_ok=True)
            unfinished = self._path.with_name(f".{self._path.name}.{self._own}")
            unfinished.write_text(json.dumps([self._items, self._failed, self._failed_mini_batches]))
            put_in_place(unfinished, self._path)
            self.is_stopped = self._stop.exists()
        self._next_write = time.monotonic() + _SECONDS_BETWEEN_WRITES


def ask_to_stop(stage_folder: str) -> None:
    """Let the tasks make no more calls, since the run cannot succeed any more. Runs on the driver."""
    with suppress(OSError):  # each task still stops by its own failures
        (Path(stage_folder) / STOP).touch()


def forget_progress(stage_folder: str, kept: Collection[int]) -> None:
    """Remove what an earlier attempt has said, but of the units that it has done. Runs on the driver."""
    remove_file(Path(stage_folder) / STOP)
    for path in (Path(stage_folder) / PROGRESS).glob("[0-9]*"):
        if int(path.name) not in kept:
            remove_file(path)


def read_progress(stage_folder: str) -> ItemsDone:
    """Add up the progress of all tasks. Runs on the driver, while the tasks write."""
    items = failed = failed_mini_batches = 0
    for path in (Path(stage_folder) / PROGRESS).glob("[0-9]*"):
        with suppress(OSError, ValueError):
            done = json.loads(path.read_text())
            # Earlier versions did not count mini-batches.
            failed_mini_batches += done[2] if len(done) > 2 else 0  # noqa: PLR2004 - the third of three numbers
            items, failed = items + done[0], failed + done[1]
    return ItemsDone(items, failed, failed_mini_batches)
