"""Look up models in MLflow's registry and tracking store, and download their files. Runs on the driver and the workers.

Call the functions and methods of this module inside `quiet_mlflow`, which raises an error if MLflow is not installed.
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

# MLflow's error codes for things that do not exist. For a missing alias, MLflow reports an invalid parameter.
_NOT_FOUND: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"})
_LEVELS_OF_UNITY_CATALOG: Final = 3
_SQLITE: Final = "sqlite:///"
# MLflow writes this file into the folder of a registered model that it downloads. It is not part of the model.
_DOWNLOAD_NOTE: Final = "registered_model_meta"


class NotRegisteredError(Exception):
    """Raised if MLflow's registry or tracking store does not have a model, version, alias, run or file.

    This error is not meant for users: its message does not say what to do next.
    """


@dataclass(frozen=True)
class Registry:
    """An MLflow model registry or tracking store. A tracking store contains the models logged by MLflow runs.

    Attributes:
        uri: the URI of the registry or tracking store, in MLflow's notation.
    """

    uri: str

    def can_exist(self) -> bool:
        """Return whether the registry can exist: False only if its URI points to an SQLite file that does not exist.

        MLflow would create an empty database there instead of reporting an error. Runs on the driver and the workers.
        """
        return not self.uri.startswith(_SQLITE) or Path(unquote(self.uri.removeprefix(_SQLITE))).exists()

    def find_version(self, name: str, version: str) -> str:
        """Check that a registered model has this version, and return the version number in the registry's spelling.

        For example, a registry may return ``3`` for ``03``. Runs on the driver and the workers.

        Raises:
            NotRegisteredError: the model or the version does not exist.
        """
        with _missing_reported():
            return str(self._client().get_model_version(name, version).version)

    def find_latest_version(self, name: str, stage: str | None = None) -> str | None:
        """Return the highest version of a registered model, or None if there is no such version.

        Runs on the driver and the workers.

        Args:
            name: name of the registered model.
            stage: MLflow stage of the version, for example ``production``. Case is ignored. None means any stage.

        Raises:
            NotRegisteredError: the registry reports that the model does not exist. Some registries instead report a
                model without versions; in that case, None is returned.
        """
        with _missing_reported():
            versions = _versions_of(self._client(), name)
        if stage is not None:
            versions = [version for version in versions if str(version.current_stage).lower() == stage.lower()]
        return max((str(version.version) for version in versions), key=int, default=None)

    def find_version_of_alias(self, name: str, alias: str) -> str:
        """Return the version that a registered model's alias points to. Runs on the driver.

        Raises:
            NotRegisteredError: the model or the alias does not exist.
        """
        with _missing_reported():
            return str(self._client().get_model_version_by_alias(name, alias).version)

    def find_logged_model(self, model_id: str) -> tuple[str, str]:
        """Return the name and the id of a logged model. Runs on the driver.

        Raises:
            NotRegisteredError: there is no logged model with this id.
        """
        with _missing_reported():
            logged = self._client().get_logged_model(model_id)
        return logged.name, logged.model_id

    def check_run(self, run_id: str) -> None:
        """Check that the tracking store has an MLflow run with this id. Runs on the driver.

        Raises:
            NotRegisteredError: there is no such run.
        """
        with _missing_reported():
            self._client().get_run(run_id)

    def download(self, uri: str, folder: Path) -> Path:
        """Download a model into a folder, and return the path of the downloaded file or folder.

        Runs on the driver and the workers.

        A model in a local store is copied. The file ``registered_model_meta``, which MLflow may add to the model, is
        removed.

        Args:
            uri: reference to a version of the model, without an alias.
            folder: the destination folder, which MLflow creates.

        Raises:
            NotRegisteredError: MLflow reports that the model or path does not exist.
        """
        import mlflow

        registry_uri = self.uri if uri.startswith("models:/") else None
        with _missing_reported():
            path = mlflow.artifacts.download_artifacts(uri, dst_path=str(folder), registry_uri=registry_uri)
        if Path(path).is_dir():
            remove_file(Path(path) / _DOWNLOAD_NOTE)
        return Path(path)

    def describe_known(self, name: str) -> str:
        """Return a phrase that lists what the registry has, for the error about a missing model. Runs on the driver.

        The phrase lists up to five versions and up to five aliases of the model. If the model has no versions, it lists
        up to five registered models instead, or says that the registry has no models. If MLflow raises an
        ``MlflowException``, for example because the user may not list models, an empty string is returned.

        Args:
            name: name of the model that was not found.
        """
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            versions = _versions_of(client, name)
            if not versions:
                models = [model.name for model in client.search_registered_models()]
                return f"one of the models {names(models)}" if models else "a registered model; the registry has none"
            aliases = client.get_registered_model(name).aliases
        # The phrase only helps the user: the caller raises an error about the missing model in any case.
        except MlflowException:
            return ""
        found = f"version {names(version.version for version in versions)}"
        return f"{found}, or alias {names(aliases)}" if aliases else found

    @contextmanager
    def reporting(self, model: str, next_step: str) -> Iterator[None]:
        """Raise a `ModelError` instead of any other exception raised in the ``with`` block.

        Runs on the driver and the workers.

        Args:
            model: name or reference of the model, for the message.
            next_step: advice to the user, for the message.

        Raises:
            ModelError: the ``with`` block raised an exception, for example because the registry does not answer or a
                download failed.
        """
        try:
            yield
        except ModelError:
            raise
        # Each store raises exceptions of its own library: boto3, a database driver, requests.
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
    """Return the model registry that MLflow is configured to use. Runs on the driver and the workers."""
    import mlflow

    return Registry(str(mlflow.get_registry_uri()))


def registry_of_name(name: str) -> Registry:
    """Return the registry in which to look up a registered model. Runs on the driver.

    This is the configured registry, with one exception: if this is a Databricks workspace's registry, models whose
    names have three parts (``catalog.schema.model``) are looked up in Unity Catalog.

    Source: https://mlflow.org/docs/latest/ml/model-registry/ (registry URI ``databricks-uc``).
    """
    uri = configured_registry().uri
    is_workspace = uri == "databricks" or uri.startswith("databricks://")
    if is_workspace and len(name.split(".")) == _LEVELS_OF_UNITY_CATALOG:
        uri = uri.replace("databricks", "databricks-uc", 1)
    return Registry(uri)


def tracking_store() -> Registry:
    """Return the tracking store that MLflow is configured to use. Runs on the driver."""
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
    """Raise a `NotRegisteredError` if the ``with`` block raises an MLflow error that means "not found".

    Errors about invalid parameters count as "not found", because MLflow raises them for missing aliases. Other errors
    are raised unchanged.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in _NOT_FOUND:
            raise NotRegisteredError(str(error)) from error
        raise
