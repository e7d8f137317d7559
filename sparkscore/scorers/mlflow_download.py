"""Bring registered models from MLflow to this host, for scoring scripts that ask for them by name (worker)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError, ModelNotFoundError
from sparkscore.redaction import redact
from sparkscore.removal import remove_file
from sparkscore.scorers.mlflow_quiet import quiet_mlflow
from sparkscore.scorers.model_files import fetch_once

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow writes it beside a model that it downloads: no part of the model.
_DOWNLOAD_NOTE: Final = "registered_model_meta"
_ABSENT: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"})
_SQLITE: Final = "sqlite:///"


def fetch_registered(name: str, version: str | None) -> tuple[Path, str]:
    """Give this host's copy of a registered model, the latest version if none is asked for, and its version.

    MLflow's own settings say where the registry is: its download of a model by name heeds no others (3.17).

    Raises:
        ModelNotFoundError: there is no such model or version, or no registry to ask.
        ModelError: the registry does not answer.
    """
    if find_spec("mlflow") is None:
        raise _absent(name, version, "there is no registry to ask: MLflow is not installed on this worker")
    with quiet_mlflow():
        import mlflow  # noqa: PLC0415 - takes three seconds, and few scripts need it

        place = str(mlflow.get_registry_uri())
        if not _exists(place):
            raise _absent(name, version, f"there is no MLflow registry at '{redact(place)}'")
        with _reporting(name, place):
            found = _pin(name, version, place)
            return fetch_once(f"{place}\0{name}\0{found}", name, lambda path: _download(name, found, path)), found


def _pin(name: str, version: str | None, place: str) -> str:
    from mlflow import MlflowClient  # noqa: PLC0415 - as above
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

    client = MlflowClient()
    try:
        found = _latest(client, name) if version is None else str(client.get_model_version(name, version).version)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        found = None
    if found is None:
        raise _absent(name, version, f"MLflow's registry '{redact(place)}' has no such model or version")
    return found


def _download(name: str, version: str, path: Path) -> None:
    import mlflow  # noqa: PLC0415 - as above

    mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(path))
    remove_file(path / _DOWNLOAD_NOTE)


def _exists(place: str) -> bool:
    """Tell whether there can be a registry: MLflow would make an empty database, and say that it has no such model."""
    return not place.startswith(_SQLITE) or os.path.exists(unquote(place.removeprefix(_SQLITE)))  # noqa: PTH110


def _latest(client: MlflowClient, name: str) -> str | None:
    page = client.search_model_versions(f"name = '{name}'")
    versions = list(page)
    while page.token:
        page = client.search_model_versions(f"name = '{name}'", page_token=page.token)
        versions += page
    return max((str(entry.version) for entry in versions), key=int, default=None)


@contextmanager
def _reporting(name: str, place: str) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    # A store's own library says in its own way what went wrong: boto3, a driver of a database, requests.
    except Exception as error:
        raise ModelError(
            code=ErrorCode.MODEL_REGISTRY,
            what=f"model '{name}' cannot be had from MLflow's registry '{redact(place)}'",
            got=redact((str(error) or type(error).__name__).splitlines()[0]),
            next_step="Workers must reach the registry and have credentials for it.",
        ) from error


def _absent(name: str, version: str | None, got: str) -> ModelNotFoundError:
    asked = f"model '{name}'" if version is None else f"model '{name}', version {version}"
    return ModelNotFoundError(
        code=ErrorCode.MODEL_NOT_FOUND,
        what=asked,
        got=got,
        next_step=f"Add it to the deployment: models: {{{name}: PATH}}.",
    )
