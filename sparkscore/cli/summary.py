"""Show a person what a run did: a few lines and the first rows of the result (driver)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sparkscore.cli.reply import shown_path
from sparkscore.printable import printable

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
    print_record(run.record, folder, console)
    print_first_rows(run, console)


def print_record(
    record: Mapping[str, Any], folder: Path, console: Console, more: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Print the record as lines of a name and a value.

    Args:
        record: the record.
        folder: the folder of the run.
        console: where to print.
        more: lines to add.
    """
    lines = {**_lines(record), **more, "run record": shown_path(folder / "record.json")}
    state = str(record["state"])
    console.print(
        Text.assemble((printable(state), state_style(state)), f"  {printable(record['run_id'])}"), soft_wrap=True
    )
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


def _lines(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "deployment": str(record.get("deployment") or ""),
        "input": _input(record.get("input") or {}),
        "items": _items(record),
        "mini-batches": _mini_batches(record.get("counts") or {}),
        "model": _model(record),
        "seconds": _seconds(record),
        "table": _table(record.get("output") or {}),
        "held in": shown_path(record["stage"]) if record.get("stage") else "",
        "next": f"sparkscore publish {record['run_id']}, or with --discard" if record.get("stage") else "",
        "quarantine": _quarantine(record.get("quarantine") or {}),
        "error": _error(record.get("error") or {}),
    }


def _quarantine(quarantine: Mapping[str, Any]) -> str:
    rows = quarantine.get("rows") or 0
    return f"{shown_path(quarantine['location'])} ({rows:,} {'row' if rows == 1 else 'rows'})" if rows else ""


def _input(source: Mapping[str, Any]) -> str:
    if not source:
        return ""
    location = source["location"]
    places = location if isinstance(location, list) else [location]
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    skipped = sum((source.get("skipped") or {}).values())
    left_out = f", {skipped:,} files left out" if skipped else ""
    return f"{shown_path(places[0]) if places else ''}{more} ({source['format']}{left_out})"


def _items(record: Mapping[str, Any]) -> str:
    counts = record.get("counts") or {}
    origin = (record.get("only_failed") or {}).get("run_id")
    if origin and not counts["items"] and record["state"] == "COMPLETE":
        return f"nothing to do: later runs have scored all that failed in {origin}"
    kind = "files" if (record.get("input") or {}).get("format") == "files" else "rows"
    in_parts = counts.get("scored_in_parts") or 0
    told = f" ({in_parts:,} in parts of their mini-batches)" if in_parts else ""
    numbers = f"{counts['items']:,} {kind}: {counts['scored']:,} scored{told}, {counts['failed']:,} failed"
    return numbers if counts["items"] else ""


def _mini_batches(counts: Mapping[str, Any]) -> str:
    number = counts.get("mini_batches") or 0
    broken = counts.get("broken_contracts") or 0
    told = f", {broken:,} of them with a broken contract" if broken else ""
    return f"{number:,}{told}" if number else ""


def _model(record: Mapping[str, Any]) -> str:
    model, loads, processes = record.get("model") or {}, record.get("model_loads"), record.get("worker_processes")
    name = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
    loaded = f"{_count(loads, 'load')} in {_count(processes, 'worker process')}" if loads else ""
    return ", ".join(filter(None, (name, loaded)))


def _count(number: object, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _seconds(record: Mapping[str, Any]) -> str:
    steps = {step: seconds for step, seconds in (record.get("seconds") or {}).items() if seconds}
    detail = ", ".join(f"{step} {seconds:.1f}" for step, seconds in steps.items())
    if not (record.get("started_at") and record.get("ended_at")):
        return detail
    whole = datetime.fromisoformat(record["ended_at"]) - datetime.fromisoformat(record["started_at"])
    return f"{whole.total_seconds():.1f}" + (f" ({detail})" if detail else "")


def _table(output: Mapping[str, Any]) -> str:
    if output.get("rows") is None or output.get("version") is None:
        return ""
    place, version = shown_path(output["location"]), output.get("version")
    if isinstance(version, str):  # a version of a folder of Parquet files is the folder in it
        return f"{place}/{version} ({output['format']}, {output['rows']:,} rows)"
    return f"{place} ({output['format']}, version {version}, {output['rows']:,} rows)"


def _error(error: Mapping[str, Any]) -> str:
    return str(error.get("message") or error.get("code") or "")


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
