"""`sparkscore resume`: take up a run where it stopped; `sparkscore clean`: remove what dead runs have left (driver)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sparkscore.cli.reply import OK, print_json, shown_path, to_stdout
from sparkscore.cli.run_command import RunRequest, request_of, run_deployment
from sparkscore.lineage import ABORT, RUNNING, end_record
from sparkscore.runlock import is_held
from sparkscore.runlog import RunFolder, list_records, runs_folder
from sparkscore.sinks.stage import clean_stages
from sparkscore.sinks.target import STAGE_FOLDER


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
    os.chdir(request["working_directory"])
    deployment = request["deployment"]
    master, spark_conf = session
    place = None if deployment is None else Path(deployment)
    return run_deployment(RunRequest(place, request["options"], (), master, spark_conf, as_json))


def clean(outputs: Sequence[Path], runs: Path | None, *, as_json: bool) -> int:
    """Remove the stages of dead runs, and mark those runs as ended; a living run is left alone.

    Args:
        outputs: locations of results; those of all recorded runs when empty.
        runs: folder of the run records.
        as_json: whether the answer is one JSON object.

    Returns:
        the exit code.
    """
    folder = runs_folder(runs)
    records = list_records(folder)
    recorded = [Path(place) for record in records if (place := _text_in(record.get("output"), "location"))]
    holders = {place / STAGE_FOLDER for place in (outputs or recorded)}
    configs = [(record.get("config") or {}).get("output") for record in records]
    holders |= {Path(place) for output in configs if (place := _text_in(output, "stage"))}
    removed = [stage for holder in sorted(holders) for stage in clean_stages(holder)]
    ended = [record["run_id"] for record in records if _end_dead(RunFolder(folder, record["run_id"]))]
    if as_json:
        stages = [{"path": str(stage.path), "bytes": stage.size_bytes} for stage in removed]
        print_json({"removed": stages, "ended": ended})
        return OK
    for stage in removed:
        to_stdout(f"removed {shown_path(stage.path)}  {stage.size_bytes:,} bytes")
    for run_id in ended:
        to_stdout(f"ended   {run_id}: its driver is dead")
    if not removed and not ended:
        to_stdout("nothing to clean")
    return OK


def _text_in(part: object, name: str) -> str | None:
    """Give a text of a part of a record, which others may have changed."""
    value = part.get(name) if isinstance(part, dict) else None
    return value if isinstance(value, str) and value else None


def _end_dead(folder: RunFolder) -> bool:
    record = folder.read_record()
    if record is None or record.get("state") != RUNNING or is_held(folder.lock_file):
        return False
    folder.write_record(end_record(record, ABORT))
    return True
