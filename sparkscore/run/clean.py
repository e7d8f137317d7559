"""Remove the stages of stopped runs, and record the state ABORT for runs whose driver died. Runs on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SinkError
from sparkscore.location import local_path
from sparkscore.record.listing import list_records, runs_folder
from sparkscore.record.run_record import ABORT, RUNNING, RunRecord, end_record
from sparkscore.record.runs_folder import open_run
from sparkscore.run.state import RunState, locked_run
from sparkscore.sinks.cleaning import Removed, clean_stages
from sparkscore.sinks.replacing import recover
from sparkscore.stage.layout import STAGE_FOLDER


@dataclass(frozen=True)
class Cleaned:
    """The result of `clean_up`. After a dry run, it shows what would be removed, ended or moved back.

    Attributes:
        removed: the stages that were removed, with the sizes of their files.
        ended: ids of the runs whose driver died, and whose record now has the state ABORT.
        replaced: folders into which an interrupted overwrite had moved the previous rows of an output. If the new rows
            are visible, the previous rows that sparkscore wrote were removed. Otherwise, the previous rows were moved
            back.
        undecided: ids of the runs whose driver died after it began to publish. Some of their rows may be visible.
            `resume` finds out whether they are.
        is_dry: whether this was a dry run, which changes nothing.
    """

    removed: tuple[Removed, ...]
    ended: tuple[str, ...]
    replaced: tuple[Path, ...]
    undecided: tuple[str, ...]
    is_dry: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary that ``sparkscore clean --json`` prints."""
        return {
            "removed": [{"path": str(stage.path), "bytes": stage.size_bytes} for stage in self.removed],
            "ended": list(self.ended),
            "replaced": [str(aside) for aside in self.replaced],
            "undecided": list(self.undecided),
            "dry_run": self.is_dry,
        }


def clean(
    outputs: Sequence[str | Path] = (), *, runs: str | Path | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Remove the stages of stopped runs, and record the state ABORT for runs whose driver died.

    Overwrites left unfinished by a driver that died are completed or undone. Runs that are running or held are not
    touched. A run whose driver died after it began to publish keeps its state. A run's finished chunks are removed with
    its stage. Runs on the driver and does not need Spark.

    Args:
        outputs: locations of results. If empty, the outputs of all recorded runs are used. In either case, stages in
            the ``output.stage`` folders of recorded deployments are removed as well.
        runs: the runs folder. If None, ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs``.
        dry_run: whether to change nothing and only report what would be removed, ended or moved back.

    Returns:
        the dictionary that ``sparkscore clean --json`` prints, with these keys:

            - ``removed``: the stages that were removed
            - ``ended``: the ids of the runs whose state was set to ABORT
            - ``replaced``: the folders with previous rows that an interrupted overwrite had left behind
            - ``undecided``: the ids of the runs whose driver died after it began to publish
            - ``dry_run``: the argument `dry_run`

    Raises:
        ConfigError: an output is not a local location.
        SinkError: a folder of stages cannot be listed, or an interrupted overwrite cannot be completed or undone.
        LineageError: a lock or a run record cannot be written.
    """
    return clean_up(outputs, runs_folder(runs), is_dry=dry_run).as_dict()


def clean_up(outputs: Sequence[str | Path], runs: Path, *, is_dry: bool) -> Cleaned:
    """Do the work of `clean`, and return the result as a `Cleaned` object.

    Raises the same errors as `clean`.
    """
    records = list_records(runs)
    recorded = [Path(record.output.location) for record in records if record.output.location]
    locations = sorted({local_path(str(output)) for output in outputs} or set(recorded))
    stage_folders = {location / STAGE_FOLDER for location in locations}
    stage_folders |= {Path(folder) for record in records if (folder := record.stage_location)}
    # Complete or undo interrupted overwrites first, while the stages still exist.
    settled = [aside for location in locations for aside in _finish_replacing(location, is_dry=is_dry)]
    removed = [stage for folder in sorted(stage_folders) for stage in clean_stages(folder, is_dry=is_dry)]
    found = [(record.run_id, _end_dead(runs, record, is_dry=is_dry)) for record in records]
    ended = tuple(run_id for run_id, is_ended in found if is_ended)
    undecided = tuple(run_id for run_id, is_ended in found if is_ended is False)
    return Cleaned(tuple(removed), ended, tuple(settled), undecided, is_dry)


def _finish_replacing(output: Path, *, is_dry: bool) -> list[Path]:
    try:
        return recover(output, is_dry=is_dry)
    except OSError as error:
        raise SinkError(
            code=ErrorCode.NOT_CLEANED,
            what=f"the output '{output}', whose rows a driver that died was replacing",
            got=error.strerror or type(error).__name__,
            state="Its rows are in the output or in its folder '_replaced_by_…'.",
            next_step="Correct the cause and clean again.",
        ) from error


def _end_dead(runs: Path, record: RunRecord, *, is_dry: bool) -> bool | None:
    """Set a run's state to ABORT if its driver died before publishing began.

    Returns:
        True if the state was set to ABORT, or if only `is_dry` prevented this. False if the driver died after
        publishing began; the state is then unchanged. None if the run has ended, its driver is alive, or another
        driver is resuming it.
    """
    folder = open_run(runs, record.run_id)
    if record.state != RUNNING or folder.is_claimed():
        return None
    if is_dry:  # Do not take the lock: a dry run must not block a driver.
        return not RunState(folder, folder.claim(), record).may_be_published
    # Another driver may be resuming the run. Then the run is not dead, and that driver writes its record.
    with suppress(ConfigError), locked_run(runs, record.run_id) as state:
        if state.is_dead and state.record is not None:
            if not state.may_be_published:
                folder.write_record(end_record(state.record, ABORT))
            return not state.may_be_published
    return None
