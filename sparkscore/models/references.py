"""Look up MLflow references such as ``models:/…``, and download the models that they refer to. Runs on the driver."""

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
    """A model that was found by its path or by an MLflow reference.

    Attributes:
        path: path of the model's file or folder on the driver.
        name: the model's name.
        version: the model's version. None for paths, and for references that begin with ``mlflow-artifacts:/``.
        uri: MLflow's reference to exactly this version, without an alias, a stage or ``latest``. None for paths.
    """

    path: Path
    name: str
    version: str | None
    uri: str | None


def is_registry_reference(reference: str) -> bool:
    """Return whether a string is an MLflow reference rather than a path.

    >>> is_registry_reference("models:/heart@champion"), is_registry_reference("/models/heart")
    (True, False)
    """
    return _REFERENCE.match(reference) is not None


def find_in_registry(reference: str) -> FoundModel:
    """Look up the model version that an MLflow reference refers to, and download its files.

    An alias, a stage or ``latest`` is resolved to a version number. The version of a logged model is its id, and the
    version of a model from an MLflow run is the run's id. A reference that begins with ``mlflow-artifacts:/`` has no
    version. The downloaded files are removed when Python exits.

    Args:
        reference: a reference that begins with ``models:/``, ``runs:/`` or ``mlflow-artifacts:/``.

    Raises:
        ModelNotFoundError: MLflow reports that the model, version, alias, run or file does not exist. For ``runs:/``
            references, MLflow also reports this if the download fails.
        ModelError: the registry does not answer, the download failed, the registry's SQLite file does not exist, or the
            reference is malformed.
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
    """Return the MLflow registry or tracking store in which to look up a reference.

    Raises:
        ModelError: MLflow is configured to use an SQLite file that does not exist.
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
    """Return a model's name and version, and a reference to exactly this version.

    If the given reference begins with ``mlflow-artifacts:/``, it is returned unchanged, and the version is None.

    Raises:
        NotRegisteredError: MLflow has no such model, version, alias or run.
        ModelError: the reference is malformed.
    """
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
    """Return the latest version of a registered model, considering all versions or only those in a stage.

    Args:
        registry: the registry that has the model.
        name: the registered model's name.
        word: ``latest`` for all versions, or a stage name.

    Raises:
        NotRegisteredError: the model does not exist, has no versions, or has none in the given stage.
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
