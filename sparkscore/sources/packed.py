"""Refuse files that are packed in a form which cannot be looked at before Spark reads them (driver)."""

from __future__ import annotations

from collections.abc import Sequence

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.plan import InputFile


def refuse_packed(files: Sequence[InputFile], endings: tuple[str, ...], expected: str) -> None:
    """Refuse the first file that has one of the endings.

    Raises:
        SourceError: there is one.
    """
    if packed := next((file.path for file in files if file.path.endswith(endings)), None):
        raise SourceError(
            code=ErrorCode.INPUT_PACKED,
            what=f"input file '{packed}'",
            got="a compression that Hadoop alone reads, so that the file cannot be looked at before",
            expected=expected,
            next_step="Decompress the file.",
        )
