"""Remove what dead runs have left, and end their records (driver)."""

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
    """What was cleaned, or would be.

    Attributes:
        removed: the stages that are gone.
        ended: ids of the runs whose record says ABORT now.
        replaced: the folders of rows that a dead driver was replacing, which are put back or removed.
        undecided: ids of the runs whose driver died while it published. Only the table tells whether their rows are
            there: resuming such a run asks it.
        is_dry: whether nothing was done.
    """

    removed: tuple[Removed, ...]
    ended: tuple[str, ...]
    replaced: tuple[Path, ...]
    undecided: tuple[str, ...]
    is_dry: bool

    def as_dict(self) -> dict[str, Any]:
        """Return what ``sparkscore clean --json`` prints."""
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
    """Remove the stages of dead runs, and mark those runs as ended; living and held runs are left alone.

    Runs on the driver and needs no Spark. A run that is cleaned starts again from the beginning when it is resumed.

    Args:
        outputs: locations of results; those of all recorded runs when empty.
        runs: folder of the run records; ``$SPARKSCORE_RUNS`` or ``./sparkscore-runs`` when absent.
        dry_run: only say what would be removed.

    Returns:
        what ``sparkscore clean --json`` prints: the stages that were ``removed``, the runs that were ``ended``, the
        folders of rows ``replaced`` by halves that were put in order, and the runs that are ``undecided`` because
        their driver died while it published.

    Raises:
        SinkError: something cannot be listed or removed.
    """
    places = [local_path(str(output)) for output in outputs]
    return clean_up(places, runs_folder(runs), is_dry=dry_run).as_dict()


def clean_up(outputs: Sequence[Path], runs: Path, *, is_dry: bool) -> Cleaned:
    """Do what `clean` does."""
    records = list_records(runs)
    recorded = [Path(record.output.location) for record in records if record.output.location]
    places = sorted(set(outputs or recorded))
    holders = {place / STAGE_FOLDER for place in places}
    holders |= {Path(place) for record in records if (place := record.stage_location)}
    # Before the stages go: rows that a dead driver was replacing are put back, or the new ones are completed.
    settled = [aside for place in places for aside in _take_up_replacing(place, is_dry=is_dry)]
    removed = [stage for holder in sorted(holders) for stage in clean_stages(holder, is_dry=is_dry)]
    found = [(record.run_id, _end_dead(runs, record, is_dry=is_dry)) for record in records]
    ended = tuple(run_id for run_id, is_ended in found if is_ended)
    undecided = tuple(run_id for run_id, is_ended in found if is_ended is False)
    return Cleaned(tuple(removed), ended, tuple(settled), undecided, is_dry)


def _take_up_replacing(place: Path, *, is_dry: bool) -> list[Path]:
    try:
        return recover(place, is_dry=is_dry)
    except OSError as error:
        raise SinkError(
            code=ErrorCode.NOT_CLEANED,
            what=f"the output '{place}', whose rows a driver that died was replacing",
            got=error.strerror or type(error).__name__,
            state="Its rows are there or in its folder '_replaced_by_…'.",
            next_step="Correct the cause and clean again.",
        ) from error


def _end_dead(runs: Path, record: RunRecord, *, is_dry: bool) -> bool | None:
    """End the record of a run whose driver is dead.

    Returns:
        True where it was ended, False where its rows may be published, None where the run is not dead.
    """
    folder = open_run(runs, record.run_id)
    if record.state != RUNNING or folder.is_claimed():
        return None
    if is_dry:  # who only looks takes no lock
        return not RunState(folder, folder.claim(), record).may_be_published
    # Another driver may take the run up at this moment: then it is not dead, and its record is its own.
    with suppress(ConfigError), locked_run(runs, record.run_id) as state:
        if state.is_dead and state.record is not None:
            if not state.may_be_published:
                folder.write_record(end_record(state.record, ABORT))
            return not state.may_be_published
    return None
