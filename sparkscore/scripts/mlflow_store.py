"""Give a script that logs with MLflow, and names no tracking store, one in the run's folder (worker, driver).

MLflow's own default lies in the working directory, which goes with the script. Each process gets a database of its own:
SQLite on a shared file system is not for several writers.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

_FOLDER: Final = "mlflow"
_TRACKING: Final = "MLFLOW_TRACKING_URI"
# Where a store puts artifacts that names no place for them; else they would lie in the working directory.
# Source: mlflow.tracking._tracking_service.utils, _get_sqlalchemy_store.
_ARTIFACTS: Final = "_MLFLOW_SERVER_ARTIFACT_ROOT"
# Databricks has a store of its own.
_DATABRICKS: Final = "DATABRICKS_RUNTIME_VERSION"


def variables_of_store(code: Path, log_folder: str, given: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that name the store; none where there is one already, or nothing that could log.

    Args:
        code: folder of the script.
        log_folder: folder for the script's logs; empty where it has none.
        given: the script's variables.
    """
    if not log_folder or _TRACKING in given or _DATABRICKS in given or not _may_log(code):
        return {}
    folder = Path(log_folder) / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    database = quote(str(folder / f"{socket.gethostname()}-{os.getpid()}.db"))
    return {_TRACKING: f"sqlite:///{database}", _ARTIFACTS: str(folder / "artifacts")}


def end_active_run(variables: Mapping[str, str]) -> None:
    """End the MLflow run that a script left active, in the store that the script's variables name.

    MLflow does it when the process ends, and would then look for the run in the store of the worker's own variables.
    The script's folder may be gone by then, and is not needed.
    """
    mlflow = sys.modules.get("mlflow")
    if mlflow is None or mlflow.active_run() is None:
        return
    before = os.environ.copy()
    os.environ.update(variables)
    try:
        mlflow.end_run()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _may_log(code: Path) -> bool:
    is_used = any(b"mlflow" in file.read_bytes() for file in code.rglob("*.py") if file.is_file())
    return is_used and find_spec("mlflow") is not None


def where_scripts_logged(log_folder: Path) -> list[str]:
    """Say where that is which scripts logged there; nothing where they did not (driver)."""
    if not any((log_folder / _FOLDER).glob("*.db")):
        return []
    told = (
        f"the script logged with MLflow and named no tracking store: what it logged is in '{log_folder / _FOLDER}', a "
        "database for each worker process, which 'mlflow ui --backend-store-uri sqlite:///FILE' shows; "
        f"'environment_variables: {{{_TRACKING}: ADDRESS}}' names another store"
    )
    return [told]
