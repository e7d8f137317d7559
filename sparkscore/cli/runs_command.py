"""`sparkscore runs`: print run records. Runs on the driver."""

from __future__ import annotations

from pathlib import Path

from sparkscore.cli.reply import OK, print_json, shown_path, to_stdout
from sparkscore.printable import printable
from sparkscore.record.listing import RunInBrief, list_in_brief, list_records, read_record, runs_folder


def list_runs(runs: Path | None, *, as_json: bool) -> int:
    """Print a table of the runs in the runs folder, newest first.

    Args:
        runs: path of the runs folder, or None for the default folder.
        as_json: whether to print a JSON object with all records instead of a table.

    Returns:
        the exit code 0.
    """
    folder = runs_folder(runs)
    if as_json:
        print_json({"folder": str(folder), "runs": [record.as_dict() for record in list_records(folder)]})
    elif found := list_in_brief(folder):
        _print_table(found)
    else:
        to_stdout(f"No runs in {shown_path(folder)}.")
    return OK


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


def _print_table(runs: list[RunInBrief]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from sparkscore.cli.summary import result_console, state_style

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("run", "state", "started (UTC)"):
        table.add_column(name, no_wrap=True)
    for name in ("scored", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("output", overflow="fold")
    for run in runs:
        values = _row(run)
        styles = ["", state_style(values[1]), *[""] * (len(values) - 2)]
        table.add_row(*(Text(printable(value), style=style) for value, style in zip(values, styles, strict=True)))
    result_console().print(table)


def _row(run: RunInBrief) -> tuple[str, ...]:
    return (
        run.run_id,
        run.state,
        run.started_at[:19].replace("T", " "),
        f"{run.scored:,}",
        f"{run.failed:,}",
        shown_path(run.location) if run.location else "",
    )
