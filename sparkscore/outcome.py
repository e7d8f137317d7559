"""The result of one mini-batch as a value: rows, or the reason why there are none (worker)."""

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
# It travels with every report: a thousand huge ones would be more than Spark lets a job return.
_TRACEBACK_LENGTH = 20_000
_NO_MODULE: Final = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True)
class Failure:
    """Why a mini-batch, or part of it, was not scored. Plain text only: foreign exceptions do not cross processes.

    Attributes:
        code: what failed; everything that sparkscore decides about a failure, it decides by its code.
        exception: name of the class that the user's code or model raised; empty if sparkscore found the failure.
        message: the exception's own text, cut at 2,000 characters; it may hold row contents.
        place: file and line in the user's code, if known.
        traceback_text: the whole traceback, for the log.
        next_step: what the user can do, if sparkscore knows.
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
        """The name of the exception's class, as records and tables show it."""
        return self.exception or error_class_of(self.code).__name__


@dataclass(frozen=True)
class ItemFailure:
    """Why one item of a mini-batch was not scored, when the others were.

    Attributes:
        position: the item's position in the mini-batch, from 0.
        failure: why.
    """

    position: int
    failure: Failure


@dataclass(frozen=True)
class Outcome:
    """What became of one mini-batch.

    Attributes:
        items: number of items that went in.
        scored: items that count as scored.
        table: the rows of the result; None when the mini-batch failed.
        failure: why items failed, the first reason if there are several; None when all were scored.
        failures: the items that failed alone, where they are known.
        elements: how many elements came back; None where that is not known, for example because nothing did.
        scored_in_parts: items whose values come from calls with a part of the mini-batch.
        is_contract_broken: whether the mini-batch failed because the scorer broke its contract, and no single item.
        is_final: whether more calls are of no use, because the scorer cannot be loaded.
        columns: how many columns the scorer's code was handed, which may be fewer than the input has; 0: not known.
        unseen: number of values, by column, that are none of the model's categories, as pairs.
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
        """Items that went in and were not scored."""
        return self.items - self.scored


def failed_outcome(items: int, failure: Failure) -> Outcome:
    """Make the outcome of a mini-batch of which nothing was scored."""
    return Outcome(items=items, scored=0, failure=failure)


def describe_failure(
    error: BaseException, code: ErrorCode = ErrorCode.SCRIPT_RUN, code_folder: Path | None = None
) -> Failure:
    """Turn an exception of the user's code into text.

    Runs on the worker. Never raises: an exception whose ``str()`` fails is described by its class.

    Args:
        error: the exception.
        code: the code for it; sparkscore's own exceptions have theirs.
        code_folder: folder of the user's code; the innermost frame in it is the failure's place.
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

    A package may have caught the import error and raised one with its own text, as pandas does without openpyxl.
    """
    causes = (each.__cause__ for each in _chain(error))
    contexts = (each.__context__ for each in _chain(error) if not each.__suppress_context__)
    # What was handled when another exception was raised need not be its reason, unless that is an import error too.
    handled = contexts if type(error) is ImportError else ()
    found = (_module_of(each) for each in (error, *handled, *causes) if isinstance(each, ModuleNotFoundError))
    return next(filter(None, found), "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that it came from, as a traceback shows them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        has_cause = error.__cause__ is not None or error.__suppress_context__
        error = error.__cause__ if has_cause else error.__context__


def _module_of(error: ModuleNotFoundError) -> str:
    found = _NO_MODULE.search(_text_of(error))
    return found[1] if found else ""


def _storable(text: str) -> str:
    """Escape what UTF-8, and so Arrow, cannot hold: characters in the names of files whose bytes are not text."""
    # Not the text's own method: its class may be the user's, and is not known to who reads this.
    return str.encode(text, errors="backslashreplace").decode()


def _traceback_of(error: BaseException) -> str:
    whole = _storable("".join(traceback.format_exception(error, chain=True)))
    if len(whole) <= _TRACEBACK_LENGTH:
        return whole
    half = _TRACEBACK_LENGTH // 2
    return f"{whole[:half]}\n… {len(whole) - 2 * half:,} characters left out …\n{whole[-half:]}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the user's __str__ may raise anything
        return "(the exception's own text could not be read)"


def _place_of(error: BaseException, code_folder: Path | None) -> str:
    if code_folder is None:
        return ""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    # A file of the user's that does not compile has no frame; text that the user's code compiles is no file.
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    own = [(Path(file).name, line) for file, line in places if Path(file).is_relative_to(code_folder)]
    return f"{own[-1][0]}, line {own[-1][1]}" if own else ""
