"""What scores mini-batches in a process: a loaded scorer, with its results typed; nothing of it raises (worker, child).

`LocalEngine` does it in this process; `sparkscore.worker.child.supervisor.ChildEngine` lets a child process do it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError, SparkscoreError, names
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome, describe_failure, failed_outcome
from sparkscore.redaction import remember_secrets, remember_values
from sparkscore.scorers import Scorer, ScorerSpec, load_scorer
from sparkscore.scorers.environment import EnvironmentSpec, check_environment
from sparkscore.scorers.failed import PartlyScored, ScorerFailedError
from sparkscore.scorers.frames import HandedOver
from sparkscore.scorers.load_warnings import noting_warnings
from sparkscore.scorers.missing_package import advise_on_package
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scripts.contained import Contained
from sparkscore.worker.result import ResultSpec, make_outcome, read_returned


@dataclass(frozen=True)
class ChildSpec:
    """How the child process is run that scores for a worker; plain and picklable.

    Attributes:
        python: path of its interpreter on the worker's host; the worker's own when None.
        archive: a packed environment whose interpreter is taken; None when there is none.
        timeout: seconds that one mini-batch may take.
        load_timeout: seconds that loading may take.
    """

    python: str | None = None
    archive: ModelFiles | None = None
    timeout: float | None = None
    load_timeout: float | None = None

    @property
    def is_own_python(self) -> bool:
        """Whether the child runs in the worker's own interpreter, so that the worker could score as well."""
        return self.python is None and self.archive is None


@dataclass(frozen=True)
class EngineSpec:
    """What scores, and where; plain and picklable.

    Attributes:
        key: names the attempt at a run; a worker process keeps what it has loaded under it.
        scorer: the scorer to load.
        environment: what the interpreter must have; None where nothing says it.
        child: the child process that scores; None where the worker itself does.
        variables: environment variables of a model without a script; a script has its own.
        secrets: values that no message may show.
        not_null: columns of the input that are declared NOT NULL.
    """

    key: str
    scorer: ScorerSpec
    environment: EnvironmentSpec | None = None
    child: ChildSpec | None = None
    variables: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    not_null: tuple[str, ...] = ()

    def remember_secrets(self) -> None:
        """Let every message of this process mask the run's secrets, and those in the process's own environment."""
        remember_values(self.secrets)
        remember_secrets(dict(os.environ))


@dataclass(frozen=True)
class Loaded:
    """What became of loading.

    Attributes:
        failure: why the scorer did not load; None when it did.
        warnings: what the user should know, a sentence each.
        models: digests of the models' files, as this process has found them.
    """

    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probed:
    """What one call gave, without its rows.

    Attributes:
        predictions: the columns; None when it failed.
        is_frame: whether a DataFrame came back.
        failure: why it failed.
        elements: how many elements came back.
        columns: how many columns the scorer's code was handed; 0: not known.
    """

    predictions: pa.Schema | None = None
    is_frame: bool = False
    failure: Failure | None = None
    elements: int = 0
    columns: int = 0


class Engine(Protocol):
    """What the worker's loop needs; one contract suite in the tests runs against every implementation."""

    def load(self) -> Loaded:
        """Load the scorer; call again after a failure that ended the process."""

    @property
    def is_loaded(self) -> bool:
        """Whether mini-batches can be scored; no longer after a process has ended."""

    def score(self, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
        """Score one mini-batch, one call of the model, and make its rows of the result."""

    def probe(self, mini_batch: MiniBatch, declared: pa.Schema | None) -> Probed:
        """Score one mini-batch and give the shape of the result."""

    def close(self) -> None:
        """Give back what was loaded; the engine is not used again."""


class LocalEngine:
    """Scores in this process."""

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
        """Whether mini-batches can be scored."""
        return self._scorer is not None

    def load(self) -> Loaded:
        """Compare the environment and load the scorer."""
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
        """Score one mini-batch and make its rows of the result."""
        returned = self._call(mini_batch)
        if isinstance(returned, Failure):
            return failed_outcome(mini_batch.item_count, returned)
        try:
            outcome = make_outcome(returned, mini_batch, spec, scored_at, self._handed_over)
            return replace(outcome, columns=self._columns, unseen=self._unseen if outcome.scored else ())
        except BaseException as error:  # noqa: BLE001 - what was returned may be objects of the user's
            return failed_outcome(mini_batch.item_count, _failure_of(error, ErrorCode.OUTPUT_UNREADABLE))

    def probe(self, mini_batch: MiniBatch, declared: pa.Schema | None) -> Probed:
        """Score one mini-batch and give the shape of the result."""
        returned = self._call(mini_batch)
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
        return Probed(result.table.schema, result.is_frame, elements=result.elements, columns=self._columns)

    def close(self) -> None:
        """Close the scorer, and give the variables of the process back."""
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
    def _handed_over(self) -> HandedOver | None:
        return getattr(self._scorer, "handed_over", None)

    @property
    def _unseen(self) -> tuple[tuple[str, int], ...]:
        return tuple(sorted(getattr(self._scorer, "unseen", {}).items()))

    @property
    def _columns(self) -> int:
        return 0 if self._handed_over is None else self._handed_over.rows.num_columns

    def _call(self, mini_batch: MiniBatch) -> object:
        if self._scorer is None:
            raise RuntimeError("the engine is not loaded")
        try:
            _refuse_nulls(mini_batch, self._not_null)
            with Contained():
                return self._scorer.score(mini_batch)
        except _OF_THE_USERS_CODE as error:
            return advise_on_package(_failure_of(error, ErrorCode.SCRIPT_RUN), self._environment)


def _refuse_nulls(mini_batch: MiniBatch, columns: tuple[str, ...]) -> None:
    rows = mini_batch.rows
    wrong = [] if rows is None else [name for name in columns if name in rows.column_names and rows[name].null_count]
    if wrong:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_NULL,
            what=f"input columns {names(wrong)}",
            got="a NULL",
            expected="none: 'input.schema' declares them NOT NULL",
            next_step="Take NOT NULL out of 'input.schema', or tolerate such rows with 'settings.error_threshold'.",
        )


# What a scorer ends with because of the user's code: sys.exit() and a KeyboardInterrupt are failures like any other.
_OF_THE_USERS_CODE = (ScorerFailedError, SparkscoreError, SystemExit, KeyboardInterrupt)


def _failure_of(error: BaseException, code: ErrorCode) -> Failure:
    return error.failure if isinstance(error, ScorerFailedError) else describe_failure(error, code)
