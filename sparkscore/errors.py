"""Define the errors that sparkscore raises. Runs on the driver and the workers.

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
#: Operating system messages for a full disk.
NO_SPACE = ("No space left on device", "Disk quota exceeded")
_LISTED_NAMES = 5
_OF_SPARK = frozenset({"pyspark", "py4j"})
# Packages whose modules have another name, and the extras that name the versions of packages that work.
_PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn"}
_EXTRAS = {
    "PIL": "sparkscore[images]",
    "deltalake": "sparkscore[delta]",
    "mlflow": "sparkscore[mlflow]",
    "onnx": "sparkscore[onnx]",
    "onnxruntime": "sparkscore[onnx]",
}
_T = TypeVar("_T")


class SparkscoreError(Exception):
    """Base class of the errors that sparkscore raises.

    Errors keep their attributes when they are pickled.

    Attributes:
        code: the stable error code, for example ``OUTPUT_ROWS``.
        what: the problem, with the name of the file, column or setting.
        got: the value that was found; may be empty.
        expected: the values that are allowed; may be empty.
        state: what happened to the data, for example "Nothing was written."; may be empty.
        next_step: what the user should do.
        record: the record of the run that failed with this error, as a dictionary, or None.
        exit_code: the exit code of a command that fails with this error: 2 for classes such as `ConfigError`, whose
            errors usually mean that the request was wrong, and 1 for all others.
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
        """The first sentence of the message (``what``, ``got`` and ``expected``), without the code and the period."""
        comparison = ", ".join(
            f"{label} {value}" for label, value in (("got", self.got), ("expected", self.expected)) if value
        )
        return (f"{self.what}: {comparison}" if comparison else self.what).rstrip(".")

    @property
    def text(self) -> str:
        """The whole message. It is not escaped, so that secrets in it can still be found and masked."""
        return " ".join(part for part in (f"[{self.code}] {self.sentence}.", self.state, self.next_step) if part)

    def __str__(self) -> str:
        """Return the whole message on one line, with control characters escaped."""
        return printable(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling: the default implementation would omit the required keyword arguments."""
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(error_class: type[SparkscoreError], fields: dict[str, Any]) -> SparkscoreError:
    error = error_class(code=fields["code"], what=fields["what"], next_step=fields["next_step"])
    error.__dict__.update(fields)
    return error


def named(error: Exception) -> Exception:
    """Convert an `OSError`, or the error for a package that is not installed, to a `SparkscoreError`.

    Other errors, and any `OSError` whose ``strerror`` is empty, are returned unchanged.
    """
    if isinstance(error, ModuleNotFoundError):
        return _missing(error)
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


def _missing(error: ModuleNotFoundError) -> Exception:
    """Return an error that says how to install the package, or the error itself if only a part of one is missing."""
    module = error.name or ""
    if isinstance(error, SparkscoreError) or not module or "." in module:
        return error
    if module in _OF_SPARK:
        return MissingDependencyError(
            code=ErrorCode.PYSPARK_MISSING,
            what=f"the package {module} is not installed",
            next_step="Run: pip install 'sparkscore[local]'; on a cluster, use its Python.",
        )
    package = _PACKAGES.get(module, module)
    return MissingDependencyError(
        code=ErrorCode.MISSING_PACKAGE,
        what=f"package '{package}' is not installed",
        state="Nothing was published, unless the log says so.",
        next_step=f"Install it: pip install '{_EXTRAS.get(module, package)}'.",
    )


class Faults:
    """Collects the errors in a request and raises them together, so that the user can fix all of them at once.

    Args:
        found: errors that are already known.
    """

    def __init__(self, *found: SparkscoreError) -> None:
        self._found = list(found)

    @property
    def is_any(self) -> bool:
        """Whether any errors have been collected."""
        return bool(self._found)

    def take(self, check: Callable[[], _T]) -> _T | None:
        """Return the result of a check. If it raises a `SparkscoreError`, collect the error and return None."""
        try:
            return check()
        except SparkscoreError as error:
            self._found.append(error)
            return None

    def raise_all(self) -> None:
        """Raise the first collected error, if any, with the others appended to its ``next_step``.

        Raises:
            SparkscoreError: at least one error has been collected.
        """
        if not self._found:
            return
        first, *others = self._found
        told = (f"[{other.code}] {other.sentence}. {other.next_step}" for other in others)
        first.next_step = " Also: ".join([first.next_step, *told])
        raise first


def message_of(error: BaseException) -> str:
    """Return the message of an exception, without escaping control characters.

    For `KeyboardInterrupt` and `SystemExit`, the message includes the exception's notes.
    """
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return " ".join([str(error) or "The run was interrupted.", *getattr(error, "__notes__", ())])
    return error.text if isinstance(error, SparkscoreError) else str(error)


def code_of(error: BaseException) -> str:
    """Return the error code of an exception, or its class name if it has no code.

    The code for `KeyboardInterrupt` and `SystemExit` is ``INTERRUPTED``.
    """
    if isinstance(error, SparkscoreError):
        return error.code
    return ErrorCode.INTERRUPTED if isinstance(error, (KeyboardInterrupt, SystemExit)) else type(error).__name__


def names(items: Iterable[object]) -> str:
    """Format names for a message: quoted, sorted, and at most five of them.

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
    """The request is wrong: the deployment, a command-line option or a function argument."""

    exit_code = 2


class SourceError(SparkscoreError):
    """The input cannot be scored."""


class SourceNotFoundError(SourceError):
    """The input does not exist or contains nothing to score."""

    exit_code = 2


class SourceSchemaError(SourceError):
    """The input's columns or values cannot be used, or do not match the deployment."""

    exit_code = 2


class ModelError(SparkscoreError):
    """Base class of errors about a model: it was not found, cannot be loaded or used, or does not fit the input."""


class ModelNotFoundError(ModelError):
    """There is no model at the given path or for the given MLflow reference."""

    exit_code = 2


class ModelLoadError(ModelError):
    """The model exists but cannot be loaded or used."""


class SignatureMismatchError(ModelError):
    """The input or the parameters do not match the model's signature."""

    exit_code = 2


class EnvironmentMismatchError(ModelError):
    """The workers' Python interpreter or packages do not meet the requirements."""


class ScoringError(SparkscoreError):
    """The run failed while scoring the input."""


class ScoringScriptError(ScoringError):
    """The scoring script cannot be loaded or used, or its ``init()`` or ``run()`` raised an exception."""


class OutputContractError(ScoringError):
    """The value returned by ``run()`` or a model cannot be used as a result."""


class MiniBatchTimeoutError(ScoringError):
    """Loading the model or script, or scoring a mini-batch, timed out."""


class ErrorThresholdExceededError(ScoringError):
    """More items or mini-batches failed than the deployment tolerates."""


class SinkError(SparkscoreError):
    """The output or the run's stage cannot be read or written, or the run cannot be published."""


class SinkConflictError(SinkError):
    """The state of the output or the run does not allow publishing, for example because another run is writing."""

    exit_code = 2


class SinkSchemaError(SinkError):
    """The result's columns or rows do not match the output table or its constraints."""

    exit_code = 2


class LineageError(SparkscoreError):
    """The runs folder, or a file in it such as a run record, cannot be used."""


class RunNotFoundError(LineageError):
    """The run or its stored request was not found in the runs folder."""

    exit_code = 2


class MissingDependencyError(SparkscoreError, ImportError):
    """A required program or package is not installed, has an unsupported version, or does not start."""

    exit_code = 2
