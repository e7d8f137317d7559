"""Find the failed items that later runs have already scored, so that ``--only-failed`` scores each item once.

Runs on the driver.

A family consists of a first run, which scored a whole input, and later runs, which scored failed items again. A later
run scores items that failed in the first run or in another later run.

A file in the first run's folder lists the later runs that began to publish. Whether their rows are visible is read from
their output tables. A run holds the lock of the first run while it works, so only one run of a family works at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from pyspark.sql import SparkSession

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, LineageError
from sparkscore.record.listing import read_record
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import OnlyFailed, RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.record.runs_folder import open_run
from sparkscore.record.scored_again import ScoredAgain
from sparkscore.run.prepare import PreparedRun, failed_items
from sparkscore.run.quarantine import quarantine_location
from sparkscore.run.recorded_deployment import run_id_column
from sparkscore.sinks import open_sink, target_of
from sparkscore.sources import FailedItems, items_of

_OVERWRITE = "overwrite"


@contextmanager
def family_locked(runs: Path, first: str | None) -> Iterator[None]:
    """Hold the lock of a family's first run during the ``with`` block, so that no item is scored by two runs at once.

    A family is a run that scored a whole input, and the runs that score its failed items again.

    Args:
        runs: the runs folder.
        first: id of the run in which the items first failed, or None if the run scores a whole input. Without an id, no
            lock is held.

    Raises:
        ConfigError: another driver is working on the first run, or on a run that scores its failed items again.
        RunNotFoundError: the first run's record no longer exists or cannot be read.
        LineageError: the lock cannot be written.
    """
    if first is None:
        yield
        return
    read_record(runs, first)
    lock = open_run(runs, first).claim()
    try:
        lock.__enter__()
    except ConfigError as error:
        raise ConfigError(
            code=ErrorCode.ONLY_FAILED_RUNNING,
            what=f"failed items of run '{first}'",
            got=f"another run that works on them, or on run '{first}' itself: {error.got}",
            expected="one run at a time, so that no item is scored twice",
            next_step="Wait for that run to end and run again: the items that it has scored are then left out.",
        ) from error
    try:
        yield
    finally:
        lock.__exit__()


def leave_out_scored(spark: SparkSession, prepared: PreparedRun) -> PreparedRun:
    """Return a prepared run without the failed items that later runs have already published into the same output.

    A run without ``only_failed``, or one that overwrites its output, is returned unchanged. If the run itself is
    already published, runs that began to publish after it are ignored. Call this while holding the lock that
    `family_locked` acquires.

    Raises:
        LineageError: the quarantine tables do not show which items were scored, or the list that `note_publishing`
            writes was changed.
        RunNotFoundError: the record of a run in which the items failed no longer exists.
        SourceError: a quarantine table cannot be read.
        SinkError: an output table cannot be read.
    """
    failed, output = prepared.failed, prepared.deployment.output
    if failed is None:
        return prepared
    first = open_run(prepared.folder.runs, failed.first)
    target = target_of(output, prepared.run_id, run_id_column(prepared.deployment))
    since = [] if output.mode == _OVERWRITE else _published(spark, first, str(target.path.resolve()))
    names = [entry.run_id for entry in since]
    if prepared.run_id in names:
        # This run is already published itself. Runs that published later do not change which items it scored.
        since = since[: names.index(prepared.run_id)]
    if not since:
        return prepared
    left = _left(spark, first, failed, since)
    return replace(prepared, failed=replace(failed, since=tuple(entry.run_id for entry in since), left=left))


def has_nothing_left(prepared: PreparedRun) -> bool:
    """Return whether a run was started with ``only_failed`` and has no items left to score.

    This is the case if other runs have already scored all of the failed items.
    """
    return prepared.failed is not None and prepared.failed.left is not None and not prepared.failed.left.total()


def only_failed_entry(failed: FailedItems | None, items: int | None) -> OnlyFailed | None:
    """Return the run record's entry about the failed items that a run scores, or None if it scores a whole input.

    Args:
        failed: the failed items, or None if the run scores a whole input.
        items: number of failed items that the run scores, or None if it is unknown.
    """
    if failed is None:
        return None
    return OnlyFailed(run_id=failed.run_id, first=failed.first, without=list(failed.since), items=items)


def note_publishing(runs: Path, record: RunRecord, deployment: Deployment, manifest: Manifest) -> None:
    """Record that a run with ``only_failed`` begins to publish.

    The run is added to a list in the folder of the family's first run. Do nothing for a run that scored a whole input.
    Call this while holding the lock that `family_locked` acquires.

    Args:
        runs: the runs folder.
        record: the run's record.
        deployment: the run's deployment.
        manifest: the files that the run publishes.

    Raises:
        LineageError: the list cannot be read or written.
    """
    part = record.only_failed
    if part is None:
        return
    entry = ScoredAgain(
        run_id=record.run_id,
        origin=part.run_id,
        items=part.items or 0,
        quarantined=sum(file.rows for file in manifest.quarantined),
        quarantine=str(Path(quarantine_location(deployment)).absolute()),
        format=deployment.output.format,
        output=_output_of(record),
        run_id_column=run_id_column(deployment),
    )
    first = open_run(runs, part.first)
    others = [other for other in first.read_scored_again() if other.run_id != entry.run_id]
    first.write_scored_again([*others, entry])


def check_still_left(spark: SparkSession, runs: Path, record: RunRecord) -> None:
    """Check before publishing a run with ``only_failed`` that no other run has published the same items.

    Do nothing for a run that scored a whole input, or one that overwrites its output. Call this while holding the lock
    that `family_locked` acquires.

    Raises:
        ConfigError: after this run was scored, another run of its family published into the output, or rows that
            another run of its family had published were removed from the output.
        LineageError: the list that `note_publishing` writes was changed.
        SinkError: an output table cannot be read.
    """
    part = record.only_failed
    if part is None or record.output.mode == _OVERWRITE:
        return
    since = _published(spark, open_run(runs, part.first), _output_of(record))
    names = [entry.run_id for entry in since]
    if names != part.without:
        raise ConfigError(
            code=ErrorCode.ONLY_FAILED_OUTDATED,
            what=f"run '{record.run_id}', which scored the items that failed in run '{part.run_id}'",
            got=f"items that run '{names[-1]}' has published since"
            if names
            else "items that an earlier run had published, and that are no longer in the table",
            expected="the same items as when it was scored",
            next_step=f"Drop it with 'sparkscore publish {record.run_id} --discard', and score what is left with "
            f"'sparkscore run --only-failed {part.run_id}'.",
        )


def _output_of(record: RunRecord) -> str:
    return str(Path(str(record.output.location)).resolve())


def _published(spark: SparkSession, first: RunStore, output: str) -> list[ScoredAgain]:
    """Return the runs that scored a run's failed items again and whose rows are now in an output table.

    They are in the order in which they began to publish.

    Args:
        spark: the session.
        first: the run in which the items first failed.
        output: path of the output table.
    """
    noted = [entry for entry in first.read_scored_again() if entry.output == output]
    return [entry for entry in noted if _shows_rows(spark, entry)]


def _shows_rows(spark: SparkSession, entry: ScoredAgain) -> bool:
    config = Deployment.model_validate({"output": {"location": entry.output, "format": entry.format}}).output
    return open_sink(spark, config, entry.run_id, entry.run_id_column).shows_rows()


def _left(
    spark: SparkSession, first: RunStore, failed: FailedItems, since: Sequence[ScoredAgain]
) -> Counter[str | None]:
    """Return the failed items that still have to be scored, as file paths or as rows in JSON.

    Each item has a count, because several rows may be equal. The counts start with the items that failed in the first
    run. For each later run, the items that it scored are subtracted, and those that failed again are added.

    Args:
        spark: the session.
        first: the run in which the items first failed.
        failed: the failed items of the run given by ``only_failed``. Other items are not returned.
        since: the later runs that published, in the order of publishing.

    Raises:
        LineageError: a quarantine table contains more or fewer items than a run in `since` recorded.
        RunNotFoundError: the record of a run in which the items failed no longer exists.
        SourceError: a quarantine table cannot be read.
    """
    quarantines = {first.run_id: failed_items(first.runs, first.run_id), failed.run_id: failed}
    quarantines |= {
        entry.run_id: replace(failed, run_id=entry.run_id, location=entry.quarantine, table_format=entry.format)
        for entry in since
    }
    counts = {entry.run_id: entry.quarantined for entry in since}

    @cache
    def failed_in(run_id: str) -> Counter[str | None]:
        return items_of(spark, quarantines[run_id]) if counts.get(run_id, 1) else Counter()

    left = failed_in(first.run_id)
    for entry in since:
        quarantines.setdefault(entry.origin, failed_items(first.runs, entry.origin))
        taken = left & failed_in(entry.origin)
        again = failed_in(entry.run_id)
        if taken.total() != entry.items or again.total() != entry.quarantined:
            raise LineageError(
                code=ErrorCode.ONLY_FAILED_UNKNOWN,
                what=f"the failed items of run '{first.run_id}' that run '{entry.run_id}' has scored",
                got=f"{taken.total()} items and {again.total()} that failed again, in the quarantines",
                expected=f"{entry.items} and {entry.quarantined}, as that run recorded",
                next_step="A quarantine was changed since, or a script returned fewer elements than files. Score the "
                "whole input again, into another --output.",
            )
        left = left - taken + again
    return left & failed_in(failed.run_id)
