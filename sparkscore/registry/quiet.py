"""Use MLflow without its logs, warnings, progress bars and telemetry. Runs on the driver and the workers."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import MissingDependencyError

# Environment variables for MLflow and a package that it imports. Variables that the user has set are not changed. By
# default, MLflow retries a failed request seven times, which takes four minutes.
_SETTINGS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    # MLflow imports ONNX Runtime for ONNX models.
    "ORT_DISABLE_TELEMETRY": "1",
}
_LOGGERS: Final = ("mlflow", "alembic", "urllib3")


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Import MLflow, and suppress its logs, warnings, progress bars and telemetry inside the ``with`` block.

    Critical messages are still logged. Environment variables switch off progress bars and telemetry, and limit the
    number of times that a failed HTTP request is retried. Variables that the user has set are left as they are.

    Raises:
        MissingDependencyError: MLflow is not installed.
    """
    if find_spec("mlflow") is None:
        raise MissingDependencyError(
            code=ErrorCode.MISSING_PACKAGE,
            what="an MLflow model or reference needs the package 'mlflow', which is not installed",
            next_step="Install it: pip install 'sparkscore[mlflow]'.",
        )
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update({name: value for name, value in _SETTINGS.items() if before[name] is None})
    try:
        with warnings.catch_warnings():
            # Only warnings from MLflow and its database packages. The user must see other warnings, for example the one
            # from scikit-learn about a model that was saved with a different version.
            warnings.filterwarnings("ignore", module="(mlflow|alembic|sqlalchemy)")
            # MLflow is imported before its loggers are silenced, because the import sets their levels.
            import mlflow  # noqa: F401 - for what the import does

            with _silent_loggers():
                yield
    finally:
        for name in [name for name, value in before.items() if value is None]:
            os.environ.pop(name, None)


@contextmanager
def _silent_loggers() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
