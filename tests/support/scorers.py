"""Stand-ins for scorers, for tests of the worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import ScriptSpec
from sparkscore.stage.stage_folder import TaskFolder
from sparkscore.worker import WorkerSpec

Score = Callable[[MiniBatch], object]


class RecordingScorer:
    """A scorer that calls a function of the test and keeps the mini-batches that it got."""

    def __init__(self, score: Score | None = None) -> None:
        self.called: list[MiniBatch] = []
        self.closed = 0
        self._score = score or (lambda mini_batch: [1] * mini_batch.item_count)

    def load(self) -> None:
        raise AssertionError("load_scorer() has done this")

    def score(self, mini_batch: MiniBatch) -> object:
        self.called.append(mini_batch)
        return self._score(mini_batch)

    def close(self) -> None:
        self.closed += 1


class Loads:
    """A stand-in for `load_scorer` that returns the scorers, or raises the errors, of the list `coming` in order."""

    def __init__(self) -> None:
        self.coming: list[RecordingScorer | BaseException] = []
        self.done = 0

    def __call__(self, spec: ScriptSpec) -> RecordingScorer:
        assert isinstance(spec, ScriptSpec)
        self.done += 1
        made = self.coming.pop(0)
        if isinstance(made, BaseException):
            raise made
        return made


def folder_of(spec: WorkerSpec) -> Path:
    """Return the folder of the stage that a task writes to."""
    assert isinstance(spec.stage, TaskFolder)
    return Path(spec.stage.folder)
