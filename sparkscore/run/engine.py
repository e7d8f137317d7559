"""Decide whether the scorer runs in Spark's Python worker or in a child process of the worker. Runs on the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.models.requirements import environment_of
from sparkscore.run.delivery import Delivery, deliver_environment
from sparkscore.run.prepare import PreparedRun
from sparkscore.scorers import ScorerSpec, ScriptSpec
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec, RowsSpec, is_without_code
from sparkscore.worker import ChildSpec, EngineSpec

# Loading gets more time than scoring, because a model may be large and read over a network.
_LOAD_FACTOR: Final = 10
_LOAD_SECONDS: Final = 600
_LIBRARIES: Final = {"sklearn": ("joblib", "sklearn"), "xgboost": ("xgboost",), "lightgbm": ("lightgbm",)}


def engine_spec(
    prepared: PreparedRun, key: str, scorer: ScorerSpec, delivery: Delivery, not_null: tuple[str, ...] = ()
) -> EngineSpec:
    """Return the specification that the workers need to start the scorer.

    Args:
        prepared: the checked request.
        key: a string that is unique to this execution of the run. Worker processes cache the loaded scorer under this
            key.
        scorer: specification of the scorer.
        delivery: how the packed Python environment is sent to the workers, if ``python.archive`` is set.
        not_null: names of the input columns that are declared NOT NULL.

    Raises:
        ConfigError: a file named in the deployment's ``python`` section cannot be read; or ``python.check`` is strict,
            but the list of packages is missing or cannot be read.
    """
    if isinstance(scorer, RowsSpec):  # Spark itself scores the rows.
        return EngineSpec(key, scorer, not_null=not_null)
    environment = environment_of(prepared.deployment, prepared.model, prepared.description)
    secrets = tuple(prepared.deployment.secrets())
    variables = () if isinstance(scorer, ScriptSpec) else tuple(prepared.deployment.environment_variables.items())
    child, libraries = _child_spec(prepared, scorer, delivery), _libraries_of(prepared, scorer)
    return EngineSpec(key, scorer, environment, child, variables, secrets, not_null, libraries)


def _libraries_of(prepared: PreparedRun, scorer: ScorerSpec) -> tuple[str, ...]:
    """Return the modules of well-known libraries that a model without a script needs, whatever is in its files.

    For a scoring script, they are not known: it may set variables or the import path before it imports a library.
    """
    if isinstance(scorer, FrameworkSpec):
        return ("sparkscore.scorers.framework", *_LIBRARIES[scorer.framework])
    if not isinstance(scorer, MlflowSpec) or prepared.description is None:
        return ()
    flavors = [flavor for flavor in prepared.description.flavors if flavor in _LIBRARIES]
    of_flavors = (module for flavor in flavors for module in (*_LIBRARIES[flavor], f"mlflow.{flavor}"))
    return ("mlflow.pyfunc", "sparkscore.scorers.mlflow", *of_flavors)


def _child_spec(prepared: PreparedRun, scorer: ScorerSpec, delivery: Delivery) -> ChildSpec | None:
    deployment = prepared.deployment
    python = deployment.python
    isolation = deployment.isolation or _usual_isolation(prepared, scorer)
    if isolation == "none" and python.path is None and python.archive is None:
        return None
    timeout = deployment.settings.retry_settings.timeout
    return ChildSpec(
        python=python.path,
        archive=None if python.archive is None else _deliver_archive(Path(python.archive), delivery),
        timeout=timeout,
        load_timeout=max(_LOAD_SECONDS, _LOAD_FACTOR * timeout),
    )


def _usual_isolation(prepared: PreparedRun, scorer: ScorerSpec) -> str:
    """Return the isolation of a scorer whose deployment does not name one.

    Nothing can end a call in the worker itself, so a deployment that sets a time limit gets a child process. So does a
    LightGBM file: the driver only reads its header, and LightGBM crashes when it loads a file that is cut off.
    """
    has_time_limit = "timeout" in prepared.deployment.settings.retry_settings.model_fields_set
    may_crash = isinstance(scorer, FrameworkSpec) and scorer.framework == "lightgbm"
    return "none" if is_without_code(scorer) and not has_time_limit and not may_crash else "process"


def _deliver_archive(archive: Path, delivery: Delivery) -> ModelFiles:
    if not archive.is_file():
        raise ConfigError(
            code=ErrorCode.PYTHON_ARCHIVE,
            what=f"'python.archive': '{archive}'",
            got="no such file",
            next_step="Correct the path. 'sparkscore env build' makes such an archive.",
        )
    return deliver_environment(delivery, archive)
