"""Convert Ctrl-C, SIGTERM and SIGHUP to an exception, so that a run can be recorded as interrupted.

Runs on the driver.
"""

from __future__ import annotations

import logging
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
    """A signal interrupted the command.

    This is a subclass of SystemExit, so that ``except Exception`` does not catch it.
    """

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        # `sparkscore.run.recording.recorded` adds a note about the state of the data.
        super().__init__(f"interrupted by {'Ctrl-C' if name == 'SIGINT' else name}.")
        self.code = self.exit_code = _EXIT_CODE_OF_SIGNALS + number


class Interrupts:
    """Signal handlers that turn the first signal into an exception in the main thread.

    Later signals are ignored for a few seconds, so that they do not interrupt the cleanup. After that, another signal
    ends the process immediately.

    Attributes:
        received: the exception for the first signal, or None if no signal has arrived yet.
    """

    def __init__(self) -> None:
        self.received: InterruptedRunError | None = None
        self._first_at = 0.0
        self._cancel: Callable[[], object] | None = None
        self._former: dict[int, object] = {}

    def install(self) -> None:
        """Install the handlers for SIGINT (Ctrl-C), SIGTERM and SIGHUP.

        Signals that are already ignored, for example under `nohup`, stay ignored.
        """
        for number in _SIGNALS:
            former = self._former.setdefault(number, signal.getsignal(number))
            signal.signal(number, signal.SIG_IGN if former == signal.SIG_IGN else self._handle)

    def remove(self) -> None:
        """Restore the original signal handlers, except those that were not installed from Python."""
        for number, former in self._former.items():
            if former is not None:
                signal.signal(number, former)  # type: ignore[arg-type] # a value that getsignal() returned

    def watch(self, session: SparkSession) -> None:
        """Make the signal handlers also cancel the session's Spark jobs.

        The handlers are installed again, because PySpark may have replaced one of them.
        """
        from sparkscore.spark.connect import is_connect

        # PySpark's own handler calls the JVM through the main thread's connection, which may be in the middle of
        # another call. For Spark Connect, `sparkscore.spark.connect.working_on` cancels the run's operations.
        self._cancel = None if is_connect(session) else session.interruptAll
        self.install()

    @contextmanager
    def instead_of_sparks(self) -> Iterator[None]:
        """Turn the exception of PySpark's own handler for Ctrl-C into the one of these handlers.

        A new Spark context installs that handler, which stays until `watch` is called. py4j logs its exception with the
        traceback, which nobody needs.
        """
        root = logging.getLogger()
        root.addFilter(_is_of_no_interrupt)
        try:
            yield
        except KeyboardInterrupt as error:
            raise self.received or self._note(signal.SIGINT) from error
        finally:
            root.removeFilter(_is_of_no_interrupt)

    def behind(self, error: BaseException) -> BaseException:
        """Return the exception for the received signal, or the error itself if no signal has arrived.

        A signal cancels the Spark jobs, and this cancellation may have caused the error. The ``state`` of a
        `SparkscoreError`, which says what happened to the data, is added to the signal's exception as a note.
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
        received = self._note(number)
        if self._cancel is not None:
            _in_thread(self._cancel)
        raise received

    def _note(self, number: int) -> InterruptedRunError:
        self.received = InterruptedRunError(number)
        self._first_at = time.monotonic()
        return self.received


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Install the signal handlers of `Interrupts` for the ``with`` block.

    Outside the main thread, nothing is installed, because Python does not allow it.
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
    """Stop the Spark session, and wait up to ten seconds for it to stop."""
    # The session is stopped in another thread, which gets its own connection to the JVM. The main thread's connection
    # is unusable if a signal interrupted a call.
    _in_thread(session.stop).join(_SECONDS_TO_STOP)


def _is_of_no_interrupt(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt))


def _in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=_quietly, args=(call,), daemon=True)
    thread.start()
    return thread


def _quietly(call: Callable[[], object]) -> None:
    with suppress(Exception):  # The JVM may have ended already.
        call()
