"""Reject input files with a compression that sparkscore cannot read. Runs on the driver.

It would not be possible to check the contents of such files before Spark reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.plan import InputFile


def refuse_packed(files: Sequence[InputFile], extensions: tuple[str, ...], expected: str) -> None:
    """Raise an error if a file path ends with one of the given extensions.

    Args:
        files: the files of the input.
        extensions: the extensions of compressed files that sparkscore cannot read.
        expected: the allowed compressions, for the error message.

    Raises:
        SourceError: a path has such an extension. The message contains the first such path.
    """
    if packed := next((file.path for file in files if file.path.endswith(extensions)), None):
        raise SourceError(
            code=ErrorCode.INPUT_PACKED,
            what=f"input file '{packed}'",
            got="a compression that only Hadoop reads, so that the file cannot be checked before",
            expected=expected,
            next_step="Decompress the file.",
        )
