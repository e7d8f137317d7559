"""The number of the format of what waits for a later attempt: stage, manifest and plan (driver and worker).

Another version of sparkscore may write these files otherwise. It counts the number up then, and what has another
number is refused by name. Files without a number are of the first format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError

FORMAT: Final = 1


def refuse_other_format(found: object, what: str, path: Path, run_id: str) -> None:
    """Refuse what another version of sparkscore wrote in another format.

    Args:
        found: the number in the file; None or an empty text where there is none.
        what: what the file is, in words.
        path: where it is.
        run_id: the run that it belongs to.

    Raises:
        LineageError: it has another format.
    """
    if not is_other_format(found):
        return
    raise LineageError(
        code=ErrorCode.OTHER_FORMAT,
        what=f"the {what} '{path}' of run '{run_id}'",
        got=f"format {str(found).strip()[:40]}",
        expected=f"format {FORMAT}, which this version of sparkscore reads",
        state="Nothing was published, and nothing was removed.",
        next_step="Publish, resume or discard the run with the version of sparkscore that wrote it, which "
        f"'sparkscore runs show {run_id} --json' names; or score again under another --run-id.",
    )


def is_other_format(found: object) -> bool:
    """Whether a number, as a file has it, is another one than that of this version."""
    return found is not None and str(found).strip() not in {"", str(FORMAT)}
