"""Find the URIs of MLflow's tracking store and registry without importing MLflow. Runs on the driver."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path


def stores_for_workers() -> tuple[str, str]:
    """Return the URIs of MLflow's tracking store and registry, for the workers.

    If the driver process has imported MLflow, the URIs come from MLflow, because the user's code may have set them
    there. Otherwise they come from environment variables, and the URI for an unset variable is an empty string.
    Relative paths, with or without ``sqlite:///`` in front, are made absolute. Other URIs are not changed.
    """
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None:
        return _absolute(str(mlflow.get_tracking_uri())), _absolute(str(mlflow.get_registry_uri()))
    names = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
    tracking, registry = (_absolute(os.environ.get(name, "")) for name in names)
    return tracking, registry


def is_local_store(uri: str) -> bool:
    """Return whether an MLflow store's URI is an absolute path, or begins with ``sqlite:`` or ``file:``."""
    return uri.startswith(("sqlite:", "file:", "/"))


def is_absolute_store(uri: str) -> bool:
    """Return whether an MLflow store's URI is set and does not depend on the working directory.

    The result is False for an empty string, a relative path, and ``sqlite:///`` with a relative path. It is also False
    for an absolute path that ``pathlib`` would write differently, such as ``/data/mlruns/`` with its trailing slash.
    """
    return bool(uri) and _absolute(uri) == uri


def _absolute(uri: str) -> str:
    relative = re.fullmatch(r"sqlite:///(?!/)(.+)", uri)
    if relative:
        return f"sqlite:///{Path(relative[1]).absolute()}"
    is_plain_path = bool(uri) and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|databricks", uri)
    return str(Path(uri).absolute()) if is_plain_path else uri
