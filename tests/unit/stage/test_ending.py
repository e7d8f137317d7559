from __future__ import annotations

import pytest
from pyspark.errors import PySparkRuntimeError

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import (
    ConfigError,
    LineageError,
    MissingDependencyError,
    ScoringError,
    SinkConflictError,
    SinkError,
)
from sparkscore.spark.endings import ending_of
from sparkscore.stage.ending import Ending, keeps_stage


def hidden_interrupt() -> Exception:
    error = PySparkRuntimeError("cancelled")
    error.__context__ = KeyboardInterrupt()
    return error


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (KeyboardInterrupt(), Ending.INTERRUPTED),
        (SystemExit(143), Ending.INTERRUPTED),
        (hidden_interrupt(), Ending.INTERRUPTED),
        (SinkError(code=ErrorCode.PUBLISH_FAILED, what="x", next_step=""), Ending.NOT_WRITTEN),
        (LineageError(code=ErrorCode.RUNS_FOLDER, what="x", next_step=""), Ending.NOT_WRITTEN),
        (LineageError(code=ErrorCode.OTHER_FORMAT, what="x", next_step=""), Ending.OTHER_FORMAT),
        (SinkConflictError(code=ErrorCode.RUN_LOCK_LOST, what="x", next_step=""), Ending.OVERTAKEN),
        (MissingDependencyError(code=ErrorCode.DELTA_SESSION, what="x", next_step=""), Ending.NOT_WRITTEN),
        (MissingDependencyError(code=ErrorCode.JAVA_MISSING, what="x", next_step=""), Ending.REFUSED),
        (PySparkRuntimeError("an executor was lost"), Ending.MACHINES),
        (ScoringError(code=ErrorCode.WORKER_DIED, what="x", next_step=""), Ending.MACHINES),
        (ScoringError(code=ErrorCode.SCRIPT_RUN, what="x", next_step=""), Ending.REFUSED),
        (ConfigError(code=ErrorCode.RUN_ID_USED, what="x", next_step=""), Ending.REFUSED),
        (ValueError("a defect"), Ending.REFUSED),
    ],
)
def test_an_error_tells_how_the_attempt_ended(error: BaseException, ending: Ending) -> None:
    assert ending_of(error) is ending


@pytest.mark.parametrize("ending", [ending for ending in Ending if ending is not Ending.OTHER_FORMAT])
def test_what_is_kept_goes_by_the_ending_and_by_what_there_is_to_keep(ending: Ending) -> None:
    may_pass = ending in {Ending.INTERRUPTED, Ending.NOT_WRITTEN, Ending.MACHINES}

    assert keeps_stage(ending, is_held=False, has_chunks=True) is may_pass
    assert not keeps_stage(ending, is_held=False, has_chunks=False)
    assert keeps_stage(ending, is_held=True, has_chunks=False)


@pytest.mark.parametrize("has_chunks", [True, False])
def test_what_another_version_wrote_is_kept_whether_or_not_this_one_finds_chunks(has_chunks: bool) -> None:  # noqa: FBT001
    assert keeps_stage(Ending.OTHER_FORMAT, is_held=False, has_chunks=has_chunks)
