"""Show a person what a run did: a few lines and the first rows of the result (driver)."""

from __future__ import annotations

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
from sparkscore.printable import printable
from sparkscore.record.run_record import (
    Counts,
    RecordedError,
    RecordedInput,
    RecordedOutput,
    RecordedQuarantine,
    RunRecord,
)

if TYPE_CHECKING:
    from sparkscore.run import Run

_FIRST_ROWS: Final = 5
_MOST_COLUMNS: Final = 7
_WIDEST_VALUE: Final = 36
_WIDTH_WITHOUT_A_TERMINAL: Final = 1000
# The same in every row of a run, and said above the rows.
_SAME_IN_EVERY_ROW: Final = frozenset({"run_id", "model_name", "model_version", "scored_at"})
_STYLES: Final = {
    "COMPLETE": "bold green",
    "RUNNING": "bold yellow",
    "HELD": "bold yellow",
    "ABORT": "bold red",
    "FAIL": "bold red",
}


def result_console() -> Console:
    """Give the console for results: stdout, and no line is broken where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_A_TERMINAL)


def state_style(state: str) -> str:
    """Give the style in which a state is shown."""
    return _STYLES.get(state, "bold")


def print_summary(run: Run, folder: Path) -> None:
    """Print what a complete run did, where its table is, and the table's first rows."""
    console = result_console()
    print_record(run.recorded, folder, console)
    print_first_rows(run, console)


def print_record(
    record: RunRecord, folder: Path, console: Console, more: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Print the record as lines of a name and a value.

    Args:
        record: the record.
        folder: the folder of the run.
        console: where to print.
        more: lines to add.
    """
    lines = {**_lines(record), **more, "run record": shown_path(folder / "record.json")}
    state = Text(printable(record.state), state_style(record.state))
    console.print(Text.assemble(state, f"  {printable(record.run_id)}"), soft_wrap=True)
    for name, value in lines.items():
        if value:
            console.print(Text.assemble(f"  {name:<14}", printable(value)), soft_wrap=True)


def print_first_rows(run: Run, console: Console) -> None:
    """Print the first rows of the result, wide values cut."""
    rows = [row.asDict() for row in run.predictions().limit(_FIRST_ROWS).collect()]
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
    """Choose the first columns, and the last ones: carried columns stand first, predictions behind them."""
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
        "next": f"sparkscore publish {record.run_id}, or with --discard" if record.stage else "",
        "quarantine": _quarantine(record.quarantine),
        "error": _error(record.error),
    }


def _quarantine(quarantine: RecordedQuarantine) -> str:
    if not (quarantine.rows and quarantine.location):
        return ""
    return f"{shown_path(quarantine.location)} ({quarantine.rows:,} {'row' if quarantine.rows == 1 else 'rows'})"


def _input(source: RecordedInput) -> str:
    places = source.location if isinstance(source.location, list) else [source.location or ""]
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    skipped = sum((source.skipped or {}).values())
    left_out = f", {skipped:,} files left out" if skipped else ""
    return f"{shown_path(places[0])}{more} ({source.format}{left_out})" if any(places) else ""


def _items(record: RunRecord) -> str:
    counts, over = record.counts, record.only_failed
    if over and not counts.items and record.state == "COMPLETE":
        return f"nothing to do: later runs have scored all that failed in {over.run_id}"
    kind = "files" if record.input.format == "files" else "rows"
    told = f" ({counts.scored_in_parts:,} in parts of their mini-batches)" if counts.scored_in_parts else ""
    return f"{counts.items:,} {kind}: {counts.scored:,} scored{told}, {counts.failed:,} failed" if counts.items else ""


def _mini_batches(counts: Counts) -> str:
    broken = counts.broken_contracts
    told = f", {broken:,} of them with a broken contract" if broken else ""
    return f"{counts.mini_batches:,}{told}" if counts.mini_batches else ""


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
    place = shown_path(output.location)
    if isinstance(output.version, str):  # a version of a folder of Parquet files is the folder in it
        return f"{place}/{output.version} ({output.format}, {output.rows:,} rows)"
    return f"{place} ({output.format}, version {output.version}, {output.rows:,} rows)"


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
