from __future__ import annotations

import io
import json
import sys
import time
import types
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from sparkscore import progress
from sparkscore.progress import (
    BarDisplay,
    LineDisplay,
    NotebookDisplay,
    ProgressDisplay,
    SilentDisplay,
    choose_display,
    follow,
)
from sparkscore.stage.progress import ItemsDone, ProgressFile, ask_to_stop, forget_progress, read_progress
from sparkscore.tolerance import Tolerance


class RecordingDisplay:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def start(self, total: int | None, item_type: str) -> None:
        self.calls.append(("start", total, item_type))

    def update(self, items: int, failed: int) -> None:
        self.calls.append(("update", items, failed))

    def finish(self) -> None:
        self.calls.append(("finish",))


class BrokenDisplay(RecordingDisplay):
    def __init__(self, broken: str) -> None:
        super().__init__()
        self.broken = broken

    def _act(self, name: str) -> None:
        self.calls.append((name,))
        if name == self.broken:
            raise OSError("no terminal any more")

    def start(self, total: int | None, item_type: str) -> None:  # noqa: ARG002
        self._act("start")

    def update(self, items: int, failed: int) -> None:  # noqa: ARG002
        self._act("update")

    def finish(self) -> None:
        self._act("finish")


def write_progress(stage: Path, unit: int, items: int, failed: int) -> None:
    (stage / "progress").mkdir(exist_ok=True)
    (stage / "progress" / str(unit)).write_text(json.dumps([items, failed]), encoding="utf-8")


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_the_display_starts_shows_the_last_counts_and_ends(tmp_path: Path) -> None:
    display = RecordingDisplay()

    with follow(display, partial(read_progress, str(tmp_path)), 30, "files"):
        write_progress(tmp_path, 0, 10, 1)
        write_progress(tmp_path, 1, 20, 0)

    assert display.calls == [("start", 30, "files"), ("update", 30, 1), ("finish",)]


def test_the_display_is_updated_while_the_body_runs(tmp_path: Path) -> None:
    display = RecordingDisplay()
    write_progress(tmp_path, 0, 5, 0)

    with follow(display, partial(read_progress, str(tmp_path)), None, "rows"):
        until = time.monotonic() + 10
        while ("update", 5, 0) not in display.calls and time.monotonic() < until:
            time.sleep(0.05)
        seen = list(display.calls)

    assert ("update", 5, 0) in seen


def test_the_end_of_the_body_is_not_waited_for_long(tmp_path: Path) -> None:
    class HangingDisplay(RecordingDisplay):
        def update(self, items: int, failed: int) -> None:
            super().update(items, failed)
            time.sleep(5)

    display = HangingDisplay()

    with follow(display, partial(read_progress, str(tmp_path)), 1, "files"):
        while not any(call[0] == "update" for call in display.calls):
            time.sleep(0.01)
        start = time.monotonic()

    assert time.monotonic() - start < 2


@pytest.mark.parametrize("broken", ["start", "update", "finish"])
def test_a_display_that_fails_is_left_alone_and_the_body_goes_on(tmp_path: Path, broken: str) -> None:
    display = BrokenDisplay(broken)
    is_done = False

    with follow(display, partial(read_progress, str(tmp_path)), 1, "files"):
        time.sleep(0.6)
        is_done = True

    assert is_done
    assert [name for (name,) in display.calls].count(broken) == 1
    assert display.calls[-1] == (broken,)


def test_the_error_of_the_body_passes_and_the_display_ends(tmp_path: Path) -> None:
    display = RecordingDisplay()

    with pytest.raises(KeyboardInterrupt), follow(display, partial(read_progress, str(tmp_path)), 1, "files"):
        raise KeyboardInterrupt

    assert display.calls[-1] == ("finish",)


def test_lines_come_after_two_seconds_and_then_ever_more_rarely(clock: Clock) -> None:
    stream = io.StringIO()
    display = LineDisplay(stream)
    display.start(1000, "rows")
    seen = []

    for second in range(1, 101):
        clock.now = 100.0 + second
        before = stream.getvalue()
        display.update(second * 10, 0)
        if stream.getvalue() != before:
            seen.append(second)
    display.finish()

    assert seen == [2, 6, 14, 30, 60, 90]
    assert stream.getvalue().splitlines()[0] == ("scoring: 20 of 1,000 rows (2 %), 10 rows/s, about 1 min 38 s left")
    assert stream.getvalue().splitlines()[-1] == "scoring: 1,000 of 1,000 rows, in 1 min 40 s"


def test_a_short_run_gets_one_line_and_failed_items_are_named(clock: Clock) -> None:
    stream = io.StringIO()
    display = LineDisplay(stream)

    display.start(None, "files")
    clock.now += 1.5
    display.update(1200, 3)
    display.finish()

    assert stream.getvalue() == "scoring: 1,200 files, 3 failed, in 1.5 s\n"


def test_nothing_done_yet_gives_no_rate(clock: Clock) -> None:
    stream = io.StringIO()
    display = LineDisplay(stream)

    display.start(0, "files")
    clock.now += 4000
    display.update(0, 0)
    display.finish()

    assert stream.getvalue().splitlines() == ["scoring: 0 of 0 files", "scoring: 0 of 0 files, in 1 h 6 min"]


@pytest.mark.parametrize(
    ("total", "updates", "expected"),
    [
        (1797, [(900, 0), (1797, 2)], "1,797/1,797 files, 2 failed"),
        (1797, [(900, 0)], "900/1,797 files"),
        (None, [(900, 0), (1650, 0)], "1,650/1,650 files"),
        (None, [], "0/0 files"),
    ],
)
def test_the_bar_shows_what_is_done(
    total: int | None, updates: list[tuple[int, int]], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")  # rich takes a dumb terminal for one of 80 columns
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    display = BarDisplay(console)

    display.start(total, "files")
    for items, failed in updates:
        display.update(items, failed)
    display.finish()

    assert isinstance(console.file, io.StringIO)
    bars = [line for line in console.file.getvalue().replace("\r", "\n").splitlines() if "scoring" in line]
    assert expected in bars[-1]


def test_a_log_line_stands_above_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    display = BarDisplay(Console(stderr=True, force_terminal=True, width=120, color_system=None))

    display.start(10, "files")
    sys.stderr.write("a warning\n")
    display.update(10, 0)
    display.finish()

    written = capsys.readouterr().err
    assert written.index("a warning") < written.index("10/10 files")


def test_the_notebook_changes_one_output_in_place(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    shown: list[tuple[str, str]] = []

    class Handle:
        def update(self, bundle: dict[str, str], *, raw: bool) -> None:
            assert raw
            shown.append((bundle["text/plain"], bundle["text/html"]))

    def display(bundle: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        handle = Handle()
        handle.update(bundle, raw=raw and display_id)
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    cell = NotebookDisplay()

    cell.start(10, "rows")
    clock.now += 2
    cell.update(5, 1)
    cell.finish()

    assert [text for text, _ in shown] == [
        "scoring: 0 of 10 rows (0 %)",
        "scoring: 5 of 10 rows (50 %), 1 failed, 2.5 rows/s, about 2.0 s left",
        "scoring: 5 of 10 rows, 1 failed, in 2.0 s",
    ]
    assert '<progress value="5" max="10"' in shown[1][1]


def test_the_silent_display_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    display = SilentDisplay()

    display.start(1, "rows")
    display.update(1, 0)
    display.finish()

    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "expected"),
    [(Terminal(), "xterm", BarDisplay), (Terminal(), "dumb", LineDisplay), (io.StringIO(), "xterm", LineDisplay)],
)
def test_the_display_suits_what_looks_on(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, term: str, expected: type[ProgressDisplay]
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)

    assert isinstance(choose_display(), expected)


def test_a_notebook_is_known_by_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))

    assert isinstance(choose_display(), NotebookDisplay)


@pytest.mark.parametrize(("tolerated", "is_asked"), [(4, True), (5, False), (-1, False)])
def test_tasks_that_fail_too_much_together_are_asked_to_stop(
    tmp_path: Path,
    tolerated: int,
    is_asked: bool,  # noqa: FBT001
) -> None:
    for unit in range(5):
        ProgressFile(str(tmp_path), unit).add(10, 1)

    def stop(done: ItemsDone) -> None:
        if Tolerance(tolerated).is_passed(done.failed, done.failed_mini_batches):
            ask_to_stop(str(tmp_path))

    with follow(RecordingDisplay(), partial(read_progress, str(tmp_path)), 1000, "rows", stop):
        time.sleep(0.6)

    later = ProgressFile(str(tmp_path), 7)
    later.add(1, 0)
    assert later.is_stopped == is_asked


def test_what_an_earlier_attempt_said_is_forgotten_but_of_what_it_has_done(tmp_path: Path) -> None:
    for unit in range(3):
        ProgressFile(str(tmp_path), unit).add(10, 1)
    (tmp_path / "stop").touch()

    forget_progress(str(tmp_path), {1})

    assert read_progress(str(tmp_path)).items == 10
    assert not (tmp_path / "stop").exists()
