"""List earlier runs, and read their records. Runs on the driver."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sparkscore.record.listing import list_records, read_record, runs_folder
from sparkscore.record.queries import list_queries


def list_runs(*, runs: str | Path | None = None, queries: bool = False) -> list[dict[str, Any]]:
    """Return the records of all runs in the runs folder as dictionaries, most recently started first.

    A record that cannot be read is left out, and a warning is logged. Does not need Spark.

    Args:
        runs: the runs folder. If None, ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs``.
        queries: whether to return the records of the statements of ``sparkscore sql`` instead.
    """
    if queries:
        return [asdict(record) for record in list_queries(runs_folder(runs))]
    return [record.as_dict() for record in list_records(runs_folder(runs))]


def show_run(run_id: str, *, runs: str | Path | None = None) -> dict[str, Any]:
    """Return a run's record as a dictionary: its input, model, output, counts and state. Does not need Spark.

    Args:
        run_id: id of the run.
        runs: the runs folder. If None, ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs``.

    Raises:
        ConfigError: the run id is not valid.
        RunNotFoundError: there is no such run, or its record cannot be read.
    """
    return read_record(runs_folder(runs), run_id).as_dict()
