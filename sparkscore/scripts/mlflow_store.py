"""Set an MLflow tracking store for a script that may use MLflow, unless a store is already set.

Runs on the driver and the workers.

The store is in the folder for the script's logs. MLflow's default store would be in the script's working directory,
which is removed when the scorer is closed. Each worker or child gets its own SQLite file, because several processes
cannot safely write to the same file on a shared file system. Source: https://www.sqlite.org/faq.html#q5
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
# This variable sets the folder for artifacts. Without it, MLflow would write artifacts to the working directory.
# Source: mlflow.tracking._tracking_service.utils, _get_sqlalchemy_store.
_ARTIFACTS: Final = "_MLFLOW_SERVER_ARTIFACT_ROOT"
# Databricks sets its own store.
_DATABRICKS: Final = "DATABRICKS_RUNTIME_VERSION"


def variables_of_store(code: Path, log_folder: str, given: Mapping[str, str]) -> dict[str, str]:
    """Create a folder for a script's MLflow tracking store, and return environment variables that set the store.

    Nothing is created and the dictionary is empty in any of the following cases:

    - A store is already set.
    - The process runs on Databricks, which sets its own store.
    - The code does not mention MLflow, or MLflow is not installed.
    - There is no log folder.

    Args:
        code: the code folder.
        log_folder: folder for the script's logs, or an empty string.
        given: the script's other environment variables, which may already set a store.
    """
    if not log_folder or _TRACKING in given or _DATABRICKS in given or not _may_log(code):
        return {}
    folder = Path(log_folder) / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    database = quote(str(folder / f"{socket.gethostname()}-{os.getpid()}.db"))
    return {_TRACKING: f"sqlite:///{database}", _ARTIFACTS: str(folder / "artifacts")}


def end_active_run(variables: Mapping[str, str]) -> None:
    """End an MLflow run that a script left active.

    The script's environment variables are set while the run is ended, because they may specify the tracking store.

    Args:
        variables: the script's environment variables.
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
    """Return whether MLflow is installed and mentioned in a ``.py`` file in the code folder."""
    is_used = any(b"mlflow" in file.read_bytes() for file in code.rglob("*.py") if file.is_file())
    return is_used and find_spec("mlflow") is not None


def where_scripts_logged(log_folder: Path) -> list[str]:
    """Return a list with a message that says where to find MLflow data logged by scripts. Runs on the driver.

    If there is no MLflow database in the folder for the scripts' logs, the list is empty.
    """
    if not any((log_folder / _FOLDER).glob("*.db")):
        return []
    told = (
        f"the script logged with MLflow and set no tracking store: its data is in '{log_folder / _FOLDER}', with a "
        "database for each worker process, which 'mlflow ui --backend-store-uri sqlite:///FILE' shows; "
        f"set another store with 'environment_variables: {{{_TRACKING}: ADDRESS}}'"
    )
    return [told]
