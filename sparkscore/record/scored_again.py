"""Define the list of later runs that scored a run's failed items again. Used on the driver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError
from sparkscore.record.checksum import is_whole, summed


@dataclass(frozen=True)
class ScoredAgain:
    """An entry of ``scored_again.json``: a run that scored failed items of an earlier run again.

    The entry is written when the run begins to publish, so it does not prove that the run's rows were published.

    Attributes:
        run_id: id of the run that scored the items again.
        origin: id of the earlier run, as in ``--only-failed RUN_ID``. Its quarantine contains the failed items.
        items: number of items that were scored again, or 0 if unknown.
        quarantined: number of these items that failed again.
        quarantine: path of the quarantine table for the items that failed again.
        format: format of the tables `quarantine` and `output`: ``delta`` or ``parquet``.
        output: path of the table for the items that did not fail again.
        run_id_column: name of the run id column in the table `output`.
    """

    run_id: str
    origin: str
    items: int
    quarantined: int
    quarantine: str
    format: str
    output: str
    run_id_column: str


def note_of(runs: Iterable[ScoredAgain]) -> dict[str, Any]:
    """Convert a list of later runs to a JSON object with a checksum."""
    return summed({"runs": [asdict(run) for run in runs]})


def runs_in(content: Mapping[str, Any], path: Path, run_id: str) -> list[ScoredAgain]:
    """Return the list of later runs from a JSON object that `note_of` created.

    Args:
        content: the JSON object.
        path: path of its file, for the error message.
        run_id: id of the run whose failed items were scored again, for the error message.

    Raises:
        LineageError: the JSON object has no checksum, or has changed since it was written.
    """
    if not is_whole(content):
        raise LineageError(
            code=ErrorCode.ONLY_FAILED_UNKNOWN,
            what=f"the list '{path}' of the runs that scored failed items of run '{run_id}' again",
            got="other contents than sparkscore wrote",
            next_step="Restore the file, or score the whole input again into another --output.",
        )
    return [ScoredAgain(**run) for run in content["runs"]]
