"""Describe the outcome of scoring one mini-batch: the rows of its result, and the failures (driver and worker)."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from sparkscore.error_classes import error_class_of
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SparkscoreError

_MESSAGE_LENGTH = 2000
# Each report contains a traceback, and a thousand long ones would exceed `spark.driver.maxResultSize`.
_TRACEBACK_LENGTH = 20_000
_NO_MODULE: Final = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True)
class Failure:
    """The reason why a mini-batch, or a part of it, was not scored, or why a scorer could not be loaded.

    A failure contains strings instead of the exception itself, because another process may be unable to import the
    exception's class.

    Attributes:
        code: the error code.
        exception: name of the exception's class, for example ``KeyError``. May be an empty string, for example if
            sparkscore itself found the failure.
        message: description of the failure, for example the message of an exception. It may contain values of rows.
        place: file name and line in the user's code, or an empty string if they are not known.
        traceback_text: traceback for the log, or an empty string.
        next_step: advice for the user, or an empty string.
        missing_module: name of a module that could not be imported, if that is known to be the cause; otherwise an
            empty string.
    """

    code: ErrorCode
    exception: str = ""
    message: str = ""
    place: str = ""
    traceback_text: str = ""
    next_step: str = ""
    missing_module: str = ""

    @property
    def error_class(self) -> str:
        """The name of the error class, for tables and messages.

        This is ``exception``, if it is not empty. Otherwise it is the name of sparkscore's class for the error code.
        """
        return self.exception or error_class_of(self.code).__name__


@dataclass(frozen=True)
class ItemFailure:
    """The failure of one item of a mini-batch.

    Attributes:
        position: position of the item in the mini-batch, counted from 0.
        failure: reason why the item was not scored.
    """

    position: int
    failure: Failure


@dataclass(frozen=True)
class Outcome:
    """The result of scoring one mini-batch, or a part of one.

    Attributes:
        items: number of items.
        scored: number of items that were scored.
        table: the rows of the result. May be None or an empty table if no item was scored.
        failure: the failure that is reported for the mini-batch, or None if there is none.
        failures: the items that are known to have failed, each with its reason. May be empty although items failed: if
            a call failed as a whole, it is not known which item is the cause.
        elements: number of elements that ``run()`` returned, or None if it is not known, for example because ``run()``
            raised an exception.
        scored_in_parts: number of items that were scored in calls with a part of the mini-batch, after the whole
            mini-batch had failed.
        is_contract_broken: whether the failure is treated as a broken contract: the scorer does not return one element
            for each item, in the order of the items.
        is_final: whether further calls would fail too, because the scorer cannot be loaded.
        columns: number of columns in the DataFrame that the user's code got, or 0 if it is not known.
        unseen: pairs of a column's name and the number of its values for which the model has no category.
    """

    items: int
    scored: int
    table: pa.Table | None = None
    failure: Failure | None = None
    failures: tuple[ItemFailure, ...] = ()
    elements: int | None = None
    scored_in_parts: int = 0
    is_contract_broken: bool = False
    is_final: bool = False
    columns: int = 0
    unseen: tuple[tuple[str, int], ...] = ()

    @property
    def failed(self) -> int:
        """The number of items that were not scored."""
        return self.items - self.scored


def failed_outcome(items: int, failure: Failure) -> Outcome:
    """Return the outcome of a mini-batch in which no item was scored because of this failure."""
    return Outcome(items=items, scored=0, failure=failure)


def describe_failure(
    error: BaseException, code: ErrorCode = ErrorCode.SCRIPT_RUN, code_folder: Path | None = None
) -> Failure:
    """Return a failure that describes an exception of the user's code or of sparkscore.

    If ``str(error)`` raises an exception itself, the failure has a fixed message.

    Args:
        error: the exception to describe.
        code: code of the failure if the exception is not a `SparkscoreError`, which has its own code.
        code_folder: folder of the user's code, or None. If it is given, the ``place`` of the failure may be a line in
            one of its files.
    """
    if isinstance(error, SparkscoreError):
        cause = "" if error.__cause__ is None else _traceback_of(error.__cause__)
        sentence = _storable(error.sentence)
        return Failure(error.code, message=sentence, traceback_text=cause, next_step=error.next_step)
    return Failure(
        code=code,
        exception=type(error).__name__,
        message=_storable(_text_of(error)[:_MESSAGE_LENGTH]),
        place=_storable(_place_of(error, code_folder)),
        traceback_text=_traceback_of(error),
        missing_module=_missing_module(error),
    )


def _missing_module(error: BaseException) -> str:
    """Return the name of a missing module if it seems to be the cause of the exception, or else an empty string."""
    causes = (each.__cause__ for each in _chain(error))
    contexts = (each.__context__ for each in _chain(error) if not each.__suppress_context__)
    # An exception that is raised while an import error is handled may have a different cause. The import error is
    # treated as its cause only if the exception is an ImportError itself. For example, pandas raises an ImportError
    # while it handles the one about openpyxl.
    handled = contexts if type(error) is ImportError else ()
    found = (_module_of(each) for each in (error, *handled, *causes) if isinstance(each, ModuleNotFoundError))
    return next(filter(None, found), "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, then its cause or context, then the cause or context of that, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        has_cause = error.__cause__ is not None or error.__suppress_context__
        error = error.__cause__ if has_cause else error.__context__


def _module_of(error: ModuleNotFoundError) -> str:
    """Return the name of the missing module in the exception's message, or an empty string if there is no name."""
    found = _NO_MODULE.search(_text_of(error))
    return found[1] if found else ""


def _storable(text: str) -> str:
    """Return a string whose surrogates are escaped, because Arrow cannot store surrogates.

    Python uses surrogates for bytes in file names that it cannot decode.
    """
    # `str.encode` is called, because `text.encode` may be a method of the user's own subclass of str.
    return str.encode(text, errors="backslashreplace").decode()


def _traceback_of(error: BaseException) -> str:
    """Return the traceback of an exception as a string. If it is very long, its middle is left out."""
    whole = _storable("".join(traceback.format_exception(error, chain=True)))
    if len(whole) <= _TRACEBACK_LENGTH:
        return whole
    half = _TRACEBACK_LENGTH // 2
    return f"{whole[:half]}\n… {len(whole) - 2 * half:,} characters left out …\n{whole[-half:]}"


def _text_of(error: BaseException) -> str:
    """Return the message of an exception, or a fixed sentence if the exception's own ``str()`` raises an exception."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the user's __str__ may raise anything
        return "(the exception's own text could not be read)"


def _place_of(error: BaseException, code_folder: Path | None) -> str:
    """Return the file and line of the innermost stack frame in the code folder, or an empty string if there is none.

    For a syntax error in a file of the code folder, the file name and line of the syntax error are returned.
    """
    if code_folder is None:
        return ""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    # Code with a syntax error has no frame, but the error contains its file name. Code that was compiled from a string
    # has no file in the folder.
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    own = [(Path(file).name, line) for file, line in lines if Path(file).is_relative_to(code_folder)]
    return f"{own[-1][0]}, line {own[-1][1]}" if own else ""
