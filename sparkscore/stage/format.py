"""The format number of a run's stage, plan and manifest. Runs on the driver and the workers.

A version of sparkscore that changes the format of these files increases the number. `refuse_other_format` rejects files
with a different number, because they might be misread. Files without a number have the first format.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError

FORMAT: Final = 1
_KEY: Final = b"sparkscore.format"
#: Metadata of the schema of a Parquet file that is part of a run's plan.
PLAN_METADATA: Final = {_KEY: str(FORMAT)}


def refuse_other_format(found: object, what: str, path: Path, run_id: str) -> None:
    """Raise an error if another version of sparkscore wrote a run's file in a different format.

    Args:
        found: format number in the file. None or an empty string means that the file has none, which is accepted.
        what: what the file is, for the error message: a stage, a plan or a manifest.
        path: path of the file.
        run_id: id of the run that the file belongs to.

    Raises:
        LineageError: the format number is not `FORMAT`.
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


def refuse_other_plan(metadata: Mapping[bytes, bytes] | None, path: Path) -> None:
    """Raise an error if another version of sparkscore wrote a file of a run's plan in a different format.

    Args:
        metadata: metadata of the Parquet file's schema.
        path: path of the file in the run's stage.

    Raises:
        LineageError: the format number is not `FORMAT`.
    """
    found = (metadata or {}).get(_KEY, b"")
    refuse_other_format(found.decode(errors="replace"), "plan", path, path.parent.name)


def is_other_format(found: object) -> bool:
    """Return whether a file's format number differs from `FORMAT`.

    Return False if the file has no number (None or an empty string).
    """
    return found is not None and str(found).strip() not in {"", str(FORMAT)}
