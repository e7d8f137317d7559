"""Read the addresses of MLflow's stores without importing MLflow (driver)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path


def stores_for_workers() -> tuple[str, str]:
    """Return the addresses of MLflow's tracking store and registry for the workers; an empty text if unknown.

    Paths relative to the driver's working directory become absolute. If the driver's own code has imported MLflow,
    MLflow is asked, because that code may have set the addresses. Otherwise the environment variables are read.
    """
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None:
        return _absolute(str(mlflow.get_tracking_uri())), _absolute(str(mlflow.get_registry_uri()))
    names = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
    tracking, registry = (_absolute(os.environ.get(name, "")) for name in names)
    return tracking, registry


def is_local_store(uri: str) -> bool:
    """Whether an address is that of a store on this machine's disks: an SQLite file or a folder."""
    return uri.startswith(("sqlite:", "file:", "/"))


def is_absolute_store(uri: str) -> bool:
    """Whether an address means the same store in every working directory; False if it is empty."""
    return bool(uri) and _absolute(uri) == uri


def _absolute(uri: str) -> str:
    relative = re.fullmatch(r"sqlite:///(?!/)(.+)", uri)
    if relative:
        return f"sqlite:///{Path(relative[1]).absolute()}"
    is_plain_path = bool(uri) and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|databricks", uri)
    return str(Path(uri).absolute()) if is_plain_path else uri
