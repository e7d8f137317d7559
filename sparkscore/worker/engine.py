"""Load a scorer, score mini-batches with it, and return each result or failure as a value.

Runs on the workers and in their child processes.

`LocalEngine` scores in the current process, `sparkscore.worker.child.supervisor.ChildEngine` in a child process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple, Protocol

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError, SparkscoreError, names
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome, describe_failure, failed_outcome
from sparkscore.redaction import remember_secrets, remember_values
from sparkscore.scorers import Scorer, ScorerSpec, find_files, load_scorer
from sparkscore.scorers.environment import EnvironmentSpec, check_environment
from sparkscore.scorers.failed import PartlyScored, ScorerFailedError
from sparkscore.scorers.frames import HandedOver, is_copied
from sparkscore.scorers.load_warnings import noting_warnings
from sparkscore.scorers.missing_package import advise_on_package
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scripts.contained import Contained
from sparkscore.worker.result import ResultSpec, make_outcome, read_returned


@dataclass(frozen=True)
class ChildSpec:
    """How a worker starts the child process, and how long the child may take.

    Attributes:
        python: path of the child's interpreter on the worker's host, or None if the deployment does not name one.
        archive: packed Python environment that contains the child's interpreter, or None.
        timeout: time limit for scoring one mini-batch in one call, in seconds, or None for no limit.
        load_timeout: time limit for loading the scorer, in seconds, or None for no limit.
    """

    python: str | None = None
    archive: ModelFiles | None = None
    timeout: float | None = None
    load_timeout: float | None = None

    @property
    def is_own_python(self) -> bool:
        """Whether the child uses the worker's own interpreter."""
        return self.python is None and self.archive is None


@dataclass(frozen=True)
class EngineSpec:
    """Which scorer a worker loads, and in which process the scorer runs.

    Attributes:
        key: unique string for this execution of the run, under which a worker process keeps its loaded scorer.
        scorer: the scorer to load.
        environment: the packages listed by the deployment or the model. None if there is no list, if it cannot be read,
            or if Spark itself scores the rows.
        child: how to run the child process, or None to score in the worker itself.
        variables: environment variables for a model without a script. A script's variables are in the scorer's spec.
        secrets: values to mask in messages.
        not_null: input columns that are declared NOT NULL.
        libraries: names of modules of well-known libraries that the scorer imports before any code of the user's.
    """

    key: str
    scorer: ScorerSpec
    environment: EnvironmentSpec | None = None
    child: ChildSpec | None = None
    variables: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    not_null: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def find_files(self, folder: Callable[[], str]) -> EngineSpec:
        """Return a copy of this specification in which the paths of the files sent by Spark are those on this host.

        Args:
            folder: function that returns the absolute path of the folder that contains the files sent by Spark.
        """
        child = self.child
        if child is not None and child.archive is not None:
            child = replace(child, archive=child.archive.found_in(folder))
        return replace(self, scorer=find_files(self.scorer, folder), child=child)

    def remember_secrets(self) -> None:
        """Register the run's secrets, and those in this process's environment variables, to be masked in messages."""
        remember_values(self.secrets)
        remember_secrets(dict(os.environ))


@dataclass(frozen=True)
class Loaded:
    """The result of loading a scorer.

    Attributes:
        failure: why the scorer could not be loaded, or None if it was loaded.
        warnings: warnings for the user, one sentence each.
        models: digests of the model files that were checked. May be empty.
        libraries: name and file of modules of well-known libraries that a child process has imported.
        is_shadowed: whether modules that a child process has from its template may have taken the place of the user's
            own. The scorer must then be loaded again by a child that imports its libraries itself.
    """

    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    libraries: tuple[tuple[str, str], ...] = ()
    is_shadowed: bool = False


@dataclass(frozen=True)
class Probed:
    """The columns that one call of the scorer returned, without their values.

    Attributes:
        predictions: names and types of the returned columns, or None if the call failed.
        is_frame: whether the call returned a DataFrame, an Arrow table or an Arrow record batch.
        failure: why the call failed, or None.
        elements: number of returned elements, or 0 if the call failed.
        columns: number of columns that were passed to the user's code, or 0 if unknown.
    """

    predictions: pa.Schema | None = None
    is_frame: bool = False
    failure: Failure | None = None
    elements: int = 0
    columns: int = 0


class Engine(Protocol):
    """Loads a scorer and scores mini-batches with it, in the current process or in a child process.

    Implementations are tested in ``tests/contract/test_engines.py``.
    """

    def load(self) -> Loaded:
        """Load the scorer, or load it again after its process has ended.

        No exception is raised if loading fails; the returned `Loaded` contains the failure.
        """

    @property
    def is_loaded(self) -> bool:
        """Whether the scorer is loaded. It becomes False when a call finds that the scorer's process has ended."""

    def score(self, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
        """Score one mini-batch in one call and return its result rows or a failure.

        The scorer must be loaded.
        """

    def probe(self, mini_batch: MiniBatch, declared: pa.Schema | None) -> Probed:
        """Score one mini-batch in one call, and return the names and types of the returned columns, or a failure.

        The scorer must be loaded. The returned value is converted to the declared columns, if any.
        """

    def close(self) -> None:
        """Release the scorer. The engine must not be used afterwards."""


class LocalEngine:
    """An engine that scores in the current process."""

    def __init__(self, spec: EngineSpec) -> None:
        spec.remember_secrets()
        self._spec = spec.scorer
        self._environment = spec.environment
        self._variables = dict(spec.variables)
        self._not_null = spec.not_null
        self._before: dict[str, str | None] = {}
        self._scorer: Scorer | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the scorer is loaded."""
        return self._scorer is not None

    def load(self) -> Loaded:
        """Set the model's environment variables, check the installed packages, and load the scorer.

        No exception is raised if loading fails; the returned `Loaded` contains the failure.
        """
        self._before = {name: os.environ.get(name) for name in self._variables}
        os.environ.update(self._variables)
        noted: list[str] = []
        try:
            differences = () if self._environment is None else check_environment(self._environment)
            with noting_warnings() as noted, Contained():
                self._scorer = load_scorer(self._spec)
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything, sys.exit() included
            self.close()
            failure = advise_on_package(_failure_of(error, ErrorCode.SCRIPT_INIT), self._environment)
            return Loaded(failure, warnings=tuple(noted))
        models = tuple(sorted(getattr(self._scorer, "verified", ())))
        warnings: tuple[str, ...] = (*getattr(self._scorer, "warnings", ()), *noted)
        if self._environment is None or not differences:
            return Loaded(warnings=warnings, models=models)
        told = f"the workers differ from {self._environment.source}: {'; '.join(differences)}"
        return Loaded(warnings=(told, *warnings), models=models)

    def score(self, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
        """Score one mini-batch and return its result rows or a failure.

        Raises:
            RuntimeError: the scorer is not loaded.
        """
        return self.outcome_of(self.call(mini_batch), mini_batch, spec, scored_at)

    def outcome_of(self, returned: object, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
        """Return the outcome of the last call.

        Args:
            returned: the result of `call`.
            mini_batch: the mini-batch.
            spec: how to build the result rows.
            scored_at: value of the lineage column ``scored_at``, in UTC.
        """
        if isinstance(returned, Failure):
            return failed_outcome(mini_batch.item_count, returned)
        return outcome_of_returned(returned, mini_batch, spec, scored_at, self._notes)

    def probe(self, mini_batch: MiniBatch, declared: pa.Schema | None) -> Probed:
        """Score one mini-batch, and return the names and types of the returned columns, or a failure.

        Raises:
            RuntimeError: the scorer is not loaded.
        """
        returned = self.call(mini_batch)
        if isinstance(returned, Failure):
            return Probed(failure=returned)
        try:
            if isinstance(returned, PartlyScored):
                if len(returned.failures) == mini_batch.item_count:
                    return Probed(failure=returned.failures[0].failure)
                returned = returned.returned
            result = read_returned(returned, declared)
        except BaseException as error:  # noqa: BLE001 - as in `score`
            return Probed(failure=_failure_of(error, ErrorCode.OUTPUT_UNREADABLE))
        return Probed(result.table.schema, result.is_frame, elements=result.elements, columns=self._notes.columns)

    @property
    def import_path(self) -> list[str]:
        """The import path of the script or model, with the folders that it has added."""
        path: list[str] = getattr(self._scorer, "import_path", sys.path)
        return path

    def copies_rows_of(self, schema: pa.Schema) -> bool:
        """Return whether the scorer copies the values of rows, so that the user's code gets no view of their memory.

        Args:
            schema: schema of the rows.
        """
        return getattr(self._scorer, "copies_rows", False) and all(map(is_copied, schema.types))

    def close(self) -> None:
        """Close the scorer and restore the environment variables that `load` changed."""
        if self._scorer is not None:
            with Contained():
                self._scorer.close()
            self._scorer = None
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before = {}

    @property
    def returned_all(self) -> bool:
        """Whether the outcome of the last call follows from the returned value alone."""
        return self._notes == _NO_NOTES

    @property
    def _notes(self) -> _Notes:
        """What the scorer has noted about the last call beside the returned value."""
        # The scorer may pass no DataFrame, or not keep it. It may not count the values that the model does not know.
        handed_over: HandedOver | None = getattr(self._scorer, "handed_over", None)
        return _Notes(handed_over, tuple(sorted(getattr(self._scorer, "unseen", {}).items())))

    def call(self, mini_batch: MiniBatch) -> object:
        """Return the value that the user's code returns for a mini-batch, or a `Failure`.

        A `Failure` is returned if the code fails, or if a column that is declared NOT NULL contains a NULL.

        Raises:
            RuntimeError: the scorer is not loaded.
        """
        if self._scorer is None:
            raise RuntimeError("the engine is not loaded")
        try:
            _refuse_nulls(mini_batch, self._not_null)
            with Contained():
                return self._scorer.score(mini_batch)
        except _OF_THE_USERS_CODE as error:
            return advise_on_package(_failure_of(error, ErrorCode.SCRIPT_RUN), self._environment)


class _Notes(NamedTuple):
    """What a scorer has noted about a call beside the returned value.

    Attributes:
        handed_over: the DataFrame that was passed to the user's code, or None.
        unseen: pairs of a categorical column and the number of values in it that the model does not know.
    """

    handed_over: HandedOver | None = None
    unseen: tuple[tuple[str, int], ...] = ()

    @property
    def columns(self) -> int:
        """The number of DataFrame columns that were passed to the user's code, or 0 if it is not known."""
        return 0 if self.handed_over is None else self.handed_over.rows.num_columns


_NO_NOTES: Final = _Notes()


def outcome_of_returned(
    returned: object, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime, notes: _Notes = _NO_NOTES
) -> Outcome:
    """Return the outcome of a call, given the returned value.

    Args:
        returned: the value that the user's code returned.
        mini_batch: the mini-batch.
        spec: how to build the result rows.
        scored_at: value of the lineage column ``scored_at``, in UTC.
        notes: what the scorer has noted about the call.
    """
    try:
        outcome = make_outcome(returned, mini_batch, spec, scored_at, notes.handed_over)
        columns, unseen = notes.columns, notes.unseen if outcome.scored else ()
        return replace(outcome, columns=columns, unseen=unseen) if columns or unseen else outcome
    except BaseException as error:  # noqa: BLE001 - methods of the returned objects may be the user's code
        return failed_outcome(mini_batch.item_count, _failure_of(error, ErrorCode.OUTPUT_UNREADABLE))


def _refuse_nulls(mini_batch: MiniBatch, columns: tuple[str, ...]) -> None:
    """Raise `SourceSchemaError` if a column that is declared NOT NULL contains a NULL in this mini-batch."""
    rows = mini_batch.rows
    wrong = [] if rows is None else [name for name in columns if name in rows.column_names and rows[name].null_count]
    if wrong:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_NULL,
            what=f"input columns {names(wrong)}",
            got="a NULL",
            expected="no NULL, since 'input.schema' declares them NOT NULL",
            next_step="Remove NOT NULL from 'input.schema', or tolerate such rows with 'settings.error_threshold'.",
        )


# Exceptions that cause the mini-batch to fail, but not the task. The user's code may also call sys.exit().
_OF_THE_USERS_CODE = (ScorerFailedError, SparkscoreError, SystemExit, KeyboardInterrupt)


def _failure_of(error: BaseException, code: ErrorCode) -> Failure:
    """Return the failure in a `ScorerFailedError`, or a new failure that describes any other exception."""
    return error.failure if isinstance(error, ScorerFailedError) else describe_failure(error, code)
