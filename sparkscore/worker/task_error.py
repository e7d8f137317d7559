"""Carry a sparkscore error from a task to the driver, inside the message of Spark's exception.

Runs on the driver and the workers.

The driver sees a task's exception only as part of Spark's message. Therefore, the task adds the fields of its error to
the exception's text, between two tags, and the driver recreates the error from these fields.
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
    """Raised in a task in place of a `SparkscoreError`. The message contains the fields of that error."""


@contextmanager
def carried() -> Iterator[None]:
    """Convert a `SparkscoreError` that is raised in the ``with`` block to a `TaskError`. Runs on a worker."""
    try:
        yield
    except SparkscoreError as error:
        raise TaskError(text_of(error)) from error


def text_of(error: SparkscoreError) -> str:
    """Return the message of an error, followed by its fields in the form that `error_in` reads."""
    fields = {"class": type(error).__name__, "code": error.code, **{name: getattr(error, name) for name in _FIELDS}}
    return f"{error}\n[SPARKSCORE_ERROR] {json.dumps(fields)} [/SPARKSCORE_ERROR]"


def error_in(text: str) -> SparkscoreError | None:
    """Rebuild a sparkscore error from its fields in the message of Spark's exception.

    The result is None if the message has no such fields, or if this version of sparkscore cannot read them.

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
