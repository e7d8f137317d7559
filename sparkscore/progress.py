"""Show the progress of a run as a bar, as lines of text, in a notebook cell, or not at all (driver)."""

from __future__ import annotations

import contextlib
import html
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from sparkscore.stage.progress import ItemsDone

_LOGGER = logging.getLogger(__name__)
_SECONDS_BETWEEN_READS: Final = 0.25
_SECONDS_TO_STOP: Final = 0.4
_FIRST_LINE_AFTER_S: Final = 2.0
_LONGEST_WAIT_S: Final = 30.0
_SECONDS_IN_A_MINUTE: Final = 60
_MINUTES_IN_AN_HOUR: Final = 60
_WHOLE_NUMBERS_FROM: Final = 10


class ProgressDisplay(Protocol):
    """The interface of a display that shows the progress of a run.

    `start` is called once, then `update` repeatedly from another thread, and `finish` at most once at the end. After a
    method has raised an exception, no further method is called.
    """

    def start(self, total: int | None, item_type: str) -> None:
        """Start to show progress.

        Args:
            total: number of all items, or None if it is not known before the items are read.
            item_type: the type of the items, ``files`` or ``rows``.
        """

    def update(self, items: int, failed: int) -> None:
        """Show new counts.

        Args:
            items: number of items that are done, including failed items.
            failed: number of failed items.
        """

    def finish(self) -> None:
        """Stop showing progress, whether all items are done or not."""


class SilentDisplay:
    """A display that shows nothing."""

    def start(self, total: int | None, item_type: str) -> None:
        """Do nothing."""

    def update(self, items: int, failed: int) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class BarDisplay:
    """A progress bar on a terminal, with the counts, the rate and the remaining time.

    If the number of all items is not known, the bar only shows that the run is working, and no remaining time is shown.
    """

    def __init__(self, console: Console | None = None) -> None:
        # Without auto_refresh, rich starts no thread, which could continue after the run has ended.
        columns = (
            SpinnerColumn(finished_text=" "),
            TextColumn("scoring"),
            BarColumn(bar_width=20),
            _CountColumn(),
            _RateColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        self._progress = Progress(*columns, console=console or Console(stderr=True), auto_refresh=False)
        self._task = self._progress.add_task("", start=False, total=None)

    def start(self, total: int | None, item_type: str) -> None:
        """Show the empty bar."""
        self._progress.start()
        self._progress.start_task(self._task)
        self._progress.update(self._task, total=total, item_type=item_type, failed=0, refresh=True)

    def update(self, items: int, failed: int) -> None:
        """Show the new counts in the bar."""
        self._progress.update(self._task, completed=items, failed=failed, refresh=True)

    def finish(self) -> None:
        """Stop the bar, which stays on the terminal."""
        task = self._progress.tasks[0]
        if task.total is None:
            self._progress.update(self._task, total=task.completed, completed=task.completed)
        self._progress.stop()


class _CountColumn(ProgressColumn):
    """The column of a progress bar that shows how many items are done, how many there are, and how many failed."""

    def render(self, task: Task) -> Text:
        """Return the numbers as rich's `Text`, such as ``120/1,797 files, 3 failed``."""
        total = "" if task.total is None else f"/{int(task.total):,}"
        text = Text(f"{int(task.completed):,}{total} {task.fields.get('item_type', '')}")
        if task.fields.get("failed"):
            text.append(f", {task.fields['failed']:,} failed", style="bold red")
        return text


class _RateColumn(ProgressColumn):
    """The column of a progress bar that shows how many items are done per second."""

    def render(self, task: Task) -> Text:
        """Return the rate as rich's `Text`, such as ``12/s``. The text is empty as long as no item is done."""
        whole = task.completed / task.elapsed if task.elapsed else 0.0
        rate = (task.speed or whole) if not task.finished else whole
        return Text(f"{_number(rate)}/s" if rate else "", style="progress.data.speed")


class LineDisplay:
    """A display that writes lines of text to a stream, or to standard error if the stream is None.

    A line is written at the first update after two seconds, then at intervals that grow to 30 seconds, and at the end.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._state = _State()
        self._wait_s = _FIRST_LINE_AFTER_S
        self._next_line_s = _FIRST_LINE_AFTER_S

    def start(self, total: int | None, item_type: str) -> None:
        """Reset the counts and start to measure the time."""
        self._state = _State(total, item_type)

    def update(self, items: int, failed: int) -> None:
        """Write a line with the new counts if enough time has passed since the start or the last line."""
        self._state.items, self._state.failed = items, failed
        if self._state.elapsed_s >= self._next_line_s:
            self._write(self._state.describe())
            self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)
            self._next_line_s = self._state.elapsed_s + self._wait_s

    def finish(self) -> None:
        """Write the last line, with the final counts and the total time."""
        self._write(self._state.describe_end())

    def _write(self, line: str) -> None:
        print(line, file=self._stream or sys.stderr, flush=True)


class NotebookDisplay:
    """A display in the output of a notebook cell, which is updated in place. It needs IPython, but no widgets."""

    def __init__(self) -> None:
        self._state = _State()
        self._handle: Any = None

    def start(self, total: int | None, item_type: str) -> None:
        """Add the progress to the output of the cell that is running."""
        from IPython.display import display  # noqa: PLC0415 - this display is chosen only if IPython runs

        self._state = _State(total, item_type)
        # The output must be created in the main thread, because otherwise it is not part of the running cell.
        self._handle = display(self._bundle(self._state.describe()), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def update(self, items: int, failed: int) -> None:
        """Show the new counts in the output of the cell."""
        self._state.items, self._state.failed = items, failed
        self._show(self._state.describe())

    def finish(self) -> None:
        """Show the final counts and the total time in the output of the cell."""
        self._show(self._state.describe_end())

    def _show(self, text: str) -> None:
        if self._handle is not None:
            self._handle.update(self._bundle(text), raw=True)

    def _bundle(self, text: str) -> dict[str, str]:
        """Return a line of text in the formats that IPython displays: plain text, and HTML with a progress bar.

        The dictionary has the MIME types as keys. There is no bar if the number of all items is not known.
        """
        share = "" if self._state.total is None else f' value="{self._state.items}" max="{max(self._state.total, 1)}"'
        bar = f'<progress{share} style="width:20em"></progress>' if self._state.total is not None else ""
        return {"text/plain": text, "text/html": f"<div>{bar} {html.escape(text)}</div>"}


class _State:
    """The counts that a display shows, and the time since the start of the display."""

    def __init__(self, total: int | None = None, item_type: str = "items") -> None:
        self.total = total
        self.item_type = item_type
        self.items = 0
        self.failed = 0
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start of the display."""
        return time.monotonic() - self._start

    def describe(self) -> str:
        """Return a line such as ``scoring: 50 of 200 files (25 %), 10 files/s, about 15 s left``."""
        parts = [self._counts(f" ({100 * self.items // self.total} %)" if self.total else "")]
        rate = self.items / max(self.elapsed_s, 0.001)
        if rate:
            parts.append(f"{_number(rate)} {self.item_type}/s")
        if rate and self.total and self.items < self.total:
            parts.append(f"about {_duration((self.total - self.items) / rate)} left")
        return ", ".join(parts)

    def describe_end(self) -> str:
        """Return the last line of a display, with the counts and the total time."""
        return f"{self._counts()}, in {_duration(self.elapsed_s)}"

    def _counts(self, share: str = "") -> str:
        total = "" if self.total is None else f" of {self.total:,}"
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"scoring: {self.items:,}{total} {self.item_type}{share}{failed}"


def choose_display() -> ProgressDisplay:
    """Return the display that suits this process.

    This is a `NotebookDisplay` in a notebook, a `BarDisplay` if standard error is a terminal that can move its cursor
    (``TERM`` is not ``dumb``), or else a `LineDisplay`.
    """
    if _is_notebook():
        return NotebookDisplay()
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return BarDisplay()
    return LineDisplay()


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def follow(
    display: ProgressDisplay,
    read: Callable[[], ItemsDone],
    total: int | None,
    item_type: str,
    also: Callable[[ItemsDone], None] = lambda _: None,
) -> Iterator[None]:
    """Show the progress of a run's tasks on a display while the body of the ``with`` statement runs.

    If the display raises an exception, the run continues, and the display is no longer updated.

    Args:
        display: the display, which is started and finished by this function.
        read: function that returns how many items all tasks have done so far, and how many of these items failed.
        total: number of all items, or None if it is not known.
        item_type: the type of the items, ``files`` or ``rows``.
        also: another function to call with each result of `read`.
    """
    guarded = _GuardedDisplay(display)
    stop = threading.Event()
    thread = threading.Thread(target=_poll, args=(guarded, read, stop, also), name="progress", daemon=True)
    guarded.start(total, item_type)
    try:
        thread.start()
        yield
    finally:
        stop.set()
        try:
            thread.join(_SECONDS_TO_STOP)
        finally:
            guarded.finish()


def _poll(
    display: _GuardedDisplay,
    read: Callable[[], ItemsDone],
    stop: threading.Event,
    also: Callable[[ItemsDone], None],
) -> None:
    """Read the counts at regular intervals until `stop` is set, and then once more.

    The counts are shown on the display each time, and passed to `also`.
    """
    is_over = False
    while not is_over:
        # The counts are read once more after the end, so that the final counts are shown.
        is_over = stop.wait(_SECONDS_BETWEEN_READS)
        done = read()
        display.show(done)
        also(done)


class _GuardedDisplay:
    """Calls a display from several threads, and logs its exceptions instead of raising them.

    The display is no longer updated after it has raised an exception, or after `finish`.
    """

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display
        self._lock = threading.Lock()
        self._is_live = True

    def start(self, total: int | None, item_type: str) -> None:
        with self._guard():
            self._display.start(total, item_type)

    def show(self, done: ItemsDone) -> None:
        with self._lock, self._guard():
            if self._is_live:
                self._display.update(done.items, done.failed)

    def finish(self) -> None:
        # If a thread hangs in the display, it keeps the lock. The run does not wait for it.
        is_mine = self._lock.acquire(timeout=_SECONDS_TO_STOP / 4)
        try:
            with self._guard():
                if is_mine and self._is_live:
                    self._display.finish()
        finally:
            self._is_live = False
            if is_mine:
                self._lock.release()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Log an exception that the body of the ``with`` statement raises, and stop updating the display."""
        try:
            yield
        except Exception:  # the display may be the user's, and must not make a run fail
            self._is_live = False
            _LOGGER.debug("The progress display failed; the run goes on without it.", exc_info=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE_NUMBERS_FROM else f"{value:.1f}"


def _duration(seconds: float) -> str:
    """Return a duration as a string such as ``4 min 10 s``."""
    if seconds < _WHOLE_NUMBERS_FROM:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _SECONDS_IN_A_MINUTE)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, _MINUTES_IN_AN_HOUR)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
