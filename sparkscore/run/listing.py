"""Look runs up in the folder of the runs (driver)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparkscore.record.runs_folder import list_records, read_record, runs_folder


def list_runs(*, runs: str | Path | None = None) -> list[dict[str, Any]]:
    """Return the records of all runs of a folder, the newest first. Needs no Spark.

    Args:
        runs: the folder; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` when absent.
    """
    return [record.as_dict() for record in list_records(runs_folder(runs))]


def show_run(run_id: str, *, runs: str | Path | None = None) -> dict[str, Any]:
    """Return the record of one run: what was scored with what, into what, and how it ended. Needs no Spark.

    Args:
        run_id: the run.
        runs: folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` when absent.

    Raises:
        RunNotFoundError: there is no such run.
    """
    return read_record(runs_folder(runs), run_id).as_dict()
