"""Remove the staged files of dead runs, and end their records (driver)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SinkError
from sparkscore.location import local_path
from sparkscore.record.run_record import ABORT, RUNNING, RunRecord, end_record
from sparkscore.record.runs_folder import list_records, open_run, runs_folder
from sparkscore.run.state import RunState, locked_run
from sparkscore.sinks.cleaning import Removed, clean_stages
from sparkscore.sinks.replacing import recover
from sparkscore.stage.layout import STAGE_FOLDER


@dataclass(frozen=True)
class Cleaned:
    """The result of `clean_up`: what was removed or ended, or what would be.

    Attributes:
        removed: the stages that were removed.
        ended: ids of the runs whose record now has the state ABORT.
        replaced: folders with the previous rows of an output, left by a driver that died while it replaced them. They
            were moved back, or removed if the new rows were complete.
        undecided: ids of the runs whose driver died while it published. Whether their rows are visible is known to the
            table only; resuming such a run reads the table.
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
    """Remove the stages of dead runs, and mark those runs as ended. Running and held runs are not touched.

    Runs on the driver and needs no Spark. A run whose stage was removed starts from the beginning when it is resumed.

    Args:
        outputs: locations of results; the outputs of all recorded runs if empty.
        runs: folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` if absent.
        dry_run: only report what would be removed.

    Returns:
        what ``sparkscore clean --json`` prints: the stages that were ``removed``, the ids of the runs that were
        ``ended``, the folders with previous rows that were put in order after an interrupted overwrite (``replaced``),
        and the ids of the runs whose driver died while it published (``undecided``).

    Raises:
        SinkError: something cannot be listed or removed.
    """
    return clean_up(outputs, runs_folder(runs), is_dry=dry_run).as_dict()


def clean_up(outputs: Sequence[str | Path], runs: Path, *, is_dry: bool) -> Cleaned:
    """Clean as `clean` does, and return the typed result."""
    records = list_records(runs)
    recorded = [Path(record.output.location) for record in records if record.output.location]
    locations = sorted({local_path(str(output)) for output in outputs} or set(recorded))
    stage_folders = {location / STAGE_FOLDER for location in locations}
    stage_folders |= {Path(folder) for record in records if (folder := record.stage_location)}
    # First finish an interrupted overwrite, which may need the stage: the new rows are completed or the old moved back.
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
    """End the record of a run whose driver is dead.

    Returns:
        True if the record was ended, False if the run's rows may be published, None if the run is not dead.
    """
    folder = open_run(runs, record.run_id)
    if record.state != RUNNING or folder.is_claimed():
        return None
    if is_dry:  # without the lock: a dry run must not get in the way of a driver
        return not RunState(folder, folder.claim(), record).may_be_published
    # Another driver may resume the run at this moment. Then the run is not dead, and that driver writes its record.
    with suppress(ConfigError), locked_run(runs, record.run_id) as state:
        if state.is_dead and state.record is not None:
            if not state.may_be_published:
                folder.write_record(end_record(state.record, ABORT))
            return not state.may_be_published
    return None
