"""Define the errors that sparkscore raises (driver and worker).

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
    ├── LineageError                    the record, the lock or the stage of a run
    │   └── RunNotFoundError
    └── MissingDependencyError (ImportError)   Java, the Delta jar, a package

Messages have the form ``[CODE] what: got X, expected Y. State of the data. Next step.``; some parts may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

from sparkscore.error_codes import ErrorCode
from sparkscore.printable import printable

NOTHING_WRITTEN = "Nothing was written."
#: Messages of the operating system for a full disk.
NO_SPACE = ("No space left on device", "Disk quota exceeded")
_LISTED_NAMES = 5
_T = TypeVar("_T")


class SparkscoreError(Exception):
    """Base class of the errors that sparkscore raises.

    Catch this class to handle these errors in the same way. The attributes survive pickling.

    Attributes:
        code: the stable code of the error, for example ``OUTPUT_ROWS``.
        what: the problem, with the name of the file, column or setting.
        got: the value that was found; may be empty.
        expected: the values that are allowed; may be empty.
        state: one or more sentences that say whether data was written; may be empty.
        next_step: advice for the user.
        record: the record of the run that ended with this error, as a dictionary, or None if there is none.
        exit_code: the exit code of a command that ends with this error. It is 2 in classes whose errors usually mean
            that the request was wrong, such as `ConfigError`, and 1 in the other classes.
    """

    exit_code: ClassVar[int] = 1

    def __init__(  # noqa: PLR0913 - each is a field of one message
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
        """The problem with ``got`` and ``expected``: the first sentence of the message, without code and full stop."""
        comparison = ", ".join(
            f"{label} {value}" for label, value in (("got", self.got), ("expected", self.expected)) if value
        )
        return (f"{self.what}: {comparison}" if comparison else self.what).rstrip(".")

    @property
    def text(self) -> str:
        """The whole message with control characters as they are, so that secrets in it can be found and masked."""
        return " ".join(part for part in (f"[{self.code}] {self.sentence}.", self.state, self.next_step) if part)

    def __str__(self) -> str:
        """Return the whole message on one line, with control characters escaped."""
        return printable(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the function and the arguments with which pickle creates a copy of the error.

        The default implementation would call the class without the keyword arguments that it needs.
        """
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(error_class: type[SparkscoreError], fields: dict[str, Any]) -> SparkscoreError:
    error = error_class(code=fields["code"], what=fields["what"], next_step=fields["next_step"])
    error.__dict__.update(fields)
    return error


def named(error: Exception) -> Exception:
    """Convert an `OSError` to a `SparkscoreError` with the code ``SYSTEM``. Return any other error unchanged.

    An `OSError` without a message of the operating system (``strerror``) is returned unchanged, too.
    """
    if not isinstance(error, OSError) or not error.strerror:
        return error
    subject = f"'{error.filename}'" if error.filename else "a file or a process"
    return SparkscoreError(
        code=ErrorCode.SYSTEM,
        what=f"the operating system refused an operation on {subject}",
        got=error.strerror or type(error).__name__,
        state="Nothing was published, unless the log says so.",
        next_step="Correct the cause, such as a removed folder, missing permissions or a full disk, and run again with "
        "the same run id.",
    )


class Faults:
    """Collects the errors of one request and raises them together, so that the user can correct all of them at once.

    Args:
        found: errors that are already known.
    """

    def __init__(self, *found: SparkscoreError) -> None:
        self._found = list(found)

    @property
    def is_any(self) -> bool:
        """Whether any errors were collected."""
        return bool(self._found)

    def take(self, check: Callable[[], _T]) -> _T | None:
        """Call a check and return its result, or collect the `SparkscoreError` that it raises and return None."""
        try:
            return check()
        except SparkscoreError as error:
            self._found.append(error)
            return None

    def raise_all(self) -> None:
        """Raise the first collected error, with the other errors in its ``next_step``. Do nothing if there are none.

        Raises:
            SparkscoreError: at least one error was collected.
        """
        if not self._found:
            return
        first, *others = self._found
        told = (f"[{other.code}] {other.sentence}. {other.next_step}" for other in others)
        first.next_step = " Also: ".join([first.next_step, *told])
        raise first


def message_of(error: BaseException) -> str:
    """Return the message of an exception, without escaping control characters.

    For `KeyboardInterrupt` and `SystemExit`, the message includes the notes of the exception.
    """
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return " ".join([str(error) or "The run was interrupted.", *getattr(error, "__notes__", ())])
    return error.text if isinstance(error, SparkscoreError) else str(error)


def code_of(error: BaseException) -> str:
    """Return the error code of an exception, or its class name if it has no code.

    `KeyboardInterrupt` and `SystemExit` have the code ``INTERRUPTED``.
    """
    if isinstance(error, SparkscoreError):
        return error.code
    return ErrorCode.INTERRUPTED if isinstance(error, (KeyboardInterrupt, SystemExit)) else type(error).__name__


def names(items: Iterable[object]) -> str:
    """Return names as one string for a message: quoted, sorted, and at most five of them.

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
    """The request is wrong: the deployment, an option or an argument of a function."""

    exit_code = 2


class SourceError(SparkscoreError):
    """The input cannot be scored."""


class SourceNotFoundError(SourceError):
    """The input does not exist, or has nothing to score."""

    exit_code = 2


class SourceSchemaError(SourceError):
    """The columns or values of the input cannot be used, or do not match the deployment."""

    exit_code = 2


class ModelError(SparkscoreError):
    """The model cannot be used."""


class ModelNotFoundError(ModelError):
    """The model does not exist at its path or reference."""

    exit_code = 2


class ModelLoadError(ModelError):
    """The model exists but cannot be loaded or used."""


class SignatureMismatchError(ModelError):
    """The columns or values of the input, or the parameters, do not match the model's signature."""

    exit_code = 2


class EnvironmentMismatchError(ModelError):
    """The Python interpreter of the workers, or its packages, does not meet the requirements."""


class ScoringError(SparkscoreError):
    """The run failed while it scored the input."""


class ScoringScriptError(ScoringError):
    """The scoring script cannot be loaded or used, or its ``init()`` or ``run()`` raised an exception."""


class OutputContractError(ScoringError):
    """The value that ``run()`` or a model returned cannot be used for the result."""


class MiniBatchTimeoutError(ScoringError):
    """Loading the model or script, or scoring a mini-batch, took longer than its timeout."""


class ErrorThresholdExceededError(ScoringError):
    """More items or mini-batches failed than the deployment tolerates."""


class SinkError(SparkscoreError):
    """The output, or the stage of a run, cannot be read or written, or the run cannot be published."""


class SinkConflictError(SinkError):
    """The current state of the output or of the run does not allow publishing; for example, another run is writing."""

    exit_code = 2


class SinkSchemaError(SinkError):
    """The columns or rows of the result do not match the output table or its rules."""

    exit_code = 2


class LineageError(SparkscoreError):
    """The record or another file of a run, or the runs folder, cannot be used."""


class RunNotFoundError(LineageError):
    """The run, or its stored request, is not in the runs folder."""

    exit_code = 2


class MissingDependencyError(SparkscoreError, ImportError):
    """A program or package that the run needs is not installed, has an unsupported version, or does not start."""

    exit_code = 2
