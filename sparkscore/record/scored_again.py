"""The note of the runs over the failed items of a run (driver)."""

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
    """A run over failed items that was about to publish.

    Attributes:
        run_id: the run.
        origin: the run in whose quarantine its items were.
        items: their number.
        quarantined: how many of them failed again.
        quarantine: the table in which those are.
        format: the tables' format.
        output: the table of the others.
        run_id_column: name of the column there that holds the run id.
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
    """Return the note's content, in the order in which the runs published."""
    return summed({"runs": [asdict(run) for run in runs]})


def runs_in(content: Mapping[str, Any], path: Path, run_id: str) -> list[ScoredAgain]:
    """Return the runs that a note names.

    Args:
        content: the note.
        path: its file, for the message.
        run_id: the run whose failed items they are over.

    Raises:
        LineageError: the note is not as it was written.
    """
    if not is_whole(content):
        raise LineageError(
            code=ErrorCode.ONLY_FAILED_UNKNOWN,
            what=f"the note '{path}' of the runs over failed items of run '{run_id}'",
            got="other contents than sparkscore wrote",
            next_step="Bring the file back, or score the whole input again, into another --output.",
        )
    return [ScoredAgain(**run) for run in content["runs"]]
