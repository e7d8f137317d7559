"""Stores of MLflow in SQLite files: MLflow takes seconds to make the tables of one, and a copy takes none."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path


def make_store(folder: Path) -> str:
    """Make an empty store in a folder, and return its URI."""
    (folder / "mlflow.db").write_bytes(_empty_store())
    return f"sqlite:///{folder}/mlflow.db"


@functools.cache
def _empty_store() -> bytes:
    from mlflow import MlflowClient

    from sparkscore.registry import quiet_mlflow

    with tempfile.TemporaryDirectory() as folder, quiet_mlflow():
        uri = f"sqlite:///{folder}/empty.db"
        MlflowClient(uri, uri).search_registered_models()
        MlflowClient(uri, uri).search_experiments()
        return Path(folder, "empty.db").read_bytes()
