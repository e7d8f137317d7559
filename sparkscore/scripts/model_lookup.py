"""Look up a model that a script requests by name, first in the deployment and then in MLflow's registry.

Runs on the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError, ModelNotFoundError, names

# A function that takes the name and version of a registered model, and returns the path of this host's copy of the
# model, and its version. If the given version is None, the latest version is used.
FetchRegistered = Callable[[str, str | None], tuple[Path, str]]
# A function that links a copy of a model to a path that contains the model's name and version, and returns the path.
LinkModel = Callable[[Path, str, str], Path]


@dataclass(frozen=True)
class DeployedModel:
    """A model in the deployment.

    Attributes:
        name: name of the model.
        version: version of the model.
        path: the model's file or folder in ``AZUREML_MODEL_DIR``.
    """

    name: str
    version: str
    path: Path


class ModelLookup:
    """Finds the models that a script requests with ``Model.get_model_path``.

    Repeated requests for the same registered model and version return the same path and do not query the registry
    again.
    """

    def __init__(self, deployed: Sequence[DeployedModel], fetch: FetchRegistered, link: LinkModel) -> None:
        self._deployed = tuple(deployed)
        self._fetch = fetch
        self._link = link
        self._fetched: dict[tuple[str, str | None], Path] = {}

    def find(self, name: str, version: object = None) -> Path:
        """Return the path of a model's file or folder.

        Args:
            name: name of the model, or of its file or folder in the deployment.
            version: required version. If None, the version in the deployment is used or, if the deployment does not
                have the model, the latest registered version.

        Raises:
            ModelError: the deployment has a different version of the model, the registry does not respond, or the
                download fails.
            ModelNotFoundError: neither the deployment nor a registry has the model in this version.
        """
        asked = None if version is None else str(version)
        deployed = self._find_deployed(name)
        if deployed is None:
            return self._find_registered(name, asked)
        if asked not in {None, deployed.version}:
            raise ModelError(
                code=ErrorCode.MODEL_VERSION,
                what=f"model '{name}' that the scoring script asks for",
                got=f"version {deployed.version} in the deployment",
                expected=f"version {asked}",
                next_step="Do not ask for a version, or set the model's 'path' and 'version' in the deployment.",
            )
        return deployed.path

    def _find_deployed(self, name: str) -> DeployedModel | None:
        by_file = [model for model in self._deployed if model.path.name == name]
        return next(iter([*(model for model in self._deployed if model.name == name), *by_file]), None)

    def _find_registered(self, name: str, version: str | None) -> Path:
        known = self._fetched.get((name, version))
        if known is None:
            try:
                copy, found = self._fetch(name, version)
            except ModelNotFoundError as error:
                raise self._absent(error) from error
            known = self._fetched.get((name, found)) or self._link(copy, name, found)
            self._fetched[name, version] = self._fetched[name, found] = known
        return known

    def _absent(self, error: ModelNotFoundError) -> ModelNotFoundError:
        found = names({model.name for model in self._deployed})
        return ModelNotFoundError(
            code=error.code,
            what=f"{error.what} that the scoring script asks for",
            got=f"{f'only {found}' if found else 'no models'} in the deployment; {error.got}",
            next_step=error.next_step,
        )
