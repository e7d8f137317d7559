"""Find out before Spark starts what a run needs of it. Runs on the driver."""

from __future__ import annotations

from sparkscore.errors import SparkscoreError
from sparkscore.location import is_remote
from sparkscore.run.prepare import PreparedRun
from sparkscore.sources.formats import is_delta_table


def may_need_delta(prepared: PreparedRun) -> bool:
    """Return whether Spark must read or write a Delta table for a run, as far as this is known before it starts.

    The failed items of an earlier run are read from its quarantine table, whose format is not looked up here. In a
    store, Delta itself notices that files of another format are part of a Delta table.

    The answer may be no for a Delta table that Spark must write after all. For example, another process may change the
    table while the run is scoring. The run then fails with ``DELTA_SESSION``, and can be continued with Delta.
    """
    try:
        return _may_need_for_input(prepared) or _needs_for_output(prepared)
    except (SparkscoreError, OSError):  # the run will report it
        return True


def _may_need_for_input(prepared: PreparedRun) -> bool:
    given = prepared.deployment.input
    if prepared.failed is not None or any(map(is_remote, given.location)):
        return True
    if given.format is not None:
        return given.format not in {"files", "parquet", "csv", "json"}
    return any(map(is_delta_table, given.location))


def _needs_for_output(prepared: PreparedRun) -> bool:
    """Return whether Spark must write the output, because the workers' files cannot become files of the table."""
    output = prepared.deployment.output
    if output.format != "delta":
        return False
    # An earlier execution of the run may have decided that Spark writes. Files are not linked from one file system to
    # another, and a folder for stages is usually set because it is on another one.
    if output.stage is not None or prepared.folder.read_record() is not None:
        return True
    from sparkscore.run.quarantine import quarantine_output  # noqa: PLC0415 - imports PySpark
    from sparkscore.run.recorded_deployment import run_id_column  # noqa: PLC0415 - as above
    from sparkscore.sinks.delta_commit import why_not_target  # noqa: PLC0415 - as above
    from sparkscore.sinks.target import target_of  # noqa: PLC0415 - as above

    outputs = (output, quarantine_output(prepared.deployment))
    column = run_id_column(prepared.deployment)
    return any(why_not_target(target_of(each, prepared.run_id, column)) for each in outputs)
