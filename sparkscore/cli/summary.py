"""Print the summary of a run: values from its record, and the first rows of the result. Runs on the driver."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sparkscore.cli.reply import shown_path
from sparkscore.errors import MissingDependencyError
from sparkscore.printable import printable

if TYPE_CHECKING:
    from sparkscore.record.run_record import (
        Counts,
        RecordedError,
        RecordedInput,
        RecordedOutput,
        RecordedQuarantine,
        RunRecord,
    )
    from sparkscore.run import Run

logger = logging.getLogger("sparkscore")

_FIRST_ROWS: Final = 5
_MOST_COLUMNS: Final = 7
_WIDEST_VALUE: Final = 36
_WIDTH_WITHOUT_A_TERMINAL: Final = 1000
# These columns are not shown, because their values are the same in most of a run's rows.
_SAME_IN_EVERY_ROW: Final = frozenset({"run_id", "model_name", "model_version", "scored_at"})
_STYLES: Final = {
    "COMPLETE": "bold green",
    "RUNNING": "bold yellow",
    "HELD": "bold yellow",
    "ABORT": "bold red",
    "FAIL": "bold red",
}


def result_console() -> Console:
    """Return a rich console for stdout. If stdout is not a terminal, lines are wrapped only after 1000 characters."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_A_TERMINAL)


def state_style(state: str) -> str:
    """Return the rich style in which a run's state is printed."""
    return _STYLES.get(state, "bold")


def summary_of(run: Run, folder: Path) -> str:
    """Return the record and the first rows of a run as text for stdout, in colour if stdout is a terminal.

    This function may need Spark to read the rows. Stop Spark before printing the text, so that the text is the last
    thing on the terminal.

    Args:
        run: the run.
        folder: the run's folder.
    """
    console = result_console()
    with console.capture() as captured:
        print_record(run.recorded, folder, console)
        print_first_rows(run, console)
    return captured.get()


def print_record(
    record: RunRecord, folder: Path, console: Console, more: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Print a run's state and id, followed by one line for each non-empty value of its record.

    Args:
        record: the run record.
        folder: the run's folder.
        console: the console to print to.
        more: further values to print, by name.
    """
    lines = {**_lines(record), **more, "run record": shown_path(folder / "record.json")}
    state = Text(printable(record.state), state_style(record.state))
    console.print(Text.assemble(state, f"  {printable(record.run_id)}"), soft_wrap=True)
    for name, value in lines.items():
        if value:
            console.print(Text.assemble(f"  {name:<14}", printable(value)), soft_wrap=True)


def print_first_rows(run: Run, console: Console) -> None:
    """Print up to five rows of the result as a table, with long values truncated.

    The columns ``run_id``, ``model_name``, ``model_version`` and ``scored_at`` are left out. Of the other columns, at
    most seven are shown: the first ones and the last ones. A Spark job reads the rows if the driver cannot read them.
    """
    try:
        rows = run.first_rows(_FIRST_ROWS)
    except MissingDependencyError as error:
        logger.info("the first rows are not shown: %s", error.sentence)
        return
    if not rows:
        return
    own = [name for name in rows[0] if name not in _SAME_IN_EVERY_ROW]
    shown = _columns_to_show(own)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in shown:
        is_number = isinstance(rows[0][name], (int, float))
        table.add_column(
            Text(printable(name)), justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        table.add_row(*(Text(printable(_cell(row[name]))) for name in shown))
    console.print()
    console.print(table)
    if hidden := len(rows[0]) - len(shown):
        console.print(f"[dim]… and {hidden} more columns[/dim]")


def _columns_to_show(names: Sequence[str]) -> list[str]:
    """Return up to seven of the column names: the first ones and the last ones."""
    if len(names) <= _MOST_COLUMNS:
        return list(names)
    first = _MOST_COLUMNS // 2
    return [*names[:first], *names[first - _MOST_COLUMNS :]]


def _lines(record: RunRecord) -> dict[str, str]:
    return {
        "deployment": record.deployment or "",
        "input": _input(record.input),
        "items": _items(record),
        "mini-batches": _mini_batches(record.counts),
        "model": _model(record),
        "seconds": _seconds(record),
        "table": _table(record.output),
        "held in": shown_path(record.stage) if record.stage else "",
        "next": f"sparkscore publish {record.run_id}, or --discard to drop it" if record.stage else "",
        "quarantine": _quarantine(record.quarantine),
        "error": _error(record.error),
    }


def _quarantine(quarantine: RecordedQuarantine) -> str:
    if not (quarantine.rows and quarantine.location):
        return ""
    return f"{shown_path(quarantine.location)} ({quarantine.rows:,} {'row' if quarantine.rows == 1 else 'rows'})"


def _input(recorded: RecordedInput) -> str:
    locations = recorded.location if isinstance(recorded.location, list) else [recorded.location or ""]
    more = f" and {len(locations) - 1} more" if len(locations) > 1 else ""
    skipped = sum((recorded.skipped or {}).values())
    left_out = f", {skipped:,} files left out" if skipped else ""
    return f"{shown_path(locations[0])}{more} ({recorded.format}{left_out})" if any(locations) else ""


def _items(record: RunRecord) -> str:
    counts, only_failed = record.counts, record.only_failed
    if only_failed and not counts.items and record.state == "COMPLETE":
        return f"nothing to do: later runs have scored all items that failed in {only_failed.run_id}"
    if not counts.items:
        return ""
    noun = "files" if record.input.format == "files" else "rows"
    in_parts = f" ({counts.scored_in_parts:,} in parts of their mini-batches)" if counts.scored_in_parts else ""
    return f"{counts.items:,} {noun}: {counts.scored:,} scored{in_parts}, {counts.failed:,} failed"


def _mini_batches(counts: Counts) -> str:
    broken = counts.broken_contracts
    with_broken = f", {broken:,} of them with a broken contract" if broken else ""
    return f"{counts.mini_batches:,}{with_broken}" if counts.mini_batches else ""


def _model(record: RunRecord) -> str:
    loads, processes = record.model_loads, record.worker_processes
    name = " ".join(filter(None, (record.model.name, record.model.version)))
    loaded = f"{_count(loads, 'load')} in {_count(processes, 'worker process')}" if loads else ""
    return ", ".join(filter(None, (name, loaded)))


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _seconds(record: RunRecord) -> str:
    steps = {"plan": record.seconds.plan, "score": record.seconds.score, "publish": record.seconds.publish}
    detail = ", ".join(f"{step} {seconds:.1f}" for step, seconds in steps.items() if seconds)
    if record.ended_at is None:
        return detail
    whole = datetime.fromisoformat(record.ended_at) - datetime.fromisoformat(record.started_at)
    return f"{whole.total_seconds():.1f}" + (f" ({detail})" if detail else "")


def _table(output: RecordedOutput) -> str:
    if output.rows is None or output.version is None or output.location is None:
        return ""
    table = shown_path(output.location)
    if isinstance(output.version, str):  # For Parquet, the version is the name of the run's subfolder.
        return f"{table}/{output.version} ({output.format}, {output.rows:,} rows)"
    return f"{table} ({output.format}, version {output.version}, {output.rows:,} rows)"


def _error(error: RecordedError | None) -> str:
    return "" if error is None else error.message or error.code or ""


def _cell(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value):,} bytes"
    text = " ".join(str(value).split())
    if len(text) <= _WIDEST_VALUE:
        return text
    is_path = text.startswith("/") or "://" in text
    return f"…{text[1 - _WIDEST_VALUE :]}" if is_path else f"{text[: _WIDEST_VALUE - 1]}…"
