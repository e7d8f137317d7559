"""Download registered models to this host, for scoring scripts that look them up by name. Runs on the workers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelNotFoundError
from sparkscore.redaction import redact
from sparkscore.registry import NotRegisteredError, Registry, configured_registry, quiet_mlflow
from sparkscore.scorers.model_files import fetch_once


def fetch_registered(name: str, version: str | None) -> tuple[Path, str]:
    """Download a registered model, unless this host already has a copy, and return the copy's path and version.

    The model comes from the registry that MLflow is configured to use.

    Args:
        name: name of the registered model.
        version: the version to download, or None for the highest version.

    Raises:
        ModelNotFoundError: the model, version or registry does not exist, or MLflow is not installed.
        ModelError: the registry does not respond, the download fails, or other users have access to this host's model
            cache.
    """
    if find_spec("mlflow") is None:
        raise _not_found(name, version, "there is no registry to ask: MLflow is not installed on this worker")
    with quiet_mlflow():
        registry = configured_registry()
        with registry.reporting(name, "Workers must reach the registry and have credentials for it."):
            found = _find_version(registry, name, version)
            copy = fetch_once(
                f"{registry.uri}\0{name}\0{found}",
                name,
                lambda path: registry.download(f"models:/{name}/{found}", path),
            )
            return copy, found


def _find_version(registry: Registry, name: str, version: str | None) -> str:
    address = redact(registry.uri)
    if not registry.can_exist():
        raise _not_found(name, version, f"there is no MLflow registry at '{address}'")
    try:
        found = registry.find_latest_version(name) if version is None else registry.find_version(name, version)
    except NotRegisteredError:
        found = None
    if found is None:
        raise _not_found(name, version, f"MLflow's registry '{address}' has no such model or version")
    return found


def _not_found(name: str, version: str | None, got: str) -> ModelNotFoundError:
    asked = f"model '{name}'" if version is None else f"model '{name}', version {version}"
    return ModelNotFoundError(
        code=ErrorCode.MODEL_NOT_FOUND,
        what=asked,
        got=got,
        next_step=f"Add it to the deployment: models: {{{name}: PATH}}.",
    )
