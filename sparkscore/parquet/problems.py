"""Create the errors for files that cannot be read and for values that a type cannot hold.

Runs on the driver and the workers.
"""

from __future__ import annotations

import re
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceSchemaError
from sparkscore.object_store import is_of_store, reason_of

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

_OF_STORE: Final = (
    "Check that the driver and each worker reach the store and may read its objects: with the keys in the session's "
    "settings or, without keys, with the credentials in their environment or the role of their host. Credentials that "
    "expire must be valid until the run ends. Or set 'input.reader: spark', if Spark has its own connector and keys."
)
_REPLACED: Final = "Run again when the input is complete: the object was removed or replaced while it was read."
# The answers of a store that had the object, or these bytes of it, before.
_IS_REPLACED: Final = re.compile(r"(NO_SUCH_KEY|RESOURCE_NOT_FOUND|HTTP status 416\)) during GetObject")


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
    if isinstance(error, Exception) and is_of_store(error):
        return unreadable_object(file, error)
    is_closed = isinstance(error, (FileNotFoundError, PermissionError))
    got = re.sub(r"\s+", " ", str(error))[:_MOST_CHARACTERS].rstrip(". ")
    return SourceError(
        code=ErrorCode.INPUT_UNREADABLE,
        what=f"PyArrow cannot read the input file '{file}'",
        got=got,
        state=_STATE,
        next_step=_OPEN if is_closed else _REPAIR,
    )


def unreadable_object(location: str, error: Exception) -> SourceError:
    """Return the error for an object or a folder in a store that does not answer, or refuses to.

    Args:
        location: the URI of the object or folder.
        error: the exception of PyArrow.
    """
    got = reason_of(error)
    return SourceError(
        code=ErrorCode.INPUT_UNREADABLE,
        what=f"input '{location}'",
        got=got,
        state=_STATE,
        next_step=_REPLACED if _IS_REPLACED.search(got) else _OF_STORE,
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
