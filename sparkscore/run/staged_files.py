"""Join a run's small staged files, and check the files before they are published. Runs on the driver."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError, SparkscoreError
from sparkscore.record.manifest import Manifest
from sparkscore.run.hosts import check_of
from sparkscore.sinks import Sink, Stage
from sparkscore.sinks.delta_choice import why_not_table
from sparkscore.sinks.file_number import JOINED_BYTES, are_few, why_too_many
from sparkscore.spark.jobs import find_changed_files, join_files, task_slots
from sparkscore.spark.schema import from_arrow, schema_of
from sparkscore.spark.shipping import has_other_hosts
from sparkscore.stage import StagedFile
from sparkscore.stage.joining import groups_to_join
from sparkscore.worker import QUARANTINE_SCHEMA

logger = logging.getLogger("sparkscore")


def join_small_files(spark: SparkSession, manifest: Manifest, stage: Stage, sinks: tuple[Sink, Sink]) -> Manifest:
    """Join small files of the result and of the quarantine, and return the manifest with the joined files.

    The rows and their order stay the same. With ``output.target_file_size``, the workers join the files of a
    partition up to this size. Otherwise, they join files only if there are too many. Files that cannot be joined stay
    in the manifest.

    Args:
        spark: the session.
        manifest: the staged files.
        stage: the run's stage.
        sinks: the sink of the predictions and the sink of the quarantine. If Spark must write the rows of a Delta
            table, its staged files are not joined.
    """
    parts = (manifest.files, manifest.quarantined)
    schemas = (schema_of(manifest.columns), from_arrow(QUARANTINE_SCHEMA))
    groups = [*chain(*(_groups(spark, stage, *part) for part in zip(parts, sinks, schemas, strict=True)))]
    if not groups:
        return manifest
    joined = _join(spark, stage, groups)
    replaced = {file: one for one, group in joined.items() for file in group}
    result, quarantine = (tuple(dict.fromkeys(replaced.get(file, file) for file in files)) for files in parts)
    for name, before, after in zip(("result", "quarantine"), parts, (result, quarantine), strict=True):
        if len(after) < len(before):
            logger.info("%d files of the %s were joined into %d", len(before), name, len(after))
    return replace(manifest, files=result, quarantined=quarantine)


def _groups(
    spark: SparkSession, stage: Stage, files: Sequence[StagedFile], sink: Sink, schema: StructType
) -> list[tuple[StagedFile, ...]]:
    """Return the groups of a table's staged files that should be joined."""
    size = sink.target.file_bytes
    if size is None and not _are_too_many(spark, files):
        return []
    groups = groups_to_join(files, size or JOINED_BYTES)
    if groups and sink.format == "delta" and why_not_table(spark, sink.target, schema, stage) is not None:
        return []  # Spark writes their rows again
    return groups


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
