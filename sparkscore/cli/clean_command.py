"""`sparkscore clean`: remove the staged files of runs that stopped. Runs on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparkscore.cli.reply import OK, print_json, shown_path, to_stdout
from sparkscore.record.listing import runs_folder
from sparkscore.run.clean import Cleaned, clean_up


def clean(outputs: Sequence[str | Path], runs: Path | None, *, as_json: bool, is_dry: bool = False) -> int:
    """Clean up after runs that stopped, and print what was changed.

    - Interrupted overwrites of Parquet folders are completed or undone.
    - The staged files of runs that stopped are removed. Held runs keep theirs.
    - Runs whose driver died are set to ABORT. If the driver died while publishing, the run keeps its state, because
      its rows may already be visible.

    Args:
        outputs: locations of the result tables to clean; if empty, the outputs of all recorded runs.
        runs: path of the runs folder, or None for the default folder.
        as_json: whether to print a JSON object.
        is_dry: whether to only print what would be changed.

    Returns:
        the exit code 0.

    Raises:
        SparkscoreError: an output is not local, or files cannot be listed, moved, written or removed.
    """
    cleaned = clean_up(outputs, runs_folder(runs), is_dry=is_dry)
    if as_json:
        print_json(cleaned.as_dict())
    else:
        to_stdout(*(_lines(cleaned) or ["nothing to clean"]))
    return OK


def _lines(cleaned: Cleaned) -> list[str]:
    is_dry = cleaned.is_dry
    return [
        *(
            f"{'would finish' if is_dry else 'finished'} replacing the rows in {shown_path(aside.parent)}"
            for aside in cleaned.replaced
        ),
        *(
            f"{'would remove' if is_dry else 'removed'} {shown_path(stage.path)}  {stage.size_bytes:,} bytes"
            for stage in cleaned.removed
        ),
        *(f"{'would end' if is_dry else 'ended  '} {run_id}: its driver is dead" for run_id in cleaned.ended),
        *(
            f"left    {run_id}: its driver died while it published; 'sparkscore resume {run_id}' finds out how it ended"
            for run_id in cleaned.undecided
        ),
    ]
