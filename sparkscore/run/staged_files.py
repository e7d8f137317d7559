"""Join a run's small staged files, and check the files before they are published. Runs on the driver."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError, SparkscoreError
from sparkscore.record.manifest import Manifest
from sparkscore.run.hosts import check_of
from sparkscore.sinks import Sink, Stage
from sparkscore.sinks.file_number import JOINED_BYTES, are_few, why_too_many
from sparkscore.spark.jobs import find_changed_files, join_files, task_slots
from sparkscore.spark.shipping import has_other_hosts
from sparkscore.stage import StagedFile
from sparkscore.stage.joining import groups_to_join

logger = logging.getLogger("sparkscore")


def join_small_files(spark: SparkSession, manifest: Manifest, stage: Stage, sink: Sink) -> Manifest:
    """Join small files of the result, and return the manifest with the joined files in place of the small ones.

    The rows and their order stay the same. With ``output.target_file_size``, the workers join the files of a
    partition up to this size. Otherwise, they join files only if there are too many. Files that cannot be joined stay
    in the manifest.

    Args:
        spark: the session.
        manifest: the staged files.
        stage: the run's stage.
        sink: the output. If Spark is to write the files of a Delta table, no staged files are joined.
    """
    target = sink.target
    if sink.format == "delta" and target.writer == "spark":
        return manifest
    if target.file_bytes is None and not _are_too_many(spark, manifest.files):
        return manifest
    joined = _join(spark, stage, groups_to_join(manifest.files, target.file_bytes or JOINED_BYTES))
    replaced = {file: one for one, group in joined.items() for file in group}
    files = tuple(dict.fromkeys(replaced.get(file, file) for file in manifest.files))
    if joined:
        logger.info("%d files of the result were joined into %d", len(manifest.files), len(files))
    return replace(manifest, files=files)


def _are_too_many(spark: SparkSession, files: Sequence[StagedFile]) -> bool:
    return not are_few(files) and why_too_many(files, task_slots(spark)) is not None


def _join(
    spark: SparkSession, stage: Stage, groups: Sequence[tuple[StagedFile, ...]]
) -> dict[StagedFile, tuple[StagedFile, ...]]:
    """Join the files of each group, and return the joined files, each with the files that it replaces."""
    try:
        joined = join_files(spark, stage.for_tasks(), groups, check_of(stage) if has_other_hosts(spark) else None)
    except SparkscoreError as error:
        # All rows have been scored, and the small files can be published as they are.
        logger.warning("small files of the result could not be joined: %s", error.sentence)
        return {}
    return {one: group for one, group in zip(joined, groups, strict=True) if one is not None}


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
