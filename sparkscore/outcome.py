"""The outcome of one mini-batch as a value: rows of the result, or the failure (worker)."""

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
# Each report has it, and a thousand long tracebacks would exceed `spark.driver.maxResultSize`.
_TRACEBACK_LENGTH = 20_000
_NO_MODULE: Final = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True)
class Failure:
    """Why a mini-batch, or a part of it, was not scored.

    It has texts instead of the exception itself: another process may be unable to import the exception's class.

    Attributes:
        code: the code of the failure. Everything that sparkscore decides about a failure, it decides by the code.
        exception: name of the exception's class if the user's code raised it; empty if sparkscore found the failure.
        message: the text of the exception, truncated to 2,000 characters; it may contain values of rows.
        place: file and line in the user's code, if known.
        traceback_text: the traceback for the log, truncated in the middle if it is very long.
        next_step: advice for the user, or an empty text.
        missing_module: the module that could not be imported, if that is why the user's code failed.
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
        """The class name of the exception for tables and messages."""
        return self.exception or error_class_of(self.code).__name__


@dataclass(frozen=True)
class ItemFailure:
    """The failure of one item of a mini-batch.

    Attributes:
        position: position of the item in the mini-batch, from 0.
        failure: why the item was not scored.
    """

    position: int
    failure: Failure


@dataclass(frozen=True)
class Outcome:
    """The result of scoring one mini-batch.

    Attributes:
        items: number of items of the mini-batch.
        scored: number of items that were scored.
        table: the rows of the result, or None if the mini-batch failed.
        failure: the first failure, or None if all items were scored.
        failures: the items that failed, if it is known which items failed.
        elements: number of returned elements, or None if it is not known, for example because the call failed.
        scored_in_parts: number of items whose values come from calls with a part of the mini-batch.
        is_contract_broken: whether the mini-batch failed because the scorer does not return one element for each item.
        is_final: whether more calls are useless, because the scorer cannot be loaded.
        columns: number of columns that the user's code got, which may be less than the input has; 0 if not known.
        unseen: pairs of a column and its number of values for which the model has no category.
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
    """Return the outcome of a mini-batch in which no item was scored."""
    return Outcome(items=items, scored=0, failure=failure)


def describe_failure(
    error: BaseException, code: ErrorCode = ErrorCode.SCRIPT_RUN, code_folder: Path | None = None
) -> Failure:
    """Return the failure for an exception of the user's code or of sparkscore.

    Runs on the worker. It raises no exception itself, even if the ``str()`` of the user's exception does.

    Args:
        error: the exception.
        code: the code for an exception of the user's code; those of sparkscore have a code of their own.
        code_folder: folder of the user's code. The innermost frame in it becomes the ``place`` of the failure.
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
    """Return the module that could not be imported, or an empty text if the code failed for another reason.

    A package may have caught the import error and raised another one, as pandas does if openpyxl is not installed.
    """
    causes = (each.__cause__ for each in _chain(error))
    contexts = (each.__context__ for each in _chain(error) if not each.__suppress_context__)
    # An exception that was raised while an import error was handled may have another reason, unless it is an import
    # error too.
    handled = contexts if type(error) is ImportError else ()
    found = (_module_of(each) for each in (error, *handled, *causes) if isinstance(each, ModuleNotFoundError))
    return next(filter(None, found), "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and the exceptions before it that its traceback shows."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        has_cause = error.__cause__ is not None or error.__suppress_context__
        error = error.__cause__ if has_cause else error.__context__


def _module_of(error: ModuleNotFoundError) -> str:
    """Return the name of the missing module in the text of an exception, or an empty text."""
    found = _NO_MODULE.search(_text_of(error))
    return found[1] if found else ""


def _storable(text: str) -> str:
    """Escape surrogates, which Python uses for bytes in file names that are not text and Arrow cannot store."""
    # `text.encode` may be a method of the user's subclass of str.
    return str.encode(text, errors="backslashreplace").decode()


def _traceback_of(error: BaseException) -> str:
    """Return the traceback of an exception, without its middle if it is very long."""
    whole = _storable("".join(traceback.format_exception(error, chain=True)))
    if len(whole) <= _TRACEBACK_LENGTH:
        return whole
    half = _TRACEBACK_LENGTH // 2
    return f"{whole[:half]}\n… {len(whole) - 2 * half:,} characters left out …\n{whole[-half:]}"


def _text_of(error: BaseException) -> str:
    """Return the text of an exception, also if its own ``str()`` raises."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the user's __str__ may raise anything
        return "(the exception's own text could not be read)"


def _place_of(error: BaseException, code_folder: Path | None) -> str:
    """Return file and line of the innermost frame in the code folder, or an empty text if there is none."""
    if code_folder is None:
        return ""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    # A file with a syntax error has no frame, but the error names it. A compiled text has no file in the folder.
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    own = [(Path(file).name, line) for file, line in lines if Path(file).is_relative_to(code_folder)]
    return f"{own[-1][0]}, line {own[-1][1]}" if own else ""
