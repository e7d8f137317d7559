"""Refuse files whose compression sparkscore cannot read, since it could not check their contents (driver)."""

from __future__ import annotations

from collections.abc import Sequence

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.plan import InputFile


def refuse_packed(files: Sequence[InputFile], extensions: tuple[str, ...], expected: str) -> None:
    """Raise an error if a file has one of these extensions.

    Args:
        files: the files.
        extensions: the extensions of compressions that only Hadoop reads.
        expected: the compressions that can be read, for the error.

    Raises:
        SourceError: with the first such file.
    """
    if packed := next((file.path for file in files if file.path.endswith(extensions)), None):
        raise SourceError(
            code=ErrorCode.INPUT_PACKED,
            what=f"input file '{packed}'",
            got="a compression that only Hadoop reads, so that the file cannot be checked before",
            expected=expected,
            next_step="Decompress the file.",
        )
