"""Carry an error of sparkscore from a task to the driver, inside the text of Spark's exception (driver and worker).

The driver sees the exception of a task only as part of Spark's message. So a task adds the fields of its error to the
text, between two marks, and the driver creates the error again from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sparkscore import errors
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SparkscoreError

_FIELDS: Final = ("what", "got", "expected", "state", "next_step")
_CARRIED: Final = re.compile(r"\[SPARKSCORE_ERROR\] (\{.*?\}) \[/SPARKSCORE_ERROR\]")


class TaskError(Exception):
    """The exception with which a task fails if sparkscore raised an error in it. Its text has the error's fields."""


@contextmanager
def carried() -> Iterator[None]:
    """Convert a `SparkscoreError` that the body of the ``with`` statement raises to a `TaskError`. Runs on a worker."""
    try:
        yield
    except SparkscoreError as error:
        raise TaskError(text_of(error)) from error


def text_of(error: SparkscoreError) -> str:
    """Return the message of an error, followed by its fields in the form that `error_in` reads."""
    fields = {"class": type(error).__name__, "code": error.code, **{name: getattr(error, name) for name in _FIELDS}}
    return f"{error}\n[SPARKSCORE_ERROR] {json.dumps(fields)} [/SPARKSCORE_ERROR]"


def error_in(text: str) -> SparkscoreError | None:
    """Return the error whose fields are in the message of Spark's exception, or None if there are none.

    Args:
        text: the message of Spark's exception.
    """
    found = _CARRIED.search(text)
    if found is None:
        return None
    try:
        fields = json.loads(found[1])
        error_class = getattr(errors, fields.pop("class"))
        return error_class(**{**fields, "code": ErrorCode(fields["code"])})  # type: ignore[no-any-return]
    except (ValueError, KeyError, AttributeError, TypeError):
        return None  # another version of sparkscore on the worker
