"""`sparkscore resume`: take up a run where it stopped; `sparkscore clean`: remove what dead runs have left (driver)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparkscore.cli.reply import OK, print_json, shown_path, to_stdout
from sparkscore.cli.run_command import RunRequest, request_of, run_deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError
from sparkscore.location import enter_folder
from sparkscore.record.run_record import ABORT, RUNNING, end_record
from sparkscore.record.runs_folder import RunFolder, list_records, runs_folder
from sparkscore.sinks.replacing import recover
from sparkscore.sinks.stage import clean_stages
from sparkscore.stage.layout import STAGE_FOLDER
from sparkscore.stage.lock import is_held


def resume_run(run_id: str, runs: Path | None, session: tuple[str | None, Sequence[str]], *, as_json: bool) -> int:
    """Do the request of an earlier run again, under its id: what it has done is not done again.

    Args:
        run_id: the run.
        runs: folder of the run records.
        session: Spark's master, and its settings as ``key=value``.
        as_json: whether the answer is one JSON object.

    Returns:
        the exit code.

    Raises:
        RunNotFoundError: there is no such run, or its request was not kept.
    """
    request = request_of(runs_folder(runs), run_id)
    enter_folder(Path(request["working_directory"]))
    deployment = request["deployment"]
    master, spark_conf = session
    place = None if deployment is None else Path(deployment)
    return run_deployment(RunRequest(place, request["options"], (), master, spark_conf, as_json))


def clean(outputs: Sequence[Path], runs: Path | None, *, as_json: bool, is_dry: bool = False) -> int:
    """Remove the stages of dead runs, and mark those runs as ended; a living run is left alone.

    Args:
        outputs: locations of results; those of all recorded runs when empty.
        runs: folder of the run records.
        as_json: whether the answer is one JSON object.
        is_dry: only say what would be removed.

    Returns:
        the exit code.
    """
    folder = runs_folder(runs)
    records = list_records(folder)
    recorded = [Path(record.output.location) for record in records if record.output.location]
    places = sorted(set(outputs or recorded))
    holders = {place / STAGE_FOLDER for place in places}
    holders |= {Path(place) for record in records if (place := record.stage_place)}
    # Before the stages go: rows that a dead driver was replacing are put back, or the new ones are completed.
    settled = [aside for place in places for aside in _take_up_replacing(place, is_dry=is_dry)]
    removed = [stage for holder in sorted(holders) for stage in clean_stages(holder, is_dry=is_dry)]
    dead = [record.run_id for record in records if _end_dead(RunFolder(folder, record.run_id), is_dry=is_dry)]
    if as_json:
        stages = [{"path": str(stage.path), "bytes": stage.size_bytes} for stage in removed]
        taken_up = [str(aside) for aside in settled]
        print_json({"removed": stages, "ended": dead, "replaced": taken_up, "dry_run": is_dry})
        return OK
    for aside in settled:
        to_stdout(f"{'would finish' if is_dry else 'finished'} replacing the rows in {shown_path(aside.parent)}")
    for stage in removed:
        to_stdout(f"{'would remove' if is_dry else 'removed'} {shown_path(stage.path)}  {stage.size_bytes:,} bytes")
    for run_id in dead:
        to_stdout(f"{'would end' if is_dry else 'ended  '} {run_id}: its driver is dead")
    if not (settled or removed or dead):
        to_stdout("nothing to clean")
    return OK


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


def _end_dead(folder: RunFolder, *, is_dry: bool) -> bool:
    record = folder.read_record()
    if record is None or record.state != RUNNING or is_held(folder.lock_file):
        return False
    if not is_dry:
        folder.write_record(end_record(record, ABORT))
    return True
