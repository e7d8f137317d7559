"""Create the errors for files that cannot be read and for values that a type cannot hold.

Runs on the driver and the workers.
"""

from __future__ import annotations

import re
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceSchemaError

_STATE: Final = "Nothing was published."
_MOST_CHARACTERS: Final = 200
_OPEN: Final = (
    "Run again when the workers can open the file: it was removed during the run, for example by VACUUM, or they may "
    "not read it."
)
_REPAIR: Final = (
    "Repair or remove the file if it is damaged or truncated. Otherwise set 'input.reader: spark', and score again "
    "under another --run-id: Spark's reader may be able to read it."
)


def refused_value(column: str, got: str, file: str) -> SourceSchemaError:
    """Return the error for a value that the type of its column cannot hold exactly.

    Args:
        column: phrase that names the column, such as ``column 'x'``.
        got: description of the value that does not contain the value itself.
        file: path of the file.
    """
    return SourceSchemaError(
        code=ErrorCode.INPUT_VALUE,
        what=f"{column} of input file '{file}'",
        got=got,
        expected="values that the column's type holds exactly",
        state=_STATE,
        next_step="Correct the file: round times to microseconds, in pandas by .dt.floor('us'), and numbers to what "
        "the type holds. Or declare the column in 'input.schema' as the files have it; bigint gives nanoseconds.",
    )


def unreadable_file(file: str, error: Exception | str) -> SourceError:
    """Return the error for a file that PyArrow cannot read.

    Args:
        file: path of the file.
        error: the exception or a phrase that says what is wrong. The exception's message is about the file's layout.
    """
    is_closed = isinstance(error, (FileNotFoundError, PermissionError))
    got = re.sub(r"\s+", " ", str(error))[:_MOST_CHARACTERS].rstrip(". ")
    return SourceError(
        code=ErrorCode.INPUT_UNREADABLE,
        what=f"PyArrow cannot read the input file '{file}'",
        got=got,
        state=_STATE,
        next_step=_OPEN if is_closed else _REPAIR,
    )


def changed_file(file: str, got: str, expected: str) -> SourceError:
    """Return the error for a file that differs from what the driver found when it planned the run.

    Args:
        file: path of the file.
        got: what the worker found.
        expected: what the driver found.
    """
    return SourceError(
        code=ErrorCode.INPUT_CHANGED,
        what=f"input file '{file}' changed while the run read it",
        got=got,
        expected=expected,
        state=_STATE,
        next_step="Run again when the input is complete.",
    )
