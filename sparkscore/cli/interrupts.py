"""Convert Ctrl-C, SIGTERM and SIGHUP to an exception, so that a run can be recorded as interrupted (driver)."""

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
    """Raised if a signal asks this process to end.

    It is a subclass of SystemExit, so that ``except Exception`` does not catch it.
    """

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        # `sparkscore.run.recording.recorded` adds a note that says what happened to the data.
        super().__init__(f"interrupted by {'Ctrl-C' if name == 'SIGINT' else name}.")
        self.code = self.exit_code = _EXIT_CODE_OF_SIGNALS + number


class Interrupts:
    """Signal handlers that turn the first signal into an exception in the main thread.

    Later signals are ignored for a few seconds, so that they do not interrupt the clean-up. After that, another signal
    ends the process at once.

    Attributes:
        received: the exception for the first signal, or None if there was no signal yet.
    """

    def __init__(self) -> None:
        self.received: InterruptedRunError | None = None
        self._first_at = 0.0
        self._cancel: Callable[[], object] | None = None
        self._former: dict[int, object] = {}

    def install(self) -> None:
        """Install the handlers for SIGINT (Ctrl-C), SIGTERM and SIGHUP.

        A signal that was ignored before, for example because `nohup` started this process, stays ignored.
        """
        for number in _SIGNALS:
            former = self._former.setdefault(number, signal.getsignal(number))
            signal.signal(number, signal.SIG_IGN if former == signal.SIG_IGN else self._handle)

    def remove(self) -> None:
        """Restore the signal handlers that were there before the first call of `install`.

        A handler that was not installed from Python cannot be restored.
        """
        for number, former in self._former.items():
            if former is not None:
                signal.signal(number, former)  # type: ignore[arg-type] # a value that getsignal() returned

    def watch(self, session: SparkSession) -> None:
        """Make the signal handlers also cancel the jobs of a Spark session.

        The handlers are installed again, because PySpark may have replaced one of them.
        """
        # PySpark's handler calls the JVM through the connection of the main thread, which may be in the middle of
        # another call.
        self._cancel = session.interruptAll
        self.install()

    def behind(self, error: BaseException) -> BaseException:
        """Return the exception for the signal if a signal has arrived, otherwise the error itself.

        A signal cancels Spark's jobs, and may thus have caused the error. If the error is a `SparkscoreError`, its
        ``state``, which says what happened to the data, is added to the exception for the signal as a note.
        """
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
    """Turn signals into exceptions while the ``with`` block runs, with the handlers of `Interrupts`.

    Outside the main thread, no handlers are installed, because Python does not allow it.
    """
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
    """Stop Spark, and wait at most ten seconds until it has stopped."""
    # Another thread gets its own connection to the JVM. The main thread's connection cannot be used if a signal has
    # interrupted a call in the middle.
    _in_thread(session.stop).join(_SECONDS_TO_STOP)


def _in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=_quietly, args=(call,), daemon=True)
    thread.start()
    return thread


def _quietly(call: Callable[[], object]) -> None:
    with suppress(Exception):  # The JVM may have ended already.
        call()
