"""Let Ctrl-C and SIGTERM end a run in good order: the record says ABORT, Spark stops, the exit code tells why (driver).

A terminal sends Ctrl-C to every process of its foreground group. Spark's JVM is started with SIGINT ignored, so it
lives until this process stops it; its Python workers are in a group of their own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

from sparkscore.errors import SparkscoreError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_CODE_OF_SIGNALS: Final = 128
_PATIENCE_S: Final = 5.0
_SECONDS_TO_STOP: Final = 10.0


class InterruptedRunError(SystemExit):
    """A signal asked this process to end; a SystemExit, so that no handler of errors takes it for one."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        # What became of the data is noted by who knows it: see `sparkscore.run.recording.recorded`.
        super().__init__(f"interrupted by {'Ctrl-C' if name == 'SIGINT' else name}.")
        self.code = self.exit_code = _EXIT_CODE_OF_SIGNALS + number


class Interrupts:
    """Turns the first signal into an exception in the main thread, and keeps later ones from cutting the end short."""

    def __init__(self) -> None:
        self.received: InterruptedRunError | None = None
        self._first_at = 0.0
        self._cancel: Callable[[], object] | None = None
        self._former: dict[int, object] = {}

    def install(self) -> None:
        """Take the signals. A signal that the parent wants ignored (`nohup`, a shell's `&`) stays ignored."""
        for number in _SIGNALS:
            former = self._former.setdefault(number, signal.getsignal(number))
            signal.signal(number, signal.SIG_IGN if former == signal.SIG_IGN else self._handle)

    def remove(self) -> None:
        """Give the signals back."""
        for number, former in self._former.items():
            signal.signal(number, former)  # type: ignore[arg-type] # what getsignal() gave

    def watch(self, session: SparkSession) -> None:
        """Cancel this session's jobs on a signal.

        Spark has put its own handler in the place of ours. That one calls the JVM on the main thread's connection,
        which may be in the middle of another call.
        """
        self._cancel = session.interruptAll
        self.install()

    def behind(self, error: BaseException) -> BaseException:
        """Return the interrupt, if one was received: what fails after it, fails because of it."""
        if self.received is None:
            return error
        if isinstance(error, SparkscoreError) and error.state:
            self.received.add_note(error.state)
        return self.received

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            if time.monotonic() - self._first_at > _PATIENCE_S:
                os._exit(self.received.exit_code)
            return
        self.received = InterruptedRunError(number)
        self._first_at = time.monotonic()
        if self._cancel is not None:
            _in_thread(self._cancel)
        raise self.received


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Handle signals while the body runs; does nothing outside the main thread, where Python cannot."""
    interrupts = Interrupts()
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        interrupts.install()
    try:
        yield interrupts
    finally:
        if is_main:
            interrupts.remove()


def stop_session(session: SparkSession) -> None:
    """Stop Spark, and do not wait for long: the process that ends takes the JVM with it.

    In a thread, whose connection to the JVM is a new one: an interrupt may have left the main thread's in mid-call.
    """
    _in_thread(session.stop).join(_SECONDS_TO_STOP)


def _in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=_quietly, args=(call,), daemon=True)
    thread.start()
    return thread


def _quietly(call: Callable[[], object]) -> None:
    with suppress(Exception):  # the JVM may be gone, which is what this asks for
        call()
