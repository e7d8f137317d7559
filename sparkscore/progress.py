"""Show the progress of a run as a progress bar, as lines of text, or in a notebook cell. Runs on the driver."""

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
    """Interface of a progress display.

    `start` is called once, then `update` repeatedly from another thread, and `finish` at most once at the end. After a
    method has raised an exception, no other method is called.
    """

    def start(self, total: int | None, item_type: str) -> None:
        """Start showing progress.

        Args:
            total: total number of items, or None if it is not known.
            item_type: ``files`` or ``rows``.
        """

    def update(self, items: int, failed: int) -> None:
        """Show new counts.

        Args:
            items: number of items processed so far, including failed items.
            failed: number of failed items.
        """

    def finish(self) -> None:
        """Stop showing progress, whether or not all items have been processed."""


class SilentDisplay:
    """A display that shows nothing."""

    def start(self, total: int | None, item_type: str) -> None:
        """Do nothing."""

    def update(self, items: int, failed: int) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class BarDisplay:
    """A progress bar in the terminal, with counts, rate and remaining time.

    If the total number of items is not known, the bar only shows activity, and no remaining time is shown.
    """

    def __init__(self, console: Console | None = None) -> None:
        # With auto_refresh, rich would start a thread that could outlive the run.
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
        """Show an empty bar."""
        self._progress.start()
        self._progress.start_task(self._task)
        self._progress.update(self._task, total=total, item_type=item_type, failed=0, refresh=True)

    def update(self, items: int, failed: int) -> None:
        """Show the new counts in the bar."""
        self._progress.update(self._task, completed=items, failed=failed, refresh=True)

    def finish(self) -> None:
        """Stop updating the bar, and leave it in the terminal."""
        task = self._progress.tasks[0]
        if task.total is None:
            self._progress.update(self._task, total=task.completed, completed=task.completed)
        self._progress.stop()


class _CountColumn(ProgressColumn):
    """The progress bar column with the numbers of processed, total and failed items."""

    def render(self, task: Task) -> Text:
        """Return the counts, such as ``120/1,797 files, 3 failed``, as a rich `Text`."""
        total = "" if task.total is None else f"/{int(task.total):,}"
        text = Text(f"{int(task.completed):,}{total} {task.fields.get('item_type', '')}")
        if task.fields.get("failed"):
            text.append(f", {task.fields['failed']:,} failed", style="bold red")
        return text


class _RateColumn(ProgressColumn):
    """The progress bar column with the number of items processed per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, such as ``12/s``, as a rich `Text`, which is empty until an item has been processed."""
        whole = task.completed / task.elapsed if task.elapsed else 0.0
        rate = (task.speed or whole) if not task.finished else whole
        return Text(f"{_number(rate)}/s" if rate else "", style="progress.data.speed")


class LineDisplay:
    """A display that writes lines of text to a stream (by default, to stderr).

    The first line is written after two seconds, further lines at intervals of up to 30 seconds, and a last line at the
    end.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._state = _State()
        self._wait_s = _FIRST_LINE_AFTER_S
        self._next_line_s = _FIRST_LINE_AFTER_S

    def start(self, total: int | None, item_type: str) -> None:
        """Reset the counts and the timer."""
        self._state = _State(total, item_type)

    def update(self, items: int, failed: int) -> None:
        """Write a line with the new counts if enough time has passed since the last line."""
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
    """A display that is updated in place in the output of a notebook cell. It needs IPython, but no widgets."""

    def __init__(self) -> None:
        self._state = _State()
        self._handle: Any = None

    def start(self, total: int | None, item_type: str) -> None:
        """Add the display to the output of the running cell."""
        from IPython.display import display  # noqa: PLC0415 - this display is chosen only if IPython runs

        self._state = _State(total, item_type)
        # The output must be created in the main thread. Otherwise, it is not part of the running cell.
        self._handle = display(self._bundle(self._state.describe()), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def update(self, items: int, failed: int) -> None:
        """Show the new counts in the cell output."""
        self._state.items, self._state.failed = items, failed
        self._show(self._state.describe())

    def finish(self) -> None:
        """Show the final counts and the total time in the cell output."""
        self._show(self._state.describe_end())

    def _show(self, text: str) -> None:
        if self._handle is not None:
            self._handle.update(self._bundle(text), raw=True)

    def _bundle(self, text: str) -> dict[str, str]:
        """Return a line of text as plain text and as HTML, by MIME type.

        The HTML includes a progress bar if the total number of items is known.
        """
        bar, total = "", self._state.total
        if total is not None:
            bar = f'<progress value="{self._state.items}" max="{max(total, 1)}" style="width:20em"></progress>'
        return {"text/plain": text, "text/html": f"<div>{bar} {html.escape(text)}</div>"}


class _State:
    """The counts that a display shows, and its start time."""

    def __init__(self, total: int | None = None, item_type: str = "items") -> None:
        self.total = total
        self.item_type = item_type
        self.items = 0
        self.failed = 0
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the display was started."""
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
        """Return the last line, such as ``scoring: 200 of 200 files, in 20 s``."""
        return f"{self._counts()}, in {_duration(self.elapsed_s)}"

    def _counts(self, share: str = "") -> str:
        total = "" if self.total is None else f" of {self.total:,}"
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"scoring: {self.items:,}{total} {self.item_type}{share}{failed}"


def choose_display() -> ProgressDisplay:
    """Return a `NotebookDisplay` in a notebook, a `BarDisplay` on a terminal, or else a `LineDisplay`.

    On a terminal that cannot move its cursor (``TERM=dumb``), a `LineDisplay` is returned as well.
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
    """Show the progress of a run during the ``with`` block.

    If the display raises an exception, the run continues without it.

    Args:
        display: the display, which this function starts and finishes.
        read: function that returns the number of items that all tasks have processed, and how many of them failed.
        total: total number of items, or None if it is not known.
        item_type: ``files`` or ``rows``.
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
    """Read the counts at regular intervals until `stop` is set, display them, and pass them to the `also` callback."""
    is_over = False
    while not is_over:
        # The counts are read once more after the end, so that the final counts are shown.
        is_over = stop.wait(_SECONDS_BETWEEN_READS)
        done = read()
        display.show(done)
        also(done)


class _GuardedDisplay:
    """Calls a display from several threads, and logs its exceptions instead of raising them.

    After an exception or after `finish`, the display is no longer updated.
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
        # A thread that hangs in the display keeps the lock. The run does not wait for it.
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
        """If the ``with`` block raises an exception, log it and stop updating the display."""
        try:
            yield
        except Exception:  # the display may be the user's, and must not make a run fail
            self._is_live = False
            _LOGGER.debug("The progress display failed; the run goes on without it.", exc_info=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE_NUMBERS_FROM else f"{value:.1f}"


def _duration(seconds: float) -> str:
    """Format a duration, for example as ``4 min 10 s``."""
    if seconds < _WHOLE_NUMBERS_FROM:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _SECONDS_IN_A_MINUTE)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, _MINUTES_IN_AN_HOUR)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
