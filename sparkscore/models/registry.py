"""Find models in MLflow's registry and tracking store; MLflow's own client does the work (driver)."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError, ModelNotFoundError, names
from sparkscore.redaction import redact
from sparkscore.removal import make_folder, remove_file
from sparkscore.scorers.mlflow_quiet import quiet_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_REFERENCE: Final = re.compile(r"^(models|runs|mlflow-artifacts):/")
_FORMS: Final = "models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/latest, models:/m-ID or runs:/RUN/PATH"
# How MLflow's stores say that something is not there; an alias that is not there is an invalid parameter.
_ABSENT: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"})
_LEVELS_OF_UNITY_CATALOG: Final = 3
# MLflow writes it beside a registered model when that is downloaded, or into the store: no part of the model.
_DOWNLOAD_NOTE: Final = "registered_model_meta"


@dataclass(frozen=True)
class Found:
    """Where a reference led.

    Attributes:
        path: local file or folder.
        name: the model's name.
        version: its version, where the place has versions.
        uri: the reference of exactly this version; None for a file or folder.
    """

    path: Path
    name: str
    version: str | None
    uri: str | None


def is_registry_reference(reference: str) -> bool:
    """Tell whether MLflow must resolve a reference.

    >>> is_registry_reference("models:/heart@champion"), is_registry_reference("/models/heart")
    (True, False)
    """
    return _REFERENCE.match(reference) is not None


def find_in_registry(reference: str) -> Found:
    """Resolve a reference of MLflow's to one version, and bring a copy of its files here until the process ends.

    An alias, a stage or ``latest`` is looked up once and becomes a version. A logged model's version is its id; what
    a run holds has the run's id as its version.

    Raises:
        ModelNotFoundError: the registry has no such model, version or alias, or there is no such run or file.
        ModelError: the registry cannot be asked, or the reference is none.
        MissingDependencyError: MLflow is not installed.
    """
    with quiet_mlflow():
        registry = _registry_of(reference)
        with _reporting(reference, registry):
            name, version, uri = _pin(reference, registry)
            return Found(_download(uri, name, registry), name, version, uri)


def _registry_of(reference: str) -> str:
    """Give the registry that a reference means; a name of three levels is Unity Catalog's on Databricks.

    Source: https://mlflow.org/docs/latest/ml/model-registry/ (registry URI ``databricks-uc``).
    """
    import mlflow  # noqa: PLC0415 - takes three seconds

    registry = str(mlflow.get_registry_uri() if reference.startswith("models:/") else mlflow.get_tracking_uri())
    levels = re.split("[/@]", reference.removeprefix("models:/"))[0].split(".")
    is_workspace = registry == "databricks" or registry.startswith("databricks://")
    if reference.startswith("models:/") and len(levels) == _LEVELS_OF_UNITY_CATALOG and is_workspace:
        registry = registry.replace("databricks", "databricks-uc", 1)
    _refuse_missing_database(reference, registry)
    return registry


def _refuse_missing_database(reference: str, registry: str) -> None:
    """MLflow would make an empty database here, and then say that it has no such model."""
    if registry.startswith("sqlite:///") and not Path(unquote(registry.removeprefix("sqlite:///"))).exists():
        raise ModelError(
            code=ErrorCode.MODEL_REGISTRY,
            what=f"model '{reference}' is to come from MLflow's registry '{redact(registry)}'",
            got="no such database",
            next_step="Set MLFLOW_TRACKING_URI, or MLFLOW_REGISTRY_URI, to the place where the model was logged.",
        )


def _pin(reference: str, registry: str) -> tuple[str, str | None, str]:
    """Give the model's name, its version, and the reference of exactly that version."""
    scheme, _, rest = reference.partition(":/")
    parts = rest.rstrip("/").split("/")
    if not all(parts):
        raise _no_reference(reference)
    if scheme == "models":
        return _pin_model(reference, registry, parts)
    if scheme == "runs":
        if len(parts) == 1:
            raise _no_reference(reference)
        _client(registry).get_run(parts[0])
        return parts[-1], parts[0], f"runs:/{'/'.join(parts)}"
    return parts[-1], None, reference


def _pin_model(reference: str, registry: str, parts: list[str]) -> tuple[str, str, str]:
    client, name = _client(registry), parts[0]
    if len(parts) > 2:  # noqa: PLR2004 - a name and a version
        raise _no_reference(reference)
    if len(parts) == 1 and "@" not in name:
        logged = client.get_logged_model(name)
        return logged.name, logged.model_id, f"models:/{logged.model_id}"
    if len(parts) == 1:
        name, _, alias = name.rpartition("@")
        version = str(client.get_model_version_by_alias(name, alias).version)
    elif parts[1].isdigit():
        version = str(client.get_model_version(name, parts[1]).version)
    else:
        version = _newest(reference, registry, name, parts[1])
    return name, version, f"models:/{name}/{version}"


def _newest(reference: str, registry: str, name: str, word: str) -> str:
    """Give the newest version, or the newest of a stage."""
    versions = _versions_of(_client(registry), name)
    if word.lower() != "latest":
        versions = [version for version in versions if str(version.current_stage).lower() == word.lower()]
    if not versions:
        raise _not_found(reference, registry)
    return str(max(int(version.version) for version in versions))


def _versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    page = client.search_model_versions(f"name = '{name}'")
    versions = list(page)
    while page.token:
        page = client.search_model_versions(f"name = '{name}'", page_token=page.token)
        versions += page
    return versions


def _client(registry: str) -> MlflowClient:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes three seconds

    return MlflowClient(registry_uri=registry)


def _download(uri: str, name: str, registry: str) -> Path:
    """Copy the model's files here, from a local store too: MLflow writes into the folder that it gives."""
    import mlflow  # noqa: PLC0415 - takes three seconds

    folder = make_folder("", _download_folder()) / name
    registry_uri = registry if uri.startswith("models:/") else None
    path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder), registry_uri=registry_uri))
    remove_file(path / _DOWNLOAD_NOTE)
    return path


@cache
def _download_folder() -> Path:
    return make_folder("sparkscore-models-", ends_with_process=True)


@contextmanager
def _reporting(reference: str, registry: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - takes three seconds

    try:
        yield
    except ModelError:
        raise
    # A store's own library says in its own way what went wrong: boto3, a driver of a database, requests.
    except Exception as error:
        if isinstance(error, MlflowException) and error.error_code in _ABSENT:
            raise _not_found(reference, registry) from error
        raise _unreachable(reference, registry, error) from error


def _no_reference(reference: str) -> ModelError:
    return ModelError(
        code=ErrorCode.MODEL_REFERENCE,
        what=f"model reference '{reference}'",
        expected=_FORMS,
        next_step="Correct --model, or 'model.path' in the deployment.",
    )


def _not_found(reference: str, registry: str) -> ModelNotFoundError:
    is_model = reference.startswith("models:/")
    return ModelNotFoundError(
        code=ErrorCode.MODEL_NOT_FOUND,
        what=f"model '{reference}' in MLflow's registry '{redact(registry)}'",
        got=f"no such {'model, version or alias' if is_model else 'run, or nothing at that path'}",
        expected=_what_is_there(reference, registry) if is_model else "",
        next_step="Correct --model or 'model.path', or set MLFLOW_TRACKING_URI to where the model was logged.",
    )


def _what_is_there(reference: str, registry: str) -> str:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - takes three seconds

    client, name = _client(registry), re.split("[/@]", reference.removeprefix("models:/"))[0]
    try:
        versions = _versions_of(client, name)
        if not versions:
            models = [model.name for model in client.search_registered_models()]
            return f"one of the models {names(models)}" if models else "a registered model; the registry has none"
        aliases = client.get_registered_model(name).aliases
    # It only helps: a registry that may not be listed has said what matters.
    except MlflowException:
        return ""
    found = f"version {names(version.version for version in versions)}"
    return f"{found}, or alias {names(aliases)}" if aliases else found


def _unreachable(reference: str, registry: str, error: Exception) -> ModelError:
    return ModelError(
        code=ErrorCode.MODEL_REGISTRY,
        what=f"model '{reference}' cannot be had from MLflow's registry '{redact(registry)}'",
        got=redact((str(error) or type(error).__name__).splitlines()[0]),
        next_step="Check MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI and your credentials for it.",
    )


def stores_for_workers() -> tuple[str, str]:
    """Give the addresses of MLflow's tracking store and registry, as workers must name them; empty where unknown.

    A place relative to the driver's working directory becomes absolute. MLflow is not imported for this: what the
    driver's own code has set is asked only where that has imported it.
    """
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None:
        return _absolute(str(mlflow.get_tracking_uri())), _absolute(str(mlflow.get_registry_uri()))
    names = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
    tracking, registry = (_absolute(os.environ.get(name, "")) for name in names)
    return tracking, registry


def is_local_store(uri: str) -> bool:
    """Whether an address names a store on this machine's disks: a file of SQLite's, or a folder."""
    return uri.startswith(("sqlite:", "file:", "/"))


def is_absolute_store(uri: str) -> bool:
    """Whether an address means the same store in every working directory; an empty one names none."""
    return bool(uri) and _absolute(uri) == uri


def _absolute(uri: str) -> str:
    relative = re.fullmatch(r"sqlite:///(?!/)(.+)", uri)
    if relative:
        return f"sqlite:///{Path(relative[1]).absolute()}"
    is_plain_path = bool(uri) and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|databricks", uri)
    return str(Path(uri).absolute()) if is_plain_path else uri
