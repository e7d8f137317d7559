"""Look in a Delta table's history for a run without asking Spark, which starts jobs for it. Runs on the driver."""

from __future__ import annotations

import json

from sparkscore.sinks.delta_open import CannotCommitError, look_at_table, why_no_delta_rs
from sparkscore.sinks.target import Target


def has_run_in_history(target: Target) -> bool | None:
    """Return whether the history of a table has a commit of this run, or None if only Spark can tell.

    The history is what is left of the log, as in ``DESCRIBE HISTORY``.
    """
    if why_no_delta_rs(target.path):
        return None
    from deltalake.exceptions import DeltaError  # noqa: PLC0415 - optional, and slow to import

    try:
        table = look_at_table(target.path)
        commits = [] if table is None else table.history()
    except (CannotCommitError, DeltaError, OSError, ValueError):
        return None
    return any(run_of(commit.get("userMetadata")) == target.run_id for commit in commits)


def run_of(user_metadata: str | None) -> object:
    """Return the id of the run in the ``userMetadata`` of a commit, or None if it is not one of sparkscore."""
    try:
        content = json.loads(user_metadata or "null")
    except ValueError:
        return None
    return content.get("run_id") if isinstance(content, dict) else None
