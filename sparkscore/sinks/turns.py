"""Lock a folder of Parquet files, so that only one run at a time checks and changes it. Runs on the driver.

Delta tables do not need this lock, because Delta detects conflicting commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, LineageError, SinkError
from sparkscore.sinks.target import Target, how_to_publish
from sparkscore.stage.layout import STAGE_FOLDER, TARGET_LOCK
from sparkscore.stage.lock import RunLock
from sparkscore.stage.surroundings import open_store

#: Seconds that a run waits for another run to publish. The lock of a driver that died on another host expires sooner.
WAIT_S: Final = 120.0
_PAUSE_S: Final = 0.2


@contextmanager
def turn_at(target: Target) -> Iterator[Callable[[], None]]:
    """Hold an output's lock within a ``with`` block, so that no other run publishes to the output.

    If another run holds the lock, wait up to `WAIT_S` seconds.

    Yields:
        a function that raises an error if this run no longer holds the lock. Call it directly before the rename that
        publishes the files, because a run whose process was suspended may have lost the lock.

    Raises:
        SinkError: the lock cannot be acquired in time, or the lock file cannot be written.
    """
    holder = target.path / STAGE_FOLDER
    with ExitStack() as stack:
        stack.callback(open_store(holder).drop)  # the folder stays if another run uses it
        end = time.monotonic() + WAIT_S
        while True:
            lock = RunLock(holder / TARGET_LOCK, target.run_id)
            try:
                stack.enter_context(lock)
                break
            except ConfigError as error:
                if time.monotonic() >= end:
                    raise _busy(target, error.got) from error
                time.sleep(_PAUSE_S)
            except LineageError as error:
                raise SinkError(
                    code=ErrorCode.PUBLISH_FAILED,
                    what=f"the lock of the output '{target.path}'",
                    got=error.got,
                    expected="a file that can be written",
                    state="The output is as it was before the run.",
                    next_step=how_to_publish(target),
                ) from error

        def check() -> None:
            if not lock.is_ours():
                raise _busy(target, "another run, which took this one for dead")

        yield check


def forget_dead_turn(target: Target) -> None:
    """Remove an output's lock if the driver that held it died, and then the lock's folder if it is empty.

    The lock of a live driver is kept.
    """
    holder = target.path / STAGE_FOLDER
    if open_store(holder).find(TARGET_LOCK) is not None:
        with suppress(ConfigError, LineageError), RunLock(holder / TARGET_LOCK, target.run_id):
            pass
    open_store(holder).drop()


def _busy(target: Target, got: str) -> SinkError:
    return SinkError(
        code=ErrorCode.OUTPUT_BUSY,
        what=f"the output '{target.path}'",
        got=got,
        expected="a lock on the output that can be taken",
        state="The output is as it was before the run.",
        next_step=f"Run the same run id again, or 'sparkscore publish {target.run_id}'; nothing is scored again.",
    )
