"""Look up models in MLflow's registry and tracking store, and download their files (driver and worker).

Call everything here inside `quiet_mlflow`, which raises an error if MLflow is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError, names
from sparkscore.redaction import redact
from sparkscore.removal import remove_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# The error codes of MLflow's stores for something that does not exist; a missing alias is an invalid parameter.
_NOT_FOUND: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"})
_LEVELS_OF_UNITY_CATALOG: Final = 3
_SQLITE: Final = "sqlite:///"
# MLflow writes this file beside a registered model that it downloads; it is no part of the model.
_DOWNLOAD_NOTE: Final = "registered_model_meta"


class NotRegisteredError(Exception):
    """MLflow has no such model, version, alias, run or file; the callers add which ones exist, or what to do."""


@dataclass(frozen=True)
class Registry:
    """MLflow's model registry at one address; for models of runs, MLflow's tracking store.

    Attributes:
        uri: the address, as MLflow writes it.
    """

    uri: str

    def can_exist(self) -> bool:
        """Whether there can be a registry at this address (driver and worker).

        False for an SQLite file that does not exist: MLflow would create an empty database and find no model in it.
        """
        return not self.uri.startswith(_SQLITE) or Path(unquote(self.uri.removeprefix(_SQLITE))).exists()

    def find_version(self, name: str, version: str) -> str:
        """Return a version of a registered model as the registry writes it (driver and worker).

        Raises:
            NotRegisteredError: there is no such model or version.
        """
        with _missing_reported():
            return str(self._client().get_model_version(name, version).version)

    def find_latest_version(self, name: str, stage: str | None = None) -> str | None:
        """Return the highest version of a registered model, or None if no version is found (driver and worker).

        Args:
            name: name of the registered model.
            stage: consider only versions in this stage of MLflow's, for example ``production``.

        Raises:
            NotRegisteredError: the registry says that there is no such model; most registries return no versions.
        """
        with _missing_reported():
            versions = _versions_of(self._client(), name)
        if stage is not None:
            versions = [version for version in versions if str(version.current_stage).lower() == stage.lower()]
        return max((str(version.version) for version in versions), key=int, default=None)

    def find_version_of_alias(self, name: str, alias: str) -> str:
        """Return the version of a registered model that an alias points to (driver).

        Raises:
            NotRegisteredError: there is no such model or alias.
        """
        with _missing_reported():
            return str(self._client().get_model_version_by_alias(name, alias).version)

    def find_logged_model(self, model_id: str) -> tuple[str, str]:
        """Return the name and the id of a logged model (driver).

        Raises:
            NotRegisteredError: there is no such logged model.
        """
        with _missing_reported():
            logged = self._client().get_logged_model(model_id)
        return logged.name, logged.model_id

    def check_run(self, run_id: str) -> None:
        """Check that the tracking store has a run with this id (driver).

        Raises:
            NotRegisteredError: there is no such run.
        """
        with _missing_reported():
            self._client().get_run(run_id)

    def download(self, uri: str, folder: Path) -> Path:
        """Download a model into a folder and return the path of its files (driver and worker).

        A local store's files are copied too, because MLflow writes into the folder that it returns.

        Args:
            uri: reference of one version, without an alias.
            folder: where the files go; MLflow creates it.

        Raises:
            NotRegisteredError: there is no such model or path.
        """
        import mlflow

        registry_uri = self.uri if uri.startswith("models:/") else None
        with _missing_reported():
            path = mlflow.artifacts.download_artifacts(uri, dst_path=str(folder), registry_uri=registry_uri)
        remove_file(Path(path) / _DOWNLOAD_NOTE)
        return Path(path)

    def describe_known(self, name: str) -> str:
        """Return what exists, for the message about a model that was not found (driver).

        These are the versions and aliases of the model, or the names of the registered models if it has no versions.
        The text is empty if the registry does not allow listing.
        """
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            versions = _versions_of(client, name)
            if not versions:
                models = [model.name for model in client.search_registered_models()]
                return f"one of the models {names(models)}" if models else "a registered model; the registry has none"
            aliases = client.get_registered_model(name).aliases
        # The list only helps: the caller raises an error about the missing model in any case.
        except MlflowException:
            return ""
        found = f"version {names(version.version for version in versions)}"
        return f"{found}, or alias {names(aliases)}" if aliases else found

    @contextmanager
    def reporting(self, model: str, next_step: str) -> Iterator[None]:
        """Raise a `ModelError` for whatever MLflow raises in the ``with`` block (driver and worker).

        Args:
            model: name or reference of the model, for the message.
            next_step: what the user can do, for the message.

        Raises:
            ModelError: the registry does not answer, or the download failed.
        """
        try:
            yield
        except ModelError:
            raise
        # Each store raises the exceptions of its own library: boto3, a database driver, requests.
        except Exception as error:
            raise ModelError(
                code=ErrorCode.MODEL_REGISTRY,
                what=f"model '{model}' cannot be read from MLflow's registry '{redact(self.uri)}'",
                got=redact((str(error) or type(error).__name__).splitlines()[0]),
                next_step=next_step,
            ) from error

    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(registry_uri=self.uri)


def configured_registry() -> Registry:
    """Return the registry that MLflow's settings name (driver and worker)."""
    import mlflow

    return Registry(str(mlflow.get_registry_uri()))


def registry_of_name(name: str) -> Registry:
    """Return the registry of a registered model: on Databricks, a name of three levels is in Unity Catalog (driver).

    Source: https://mlflow.org/docs/latest/ml/model-registry/ (registry URI ``databricks-uc``).
    """
    uri = configured_registry().uri
    is_workspace = uri == "databricks" or uri.startswith("databricks://")
    if is_workspace and len(name.split(".")) == _LEVELS_OF_UNITY_CATALOG:
        uri = uri.replace("databricks", "databricks-uc", 1)
    return Registry(uri)


def tracking_store() -> Registry:
    """Return the tracking store that MLflow's settings name, for models of runs (driver)."""
    import mlflow

    return Registry(str(mlflow.get_tracking_uri()))


def _versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    page = client.search_model_versions(f"name = '{name}'")
    versions = list(page)
    while page.token:
        page = client.search_model_versions(f"name = '{name}'", page_token=page.token)
        versions += page
    return versions


@contextmanager
def _missing_reported() -> Iterator[None]:
    """Raise `NotRegisteredError` if MLflow's error says that something does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in _NOT_FOUND:
            raise NotRegisteredError(str(error)) from error
        raise
