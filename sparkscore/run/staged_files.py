"""Check a run's staged files before they are published. Runs on the driver."""

from __future__ import annotations

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError
from sparkscore.record.manifest import Manifest
from sparkscore.run.hosts import check_of
from sparkscore.sinks import Stage
from sparkscore.spark.jobs import find_changed_files
from sparkscore.spark.shipping import has_other_hosts


def check_staged_files(spark: SparkSession, manifest: Manifest, stage: Stage) -> None:
    """Raise an error if a staged file does not match the report of the worker that wrote it.

    File sizes and the row counts in the Parquet footers are compared. If an earlier execution of the run created the
    stage, checksums are compared instead of row counts.

    Args:
        spark: the session.
        manifest: the files to check.
        stage: the run's stage.

    Raises:
        SinkError: a file differs or is missing. The reports of the affected chunks are removed, so that a resumed run
            scores their mini-batches again.
        ScoringError: the Spark job that reads the files failed.
    """
    files = (*manifest.files, *manifest.quarantined)
    check = check_of(stage) if has_other_hosts(spark) else None
    changed = find_changed_files(spark, stage.for_tasks(), files, check, reads_all=stage.is_taken_up)
    if not changed:
        return
    stage.forget_chunks_of({path for path, _ in changed})
    (path, difference), more = changed[0], len(changed) - 1
    raise SinkError(
        code=ErrorCode.STAGED_FILE_CHANGED,
        what=f"the staged file '{stage.location}/{path}'{f' and {more} others' if more else ''}",
        got=difference,
        expected="the file as its worker wrote it",
        state="Nothing was published.",
        next_step=f"Run 'sparkscore resume {manifest.record.run_id}': the items in that file are scored again, and the "
        "other staged files are kept.",
    )
