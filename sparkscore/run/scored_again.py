"""Know which failed items of a run later runs have scored: `--only-failed` scores an item once for an output (driver).

All runs over items that failed in one run, directly or in a run over its failed items, are a family. A note in the
folder of the first of them names those that were about to publish. Whether they did, their tables tell. The lock of the
first run lets one of the family work at a time.
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
from sparkscore.record.manifest import Manifest
from sparkscore.record.run_record import OnlyFailed, RunRecord
from sparkscore.record.run_store import RunStore
from sparkscore.record.runs_folder import open_run, read_record
from sparkscore.record.scored_again import ScoredAgain
from sparkscore.run.columns import run_id_column
from sparkscore.run.prepare import PreparedRun, failed_items
from sparkscore.run.quarantine import quarantine_location
from sparkscore.sinks import open_sink, target_of
from sparkscore.sources import FailedItems, items_of

_OVERWRITE = "overwrite"


@contextmanager
def family_locked(runs: Path, first: str | None) -> Iterator[None]:
    """Let one run over failed items of a run work at a time.

    Args:
        runs: folder of the runs.
        first: the run in which the items failed at first; None where the run at work is over no failed items.

    Raises:
        ConfigError: another one works.
        RunNotFoundError: the first run's record is gone, and with it the note of what was scored since.
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
            expected="one at a time, so that no item is scored twice",
            next_step="Wait for that run; then ask again, and what it has scored is left out.",
        ) from error
    try:
        yield
    finally:
        lock.__exit__()


def leave_out_scored(spark: SparkSession, prepared: PreparedRun) -> PreparedRun:
    """Leave out of a run over failed items what later runs have published in its output; the family's lock is held.

    Raises:
        LineageError: the quarantines do not say what was scored.
        SourceError: a quarantine cannot be read.
    """
    failed, output = prepared.failed, prepared.deployment.output
    if failed is None:
        return prepared
    first = open_run(prepared.folder.runs, failed.first)
    target = target_of(output, prepared.run_id, run_id_column(prepared.deployment))
    since = [] if output.mode == _OVERWRITE else _published(spark, first, str(target.path.resolve()))
    names = [entry.run_id for entry in since]
    if prepared.run_id in names:
        # This run is published: what came later does not change what it was over.
        since = since[: names.index(prepared.run_id)]
    if not since:
        return prepared
    left = _left(spark, first, failed, since)
    return replace(prepared, failed=replace(failed, since=tuple(entry.run_id for entry in since), left=left))


def has_nothing_left(prepared: PreparedRun) -> bool:
    """Whether later runs have scored all of the failed items."""
    return prepared.failed is not None and prepared.failed.left is not None and not prepared.failed.left.total()


def describe_failed(failed: FailedItems | None, items: int | None) -> OnlyFailed | None:
    """Describe for the record which failed items a run is over; None where it is over none."""
    if failed is None:
        return None
    return OnlyFailed(run_id=failed.run_id, first=failed.first, without=list(failed.since), items=items)


def note_publishing(runs: Path, record: RunRecord, deployment: Deployment, manifest: Manifest) -> None:
    """Note, before it publishes, that a run is over failed items of another; the family's lock is held.

    Args:
        runs: folder of the runs.
        record: the run's record.
        deployment: the run's deployment.
        manifest: what it is about to publish.

    Raises:
        LineageError: the note cannot be read or written.
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
    """Refuse to publish a held run whose items another run has scored meanwhile; the family's lock is held.

    Raises:
        ConfigError: one has.
    """
    part = record.only_failed
    if part is None or record.output.mode == _OVERWRITE:
        return
    since = _published(spark, open_run(runs, part.first), _output_of(record))
    names = [entry.run_id for entry in since]
    if names != part.without:
        raise ConfigError(
            code=ErrorCode.ONLY_FAILED_OUTDATED,
            what=f"run '{record.run_id}' over what failed in run '{part.run_id}'",
            got=f"items that '{names[-1] if names else 'no run'}' has published since, or that are gone again",
            expected="the same items as when it was scored",
            next_step=f"Drop it with 'sparkscore publish {record.run_id} --discard', and score what is left with "
            f"'sparkscore run --only-failed {part.run_id}'.",
        )


def _output_of(record: RunRecord) -> str:
    return str(Path(str(record.output.location)).resolve())


def _published(spark: SparkSession, first: RunStore, output: str) -> list[ScoredAgain]:
    """Give the runs of a family whose rows are in an output now, in their order; the table is asked."""
    noted = [entry for entry in first.read_scored_again() if entry.output == output]
    return [entry for entry in noted if _shows_rows(spark, entry)]


def _shows_rows(spark: SparkSession, entry: ScoredAgain) -> bool:
    config = Deployment.model_validate({"output": {"location": entry.output, "format": entry.format}}).output
    return open_sink(spark, config, entry.run_id, entry.run_id_column).shows_rows()


def _left(
    spark: SparkSession, first: RunStore, failed: FailedItems, since: Sequence[ScoredAgain]
) -> Counter[str | None]:
    """Count the items that are still to be scored: what each run took is gone, what failed in it is back."""
    places = {first.run_id: failed_items(first.runs, first.run_id), failed.run_id: failed}
    places |= {
        entry.run_id: replace(failed, run_id=entry.run_id, location=entry.quarantine, table_format=entry.format)
        for entry in since
    }
    counts = {entry.run_id: entry.quarantined for entry in since}

    @cache
    def failed_in(run_id: str) -> Counter[str | None]:
        return items_of(spark, places[run_id]) if counts.get(run_id, 1) else Counter()

    left = failed_in(first.run_id)
    for entry in since:
        places.setdefault(entry.origin, failed_items(first.runs, entry.origin))
        taken = left & failed_in(entry.origin)
        again = failed_in(entry.run_id)
        if taken.total() != entry.items or again.total() != entry.quarantined:
            raise LineageError(
                code=ErrorCode.ONLY_FAILED_UNKNOWN,
                what=f"what run '{entry.run_id}' has scored of the failed items of run '{first.run_id}'",
                got=f"{taken.total()} items and {again.total()} that failed again, by the quarantines",
                expected=f"{entry.items} and {entry.quarantined}, as that run noted",
                next_step="A quarantine was changed since, or a script returned fewer elements than files. Score the "
                "whole input again, into another --output.",
            )
        left = left - taken + again
    return left & failed_in(failed.run_id)
