"""`sparkscore runs`: print run records. Runs on the driver."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

from sparkscore.cli.reply import OK, print_json, shown_path, to_stdout
from sparkscore.printable import printable
from sparkscore.record.listing import RunInBrief, list_in_brief, list_records, read_record, runs_folder
from sparkscore.record.queries import FunctionUse, QueryRecord, list_queries

_COLUMNS: Final = {
    "runs": ("run", "state", "started (UTC)", "scored", "failed", "output"),
    "queries": ("query", "state", "started (UTC)", "seconds", "rows", "functions"),
}


def list_runs(runs: Path | None, *, queries: bool, as_json: bool) -> int:
    """Print a table of what is recorded in the runs folder, newest first.

    Args:
        runs: path of the runs folder, or None for the default folder.
        queries: whether to list SQL statements instead of runs.
        as_json: whether to print a JSON object with all records instead of a table.

    Returns:
        the exit code 0.
    """
    folder = runs_folder(runs)
    what = "queries" if queries else "runs"
    if as_json:
        records = map(asdict, list_queries(folder)) if queries else (run.as_dict() for run in list_records(folder))
        print_json({"folder": str(folder), what: list(records)})
    elif rows := list(map(_query_row, list_queries(folder)) if queries else map(_run_row, list_in_brief(folder))):
        _print_rows(_COLUMNS[what], rows)
    else:
        to_stdout(f"No {what} in {shown_path(folder)}.")
    return OK


def _query_row(record: QueryRecord) -> tuple[str, ...]:
    return (
        record.query_id,
        record.state,
        record.started_at[:19].replace("T", " "),
        f"{record.seconds:,.1f}",
        "" if record.rows is None else f"{record.rows:,}",
        # The counts of a query that ends early, such as one with LIMIT, may be lost.
        ", ".join(map(_use, [use for use in record.functions if use.rows != 0] or record.functions)),
    )


def _use(use: FunctionUse) -> str:
    version = "" if use.model_version is None else f" {use.model_version}"
    counts = "" if use.rows is None else f": at least {use.rows:,} rows, {use.failed or 0:,} failed"
    return f"{use.name}{version}{counts}"


def show_run(run_id: str, runs: Path | None, *, as_json: bool) -> int:
    """Print the record of a run.

    Args:
        run_id: id of the run.
        runs: path of the runs folder, or None for the default folder.
        as_json: whether to print the whole record as JSON instead of a summary.

    Returns:
        the exit code 0.

    Raises:
        ConfigError: the run id is not valid.
        RunNotFoundError: no such run is recorded.
    """
    folder = runs_folder(runs)
    record = read_record(folder, run_id)
    if as_json:
        print_json(record.as_dict())
        return OK
    # Imported here because JSON output does not need rich.
    from sparkscore.cli.summary import print_record, result_console

    print_record(record, folder / run_id, result_console())
    return OK


def _print_rows(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table. The second column is a state, the last one may be wide, and those from the fourth are numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from sparkscore.cli.summary import result_console, state_style

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names[:3]:
        table.add_column(name, no_wrap=True)
    for name in names[3:-1]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(names[-1], overflow="fold")
    for values in rows:
        styles = ["", state_style(values[1]), *[""] * (len(values) - 2)]
        table.add_row(*(Text(printable(value), style=style) for value, style in zip(values, styles, strict=True)))
    result_console().print(table)


def _run_row(run: RunInBrief) -> tuple[str, ...]:
    return (
        run.run_id,
        run.state,
        run.started_at[:19].replace("T", " "),
        f"{run.scored:,}",
        f"{run.failed:,}",
        shown_path(run.location) if run.location else "",
    )
