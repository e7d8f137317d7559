"""The errors sparkscore raises, one tree; they are raised on the driver and travel between processes.

    SparkscoreError
    ├── ConfigError (ValueError)        the request is wrong: deployment file, option, argument
    ├── SourceError                     the input
    │   ├── SourceNotFoundError
    │   └── SourceSchemaError
    ├── ModelError                      the model
    │   ├── ModelNotFoundError
    │   ├── ModelLoadError
    │   ├── SignatureMismatchError
    │   └── EnvironmentMismatchError
    ├── ScoringError                    the run
    │   ├── ScoringScriptError
    │   ├── OutputContractError
    │   ├── MiniBatchTimeoutError
    │   └── ErrorThresholdExceededError
    ├── SinkError                       the output
    │   ├── SinkConflictError
    │   └── SinkSchemaError
    ├── LineageError                    the run record
    │   └── RunNotFoundError
    └── MissingDependencyError (ImportError)   Java, the Delta jar, a package

Every message reads ``[CODE] what: got X, expected Y. State of the data. Next step.`` and never holds row contents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

from sparkscore.error_codes import ErrorCode
from sparkscore.printable import printable

NOTHING_WRITTEN = "Nothing was written."
#: How the system says that a disk is full.
NO_SPACE = ("No space left on device", "Disk quota exceeded")
_LISTED_NAMES = 5
_T = TypeVar("_T")


class SparkscoreError(Exception):
    """Base of every error that sparkscore raises on purpose.

    Useful for ``try … except`` around a whole run. The fields are kept as attributes and survive pickling.

    Attributes:
        code: the stable, upper-case name of this kind of error, for example ``OUTPUT_ROWS``.
        what: what went wrong and with which named thing.
        got: what was found, if that helps.
        expected: what was wanted instead.
        state: what happened to the data.
        next_step: what the reader can do now.
        record: the run record, when the error ended a run that had one.
    """

    exit_code: ClassVar[int] = 1

    def __init__(  # noqa: PLR0913 - these are the fields of one sentence
        self,
        *,
        code: ErrorCode,
        what: str,
        next_step: str,
        got: str = "",
        expected: str = "",
        state: str = NOTHING_WRITTEN,
        record: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.got = got
        self.expected = expected
        self.state = state
        self.next_step = next_step
        self.record = record

    @property
    def sentence(self) -> str:
        """What went wrong, without code, state and next step."""
        comparison = ", ".join(
            f"{label} {value}" for label, value in (("got", self.got), ("expected", self.expected)) if value
        )
        return (f"{self.what}: {comparison}" if comparison else self.what).rstrip(".")

    @property
    def text(self) -> str:
        """The whole message, with the names in it to the letter: for what masks secrets, and for records."""
        return " ".join(part for part in (f"[{self.code}] {self.sentence}.", self.state, self.next_step) if part)

    def __str__(self) -> str:
        """Give the whole message on one line that is safe to print."""
        return printable(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from keywords: the default would lose them (and fail) when the error crosses a process."""
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(kind: type[SparkscoreError], fields: dict[str, Any]) -> SparkscoreError:
    error = kind(code=fields["code"], what=fields["what"], next_step=fields["next_step"])
    error.__dict__.update(fields)
    return error


def named(error: Exception) -> Exception:
    """Give the error for what the system refuses at a place that no other message speaks of; any other as it is."""
    if not isinstance(error, OSError) or not error.strerror:
        return error
    place = f"'{error.filename}'" if error.filename else "a file or a process"
    return SparkscoreError(
        code=ErrorCode.SYSTEM,
        what=f"the system refuses what sparkscore asks for at {place}",
        got=error.strerror or type(error).__name__,
        state="Nothing was published, unless the log says so.",
        next_step="Correct the cause, such as a place that was removed, rights or a full disk, and ask again; a run "
        "goes on under its id.",
    )


class Faults:
    """Faults of one request, which are said together: who corrects one learns at once of the others."""

    def __init__(self, *found: SparkscoreError) -> None:
        self._found = list(found)

    @property
    def is_any(self) -> bool:
        """Whether there is one."""
        return bool(self._found)

    def take(self, check: Callable[[], _T]) -> _T | None:
        """Give what a check gives; None where it finds a fault, which is kept."""
        try:
            return check()
        except SparkscoreError as error:
            self._found.append(error)
            return None

    def raise_all(self) -> None:
        """Raise the first fault with the others behind its advice; do nothing where there is none.

        Raises:
            SparkscoreError: the first fault; its code, class and state are those of the whole.
        """
        if not self._found:
            return
        first, *others = self._found
        told = (f"[{other.code}] {other.sentence}. {other.next_step}" for other in others)
        first.next_step = " Also: ".join([first.next_step, *told])
        raise first


def message_of(error: BaseException) -> str:
    """Return an error's own text to the letter, for what masks secrets in it; of an interrupt with its notes."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return " ".join([str(error) or "The run was interrupted.", *getattr(error, "__notes__", ())])
    return error.text if isinstance(error, SparkscoreError) else str(error)


def code_of(error: BaseException) -> str:
    """Return what a record or an answer calls an error: its code, or the class of an exception that is not ours."""
    if isinstance(error, SparkscoreError):
        return error.code
    return ErrorCode.INTERRUPTED if isinstance(error, (KeyboardInterrupt, SystemExit)) else type(error).__name__


def names(items: Iterable[object]) -> str:
    """Write names for a message: quoted, sorted, at most five of them.

    >>> names(["b", "a"])
    "'a', 'b'"
    >>> names("gfedcba")
    "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    ordered = sorted(str(item) for item in items)
    shown = ", ".join(f"'{item}'" for item in ordered[:_LISTED_NAMES])
    hidden = len(ordered) - _LISTED_NAMES
    return f"{shown} and {hidden} more" if hidden > 0 else shown


class ConfigError(SparkscoreError, ValueError):
    """The request itself is wrong; nothing was started."""

    exit_code = 2


class SourceError(SparkscoreError):
    """The input cannot be scored."""


class SourceNotFoundError(SourceError):
    """The input is not there, or holds nothing to score."""

    exit_code = 2


class SourceSchemaError(SourceError):
    """The input's columns are not those that the deployment asks for."""

    exit_code = 2


class ModelError(SparkscoreError):
    """The model cannot be used."""


class ModelNotFoundError(ModelError):
    """The model is not at the place that the deployment names."""

    exit_code = 2


class ModelLoadError(ModelError):
    """The model is there and does not load."""


class SignatureMismatchError(ModelError):
    """The input's columns do not match the model's signature."""

    exit_code = 2


class EnvironmentMismatchError(ModelError):
    """The Python that scores does not have the packages that the model asks for."""


class ScoringError(SparkscoreError):
    """Scoring itself failed."""


class ScoringScriptError(ScoringError):
    """The scoring script cannot be loaded, or its ``init()`` or ``run()`` raised."""


class OutputContractError(ScoringError):
    """What ``run()`` returned cannot become rows of the result."""


class MiniBatchTimeoutError(ScoringError):
    """A mini-batch took longer than its timeout."""


class ErrorThresholdExceededError(ScoringError):
    """More items failed than the deployment tolerates."""


class SinkError(SparkscoreError):
    """The output cannot be written."""


class SinkConflictError(SinkError):
    """Something is at the output's place already, or another run writes there."""

    exit_code = 2


class SinkSchemaError(SinkError):
    """The result's columns do not fit the output."""

    exit_code = 2


class LineageError(SparkscoreError):
    """The run record cannot be read or written, or contradicts the table."""


class RunNotFoundError(LineageError):
    """There is no run of that id in the folder of runs."""

    exit_code = 2


class MissingDependencyError(SparkscoreError, ImportError):
    """A program or package that this run needs is not installed."""

    exit_code = 2
