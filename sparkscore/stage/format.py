"""The format number of the files that a later attempt reads: stage, manifest and plan (driver and worker).

A version of sparkscore that writes these files in another format uses a higher number. Files with another number than
`FORMAT` are refused by name and never misread. Files without a number have the first format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError

FORMAT: Final = 1


def refuse_other_format(found: object, what: str, path: Path, run_id: str) -> None:
    """Raise an error if another version of sparkscore wrote a file in another format.

    Args:
        found: the number in the file; None or an empty text if the file has none.
        what: what the file is, for the message.
        path: path of the file.
        run_id: the run that the file belongs to.

    Raises:
        LineageError: the file has another format.
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
    """Whether the format number in a file differs from that of this version."""
    return found is not None and str(found).strip() not in {"", str(FORMAT)}
