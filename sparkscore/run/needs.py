"""Find out before Spark starts what a run needs of it. Runs on the driver."""

from __future__ import annotations

from sparkscore.errors import SparkscoreError
from sparkscore.location import is_remote
from sparkscore.run.prepare import PreparedRun
from sparkscore.sources.formats import is_delta_table


def may_need_delta(prepared: PreparedRun) -> bool:
    """Return whether a run reads or writes a Delta table, or may do so.

    The failed items of an earlier run are read from its quarantine table, whose format is not looked up here. In a
    store, Delta itself notices that files of another format are part of a Delta table.
    """
    given = prepared.deployment.input
    if any(map(is_remote, given.location)):
        return True
    if prepared.failed is not None or prepared.deployment.output.format == "delta":
        return True
    if given.format is not None:
        return given.format not in {"files", "parquet", "csv", "json"}
    try:
        return any(map(is_delta_table, given.location))
    except (SparkscoreError, OSError):  # the run will report it
        return True
