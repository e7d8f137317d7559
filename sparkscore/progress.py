"""Show how far a run has come: a bar, plain lines, a notebook cell or nothing (driver)."""

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

from sparkscore.stage.progress import ItemsDone, read_progress

_LOGGER = logging.getLogger(__name__)
_SECONDS_BETWEEN_READS: Final = 0.25
_SECONDS_TO_STOP: Final = 0.4
_FIRST_LINE_AFTER_S: Final = 2.0
_LONGEST_WAIT_S: Final = 30.0
_SECONDS_IN_A_MINUTE: Final = 60
_MINUTES_IN_AN_HOUR: Final = 60
_WHOLE_NUMBERS_FROM: Final = 10


class ProgressDisplay(Protocol):
    """What shows the progress of a run. `start` comes once, then `update` from a thread, then `finish` once."""

    def start(self, total: int | None, kind: str) -> None:
        """Begin.

        Args:
            total: number of items; None where they are counted by reading them only.
            kind: what an item is, ``files`` or ``rows``.
        """

    def update(self, items: int, failed: int) -> None:
        """Show how many items are done, and how many of those failed."""

    def finish(self) -> None:
        """End, whether all items are done or not."""


class SilentDisplay:
    """Shows nothing."""

    def start(self, total: int | None, kind: str) -> None:
        """Begin."""

    def update(self, items: int, failed: int) -> None:
        """Show nothing."""

    def finish(self) -> None:
        """End."""


class BarDisplay:
    """A bar on a terminal, with rate and time left; a moving one where the number of items is not known."""

    def __init__(self, console: Console | None = None) -> None:
        # Refreshed by each update: a thread of rich's own would be one more that can outlive the run.
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

    def start(self, total: int | None, kind: str) -> None:
        """Begin."""
        self._progress.start()
        self._progress.start_task(self._task)
        self._progress.update(self._task, total=total, kind=kind, failed=0, refresh=True)

    def update(self, items: int, failed: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=items, failed=failed, refresh=True)

    def finish(self) -> None:
        """Leave the bar as it stands."""
        task = self._progress.tasks[0]
        if task.total is None:
            self._progress.update(self._task, total=task.completed, completed=task.completed)
        self._progress.stop()


class _CountColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Write ``120/1,797 files``, and the failed ones."""
        total = "" if task.total is None else f"/{int(task.total):,}"
        text = Text(f"{int(task.completed):,}{total} {task.fields.get('kind', '')}")
        if task.fields.get("failed"):
            text.append(f", {task.fields['failed']:,} failed", style="bold red")
        return text


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Write the rate of the last half minute, in the end that of the whole run."""
        whole = task.completed / task.elapsed if task.elapsed else 0.0
        rate = (task.speed or whole) if not task.finished else whole
        return Text(f"{_number(rate)}/s" if rate else "", style="progress.data.speed")


class LineDisplay:
    """A plain line now and then: the first after two seconds, later ones at growing intervals, and the last."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._state = _State()
        self._wait_s = _FIRST_LINE_AFTER_S
        self._next_line_s = _FIRST_LINE_AFTER_S

    def start(self, total: int | None, kind: str) -> None:
        """Begin."""
        self._state = _State(total, kind)

    def update(self, items: int, failed: int) -> None:
        """Write a line when it is time for one."""
        self._state.items, self._state.failed = items, failed
        if self._state.elapsed_s >= self._next_line_s:
            self._write(self._state.describe())
            self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)
            self._next_line_s = self._state.elapsed_s + self._wait_s

    def finish(self) -> None:
        """Write the last line."""
        self._write(self._state.describe_end())

    def _write(self, line: str) -> None:
        print(line, file=self._stream or sys.stderr, flush=True)


class NotebookDisplay:
    """One cell output that changes in place; needs IPython only."""

    def __init__(self) -> None:
        self._state = _State()
        self._handle: Any = None

    def start(self, total: int | None, kind: str) -> None:
        """Begin, in the cell that runs now."""
        from IPython.display import display  # noqa: PLC0415 - there is an IPython where this display is chosen

        self._state = _State(total, kind)
        # NOTE: without the first display here, on the main thread, updates from the thread have no cell to go to.
        self._handle = display(self._bundle(self._state.describe()), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def update(self, items: int, failed: int) -> None:
        """Change the cell's output."""
        self._state.items, self._state.failed = items, failed
        self._show(self._state.describe())

    def finish(self) -> None:
        """Leave the last count."""
        self._show(self._state.describe_end())

    def _show(self, text: str) -> None:
        if self._handle is not None:
            self._handle.update(self._bundle(text), raw=True)

    def _bundle(self, text: str) -> dict[str, str]:
        share = "" if self._state.total is None else f' value="{self._state.items}" max="{max(self._state.total, 1)}"'
        bar = f'<progress{share} style="width:20em"></progress>' if self._state.total is not None else ""
        return {"text/plain": text, "text/html": f"<div>{bar} {html.escape(text)}</div>"}


class _State:
    """The counts that a display of text shows, and the time since the start."""

    def __init__(self, total: int | None = None, kind: str = "items") -> None:
        self.total = total
        self.kind = kind
        self.items = 0
        self.failed = 0
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def describe(self) -> str:
        parts = [self._counts(f" ({100 * self.items // self.total} %)" if self.total else "")]
        rate = self.items / max(self.elapsed_s, 0.001)
        if rate:
            parts.append(f"{_number(rate)} {self.kind}/s")
        if rate and self.total and self.items < self.total:
            parts.append(f"about {_duration((self.total - self.items) / rate)} left")
        return ", ".join(parts)

    def describe_end(self) -> str:
        return f"{self._counts()}, in {_duration(self.elapsed_s)}"

    def _counts(self, share: str = "") -> str:
        total = "" if self.total is None else f" of {self.total:,}"
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"scoring: {self.items:,}{total} {self.kind}{share}{failed}"


def choose_display() -> ProgressDisplay:
    """Choose by what looks on: a notebook, a terminal, or neither."""
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
    stage_folder: str,
    total: int | None,
    kind: str,
    also: Callable[[ItemsDone], None] = lambda _: None,
) -> Iterator[None]:
    """Keep a display up to date from the tasks' progress files while the body runs.

    A display that fails is left alone from then on; the run goes on without it.

    Args:
        display: what shows the progress.
        stage_folder: the folder of the stage, where the tasks write.
        total: number of items, if it is known.
        kind: what an item is.
        also: who else is told what is done, each time it is read.
    """
    guarded = _GuardedDisplay(display)
    stop = threading.Event()
    thread = threading.Thread(target=_poll, args=(guarded, stage_folder, stop, also), name="progress", daemon=True)
    guarded.start(total, kind)
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
    display: _GuardedDisplay, stage_folder: str, stop: threading.Event, also: Callable[[ItemsDone], None]
) -> None:
    is_over = False
    while not is_over:
        # The counts are read once more after the end, so that the last ones are shown.
        is_over = stop.wait(_SECONDS_BETWEEN_READS)
        done = read_progress(stage_folder)
        display.show(done)
        also(done)


class _GuardedDisplay:
    """Calls a display until it fails or is finished: the thread may come late, and progress is a courtesy."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display
        self._lock = threading.Lock()
        self._is_live = True

    def start(self, total: int | None, kind: str) -> None:
        with self._guard():
            self._display.start(total, kind)

    def show(self, done: ItemsDone) -> None:
        with self._lock, self._guard():
            if self._is_live:
                self._display.update(done.items, done.failed)

    def finish(self) -> None:
        # A thread that hangs in the display keeps the lock: the run's end does not wait for it.
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
        try:
            yield
        except Exception:  # a display may be anybody's; no failure of it may cost a run
            self._is_live = False
            _LOGGER.debug("The progress display failed; the run goes on without it.", exc_info=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE_NUMBERS_FROM else f"{value:.1f}"


def _duration(seconds: float) -> str:
    if seconds < _WHOLE_NUMBERS_FROM:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _SECONDS_IN_A_MINUTE)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, _MINUTES_IN_AN_HOUR)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
