"""Stand-ins for scorers, for the tests of what a worker does with the results of `run()`."""

from __future__ import annotations

from collections.abc import Callable

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import ScriptSpec

Score = Callable[[MiniBatch], object]


class RecordingScorer:
    """A scorer that does what the test says and remembers what was asked of it."""

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
    """Stands for `load_scorer`: gives the scorers, or raises the errors, that a test lined up."""

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
