"""Resolve MLflow's model references (``models:/…``, ``runs:/…``) to one version and download its files (driver)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError, ModelNotFoundError
from sparkscore.redaction import redact
from sparkscore.registry import NotRegisteredError, Registry, quiet_mlflow, registry_of_name, tracking_store
from sparkscore.removal import make_folder

_REFERENCE: Final = re.compile(r"^(models|runs|mlflow-artifacts):/")
_FORMS: Final = "models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/latest, models:/m-ID or runs:/RUN/PATH"


@dataclass(frozen=True)
class FoundModel:
    """The files that a model reference leads to.

    Attributes:
        path: local file or folder.
        name: the model's name.
        version: its version; None for a file or folder, which has none.
        uri: the reference of exactly this version; None for a file or folder.
    """

    path: Path
    name: str
    version: str | None
    uri: str | None


def is_registry_reference(reference: str) -> bool:
    """Whether MLflow must resolve a model reference; otherwise it is a path.

    >>> is_registry_reference("models:/heart@champion"), is_registry_reference("/models/heart")
    (True, False)
    """
    return _REFERENCE.match(reference) is not None


def find_in_registry(reference: str) -> FoundModel:
    """Resolve an MLflow reference to one version and download its files; they are removed when the process ends.

    An alias, a stage or ``latest`` is looked up once and becomes a version. The version of a logged model is its id,
    and the version of a model in a run is the id of the run.

    Raises:
        ModelNotFoundError: the registry has no such model, version or alias, or there is no such run or file.
        ModelError: the registry does not answer, or the text is not a reference.
        MissingDependencyError: MLflow is not installed.
    """
    with quiet_mlflow():
        registry = _registry_of(reference)
        step = "Check MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI and your credentials for it."
        with registry.reporting(reference, step):
            try:
                name, version, uri = _pin(reference, registry)
                path = registry.download(uri, make_folder("", _download_folder()) / name)
            except NotRegisteredError as error:
                raise _not_found(reference, registry) from error
            return FoundModel(path, name, version, uri)


def _registry_of(reference: str) -> Registry:
    """Return the registry or tracking store that a reference is about.

    Raises:
        ModelError: it is an SQLite file that does not exist.
    """
    registry = registry_of_name(_name_in(reference)) if reference.startswith("models:/") else tracking_store()
    if not registry.can_exist():
        raise ModelError(
            code=ErrorCode.MODEL_REGISTRY,
            what=f"model '{reference}' in MLflow's registry '{redact(registry.uri)}'",
            got="no such database",
            next_step="Set MLFLOW_TRACKING_URI, or MLFLOW_REGISTRY_URI, to the address where the model was logged.",
        )
    return registry


def _name_in(reference: str) -> str:
    return re.split("[/@]", reference.removeprefix("models:/"))[0]


def _pin(reference: str, registry: Registry) -> tuple[str, str | None, str]:
    """Return the model's name, its version, and the reference of exactly that version."""
    scheme, _, rest = reference.partition(":/")
    parts = rest.rstrip("/").split("/")
    if not all(parts):
        raise _no_reference(reference)
    if scheme == "models":
        return _pin_model(reference, registry, parts)
    if scheme == "runs":
        if len(parts) == 1:
            raise _no_reference(reference)
        registry.check_run(parts[0])
        return parts[-1], parts[0], f"runs:/{'/'.join(parts)}"
    return parts[-1], None, reference


def _pin_model(reference: str, registry: Registry, parts: list[str]) -> tuple[str, str, str]:
    name = parts[0]
    if len(parts) > 2:  # noqa: PLR2004 - a name and a version
        raise _no_reference(reference)
    if len(parts) == 1 and "@" not in name:
        name, version = registry.find_logged_model(name)
        return name, version, f"models:/{version}"
    if len(parts) == 1:
        name, _, alias = name.rpartition("@")
        version = registry.find_version_of_alias(name, alias)
    elif parts[1].isdigit():
        version = registry.find_version(name, parts[1])
    else:
        version = _find_latest(registry, name, parts[1])
    return name, version, f"models:/{name}/{version}"


def _find_latest(registry: Registry, name: str, word: str) -> str:
    """Return the latest version of a model, among all versions or those in a stage.

    Args:
        registry: where the model is registered.
        name: name of the registered model.
        word: ``latest``, or the name of a stage.
    """
    stage = None if word.lower() == "latest" else word
    version = registry.find_latest_version(name, stage)
    if version is None:
        raise NotRegisteredError(f"no version of '{name}' for '{word}'")
    return version


@cache
def _download_folder() -> Path:
    return make_folder("sparkscore-models-", ends_with_process=True)


def _no_reference(reference: str) -> ModelError:
    return ModelError(
        code=ErrorCode.MODEL_REFERENCE,
        what=f"model reference '{reference}'",
        expected=_FORMS,
        next_step="Correct --model, or 'model.path' in the deployment.",
    )


def _not_found(reference: str, registry: Registry) -> ModelNotFoundError:
    is_model = reference.startswith("models:/")
    return ModelNotFoundError(
        code=ErrorCode.MODEL_NOT_FOUND,
        what=f"model '{reference}' in MLflow's registry '{redact(registry.uri)}'",
        got=f"no such {'model, version or alias' if is_model else 'run, or nothing at that path'}",
        expected=registry.describe_known(_name_in(reference)) if is_model else "",
        next_step="Correct --model or 'model.path', or set MLFLOW_TRACKING_URI to where the model was logged.",
    )
