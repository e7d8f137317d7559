"""Look for the commits of a run in a Delta table's history. Runs on the driver."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from sparkscore.sinks.delta_open import CannotCommitError, commit_file, look_at_table, why_no_delta_rs
from sparkscore.sinks.target import Target

#: The columns of ``DESCRIBE HISTORY`` that `commits_among` needs.
HISTORY_COLUMNS: Final = ("version", "userMetadata", "operationMetrics", "engineInfo")
_COMMIT_INFO: Final = "commitInfo"


class RunCommit(NamedTuple):
    """A commit of a run in a table's history.

    Attributes:
        version: the version of the table that it made.
        rows: number of rows that it wrote, or None if the history does not say.
        writer: who wrote its files, ``worker`` or ``spark``.
    """

    version: int
    rows: int | None
    writer: str


def commits_of_run(target: Target) -> list[RunCommit] | None:
    """Return a run's commits to a table, the newest first, or None if only Spark can tell.

    Spark is not asked, because it starts jobs for the answer. The history is what is left of the log, as in
    ``DESCRIBE HISTORY``. delta-rs opens the table, so that a log that is not only in these files is left to Spark, but
    is not asked for the history: it counts the versions, and a commit without information shifts them.
    """
    if why_no_delta_rs(target.path):
        return None
    try:
        table = look_at_table(target.path)
        newest = -1 if table is None else table.version()
        return commits_among(_history(target.path, newest), target.run_id)
    except (CannotCommitError, OSError, ValueError):
        return None


def _history(table: Path, newest: int) -> Iterator[Mapping[str, Any]]:
    """Yield the information about each commit whose file is left, the newest first, with its version.

    Args:
        table: the table's folder.
        newest: the newest version. An older file that is missing ends the history.
    """
    for version in range(newest, -1, -1):
        try:
            lines = commit_file(table, version).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        # A commit may add thousands of files. Their lines are not parsed.
        for action in (json.loads(line) for line in lines if _COMMIT_INFO in line):
            if action.get(_COMMIT_INFO):
                yield action[_COMMIT_INFO] | {"version": version}


def commits_among(history: Iterable[Mapping[str, Any]], run_id: str) -> list[RunCommit]:
    """Return a run's commits among those of a table's history, in the same order."""
    return [_commit(entry) for entry in history if run_of(entry.get("userMetadata")) == run_id]


def _commit(entry: Mapping[str, Any]) -> RunCommit:
    rows = (entry.get("operationMetrics") or {}).get("numOutputRows")
    is_of_workers = str(entry.get("engineInfo")).startswith("delta-rs")
    return RunCommit(int(entry["version"]), None if rows is None else int(rows), "worker" if is_of_workers else "spark")


def run_of(user_metadata: str | None) -> object:
    """Return the id of the run in the ``userMetadata`` of a commit, or None if it is not one of sparkscore."""
    try:
        content = json.loads(user_metadata or "null")
    except ValueError:
        return None
    return content.get("run_id") if isinstance(content, dict) else None
