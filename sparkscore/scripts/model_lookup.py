"""Find the models that a script asks for by name: the deployment's, then those of MLflow's registry (worker)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError, ModelNotFoundError, names

# Gives a registered model's copy on this host, and its version; the latest when none is asked for.
FetchRegistered = Callable[[str, str | None], tuple[Path, str]]
# Makes a copy reachable for the script under the model's name and version, and gives the place.
PlaceModel = Callable[[Path, str, str], Path]


@dataclass(frozen=True)
class DeployedModel:
    """A model of the deployment, where the script finds it.

    Attributes:
        name: its name.
        version: its version.
        path: its file or folder in ``AZUREML_MODEL_DIR``.
    """

    name: str
    version: str
    path: Path


class ModelLookup:
    """What ``Model.get_model_path`` answers from; a registered model is asked for once in a process."""

    def __init__(self, deployed: Sequence[DeployedModel], fetch: FetchRegistered, place: PlaceModel) -> None:
        self._deployed = tuple(deployed)
        self._fetch = fetch
        self._place = place
        self._fetched: dict[tuple[str, str | None], Path] = {}

    def find(self, name: str, version: object = None) -> Path:
        """Give a model's file or folder.

        Args:
            name: the model's name, or the name of its file or folder.
            version: the version that it must have; any, or a registry's latest, if None.

        Raises:
            ModelError: the deployment has the model in another version, or the registry does not answer.
            ModelNotFoundError: neither the deployment nor the registry has it.
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
                next_step="Ask for no version, or set the model's 'path' and 'version' in the deployment.",
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
            known = self._fetched.get((name, found)) or self._place(copy, name, found)
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
