"""Define the outcome of scoring a mini-batch: the rows of its result, and its failures.

Runs on the driver and the workers.
"""

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
# Each report contains a traceback. A thousand long tracebacks would exceed `spark.driver.maxResultSize`.
_TRACEBACK_LENGTH = 20_000
_NO_MODULE: Final = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True)
class Failure:
    """The reason why a mini-batch or a part of it was not scored, or why a scorer could not be loaded.

    A failure contains only strings, because the class of the exception may not be importable in another process.
    Strings that are not known or do not apply are empty.

    Attributes:
        code: the error code.
        exception: class name of the exception, for example ``KeyError``. Empty if sparkscore itself detected the
            failure.
        message: description of the failure, for example an exception's message. It may contain values from rows.
        place: file name and line in the user's code.
        traceback_text: traceback for the log.
        next_step: what the user should do.
        missing_module: name of a module that could not be imported, if this seems to be the cause.
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
        """The class name to show: ``exception``, or the name of sparkscore's error class if ``exception`` is empty."""
        return self.exception or error_class_of(self.code).__name__


@dataclass(frozen=True)
class ItemFailure:
    """The failure of one item of a mini-batch.

    Attributes:
        position: position of the item in the mini-batch, counted from 0.
        failure: why the item was not scored.
    """

    position: int
    failure: Failure


@dataclass(frozen=True)
class Outcome:
    """The result of scoring one mini-batch, or a part of one.

    Attributes:
        items: number of items.
        scored: number of items that were scored.
        table: the rows of the result. If no item was scored, this is None or an empty table.
        failure: the failure that is reported for the mini-batch, or None.
        failures: the items that are known to have failed, with the reasons. If a call failed as a whole, it is not
            known which items caused the failure, so they are not listed.
        elements: number of elements that ``run()`` returned, or None if it is not known, for example because ``run()``
            raised an exception.
        scored_in_parts: number of items that were scored in smaller calls after the whole mini-batch had failed.
        is_contract_broken: whether the failure counts as a broken contract, that is, the scorer does not return one
            element per item, in order.
        is_final: whether further calls would fail too, because the scorer cannot be loaded.
        columns: number of columns in the DataFrame that was passed to the user's code, or 0 if it is not known.
        unseen: pairs of a column name and the number of values in it for which the model has no category.
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
    """Return the outcome of a mini-batch that failed as a whole."""
    return Outcome(items=items, scored=0, failure=failure)


def describe_failure(
    error: BaseException, code: ErrorCode = ErrorCode.SCRIPT_RUN, code_folder: Path | None = None
) -> Failure:
    """Return a `Failure` that describes an exception raised by the user's code or by sparkscore.

    Args:
        error: the exception.
        code: error code to use if the exception is not a `SparkscoreError`, which has its own code.
        code_folder: folder with the user's code. The ``place`` of the failure is looked up in it. If None, the
            ``place`` stays empty.
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
    """Return the name of the module whose absence seems to have caused the exception, or an empty string."""
    causes = (each.__cause__ for each in _chain(error))
    contexts = (each.__context__ for each in _chain(error) if not each.__suppress_context__)
    # An exception that is raised while an import error is handled may have a different cause. The import error counts
    # as its cause only if the exception is itself an ImportError, like the one that pandas raises without openpyxl.
    handled = contexts if type(error) is ImportError else ()
    found = (_module_of(each) for each in (error, *handled, *causes) if isinstance(each, ModuleNotFoundError))
    return next(filter(None, found), "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, followed by the chain of its causes and contexts."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        has_cause = error.__cause__ is not None or error.__suppress_context__
        error = error.__cause__ if has_cause else error.__context__


def _module_of(error: ModuleNotFoundError) -> str:
    """Return the module name in the exception's message, or an empty string."""
    found = _NO_MODULE.search(_text_of(error))
    return found[1] if found else ""


def _storable(text: str) -> str:
    """Escape surrogates, which Python uses for undecodable bytes in file names, and which Arrow cannot store."""
    # Not `text.encode`, which a str subclass in the user's code may have overridden.
    return str.encode(text, errors="backslashreplace").decode()


def _traceback_of(error: BaseException) -> str:
    """Return the traceback of an exception as a string. The middle of a very long traceback is left out."""
    whole = _storable("".join(traceback.format_exception(error, chain=True)))
    if len(whole) <= _TRACEBACK_LENGTH:
        return whole
    half = _TRACEBACK_LENGTH // 2
    return f"{whole[:half]}\n… {len(whole) - 2 * half:,} characters left out …\n{whole[-half:]}"


def _text_of(error: BaseException) -> str:
    """Return the message of an exception, or a fixed message if ``str(error)`` fails."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the user's __str__ may raise anything
        return "(the exception's own text could not be read)"


def _place_of(error: BaseException, code_folder: Path | None) -> str:
    """Return the file name and line of the innermost stack frame in the code folder, or an empty string.

    For a syntax error in one of the folder's files, this is the position of the syntax error.
    """
    if code_folder is None:
        return ""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    # Code with a syntax error has no stack frame, but the error contains the file name. Code that was compiled from a
    # string has no file in the folder.
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    own = [(Path(file).name, line) for file, line in lines if Path(file).is_relative_to(code_folder)]
    return f"{own[-1][0]}, line {own[-1][1]}" if own else ""
