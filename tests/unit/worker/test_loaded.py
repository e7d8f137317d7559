"""What a worker process does when its scorer does not load."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.outcome import Failure
from sparkscore.worker.child.supervisor import LOAD_ENDED
from sparkscore.worker.engine import Loaded
from sparkscore.worker.loaded import LoadedEngine

KILLED, RAISED = Failure(LOAD_ENDED, "ModelLoadError", ""), Failure(ErrorCode.SCRIPT_INIT, "OSError", "")


class LoadingEngine:
    """An engine whose loads end as a test lined up."""

    def __init__(self, ends: Sequence[Failure | None]) -> None:
        self.ends = list(ends)
        self.is_loaded = False

    def load(self) -> Loaded:
        failure = self.ends.pop(0)
        self.is_loaded = failure is None
        return Loaded(failure)


@pytest.mark.parametrize(
    ("ends", "loads", "failure"),
    [
        ([None], 1, None),
        ([KILLED, None], 2, None),
        ([KILLED, KILLED, None], 3, None),
        ([KILLED, KILLED, KILLED, None], 3, KILLED),
        ([RAISED, None], 1, RAISED),
        ([KILLED, RAISED, None], 2, RAISED),
    ],
)
def test_a_load_whose_process_was_killed_is_tried_again_ever_later_and_one_that_raised_is_not(
    ends: list[Failure | None], loads: int, failure: Failure | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    engine = LoadingEngine(ends)
    loaded = LoadedEngine("key", "worker", engine)  # type: ignore[arg-type]  # as much of an engine as loading takes

    loaded.ensure()
    loaded.ensure()

    assert (loaded.loads, loaded.failure) == (loads, failure)
    assert waits == [0, 1, 3][:loads]
    assert loaded.describe().is_loaded == (failure is None)
