"""Compare the staged files with what their writers reported, before any of them is published (driver)."""

from __future__ import annotations

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError
from sparkscore.record.manifest import Manifest
from sparkscore.sinks import Stage
from sparkscore.spark.jobs import find_changed_files


def check_staged_files(spark: SparkSession, manifest: Manifest, stage: Stage) -> None:
    """Refuse to publish files that were changed, cut off or replaced since a worker wrote them.

    In one unbroken run sizes and footers are compared. Where files have waited, in a held run or for another attempt,
    the workers read them all and compare their checksums.

    Args:
        spark: the session.
        manifest: the files that count.
        stage: where they are.

    Raises:
        SinkError: a file differs. The chunks that name it are forgotten: the next attempt scores them again.
    """
    files = (*manifest.files, *manifest.quarantined)
    changed = find_changed_files(spark, stage.for_tasks(), files, reads_all=stage.is_taken_up)
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
        next_step=f"Run the same run id again, as 'sparkscore resume {manifest.record.run_id}' does: what was in that "
        "file is scored again, and the rest is taken up.",
    )
