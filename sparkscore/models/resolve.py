"""Find a model's files, name, version and digest. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparkscore.config import Model
from sparkscore.digest import digest_of_path
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ModelError, ModelNotFoundError
from sparkscore.location import local_path
from sparkscore.models.references import FoundModel, find_in_registry, is_registry_reference

_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class ResolvedModel:
    """A model whose files are on the driver, with its name, version and digest.

    Attributes:
        path: absolute path of the model's file or folder.
        name: the model's name.
        version: the model's version, or ``sha256:`` and the first digits of the digest if the model has no version.
        sha256: digest of the model's files.
        uri: MLflow's reference to exactly this version, without an alias, a stage or ``latest``. None if the model was
            given as a path.
    """

    path: Path
    name: str
    version: str
    sha256: str
    uri: str | None = None

    def describe(self) -> dict[str, str | None]:
        """Return a dictionary of the model's name, version, digest, path and URI. If there is a URI, path is None."""
        path = None if self.uri else str(self.path)
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "path": path, "uri": self.uri}


def resolve_model(model: Model | None) -> ResolvedModel | None:
    """Find a model's files and compute their digest.

    A model that is given as an MLflow reference is downloaded.

    Args:
        model: the deployment's ``model`` section, or None if the deployment has no such section. None is then returned.

    Raises:
        ConfigError: the path is the URI of a remote store.
        ModelNotFoundError: the path does not exist, or MLflow has no such model.
        ModelError: the files cannot be read, their digest differs from the one in the deployment, the MLflow reference
            is malformed, the registry does not answer, or the download failed.
        MissingDependencyError: the path is an MLflow reference, and MLflow is not installed.
    """
    if model is None:
        return None
    try:
        found = find_model(model.path)
        sha256 = digest_of_path(found.path)
    except OSError as error:
        raise _unreadable(model.path, error) from error
    if model.sha256 and sha256 != model.sha256.lower():
        raise ModelError(
            code=ErrorCode.MODEL_DIGEST,
            what=f"model '{model.path}'",
            got=f"sha256 {sha256}",
            expected=model.sha256.lower(),
            next_step="Restore the model, or correct 'model.sha256'.",
        )
    version = model.version or found.version or f"sha256:{sha256[:_SHOWN_DIGITS]}"
    return ResolvedModel(found.path, model.name or found.name, version, sha256, found.uri)


def resolve_models(models: Mapping[str, Model], main: ResolvedModel | None) -> tuple[ResolvedModel, ...]:
    """Find the files of the models in the ``models`` section, and return these models in the section's order.

    Each model gets its name from the section. A ``name`` setting of its own is ignored.

    Args:
        models: the deployment's ``models`` section, keyed by model name.
        main: the model in the ``model`` section, or None. All models share a folder on the workers, so no other model
            may have the name of the main model's file or folder.

    Raises:
        ConfigError: a model name is not a valid folder name or is already used by the main model's file or folder, or a
            path is the URI of a remote store.
        ModelError: a model cannot be found or read, or its digest differs from the one in the deployment.
        MissingDependencyError: a path is an MLflow reference, and MLflow is not installed.
    """
    for name in models:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise ConfigError(
                code=ErrorCode.MODEL_NAME,
                what=f"name '{name}' under 'models'",
                expected="a name that a folder can have: scripts find the model there",
                next_step="Give the model another name.",
            )
        if main is not None and name == main.path.name:
            raise ConfigError(
                code=ErrorCode.MODEL_NAME,
                what=f"name '{name}' under 'models'",
                got="the name of the file or folder of 'model', which is beside it in AZUREML_MODEL_DIR",
                next_step="Give the model another name.",
            )
    named = {name: model.model_copy(update={"name": name}) for name, model in models.items()}
    return tuple(resolved for model in named.values() if (resolved := resolve_model(model)) is not None)


def _unreadable(reference: str, error: OSError) -> ModelError:
    return ModelError(
        code=ErrorCode.MODEL_UNREADABLE,
        what=f"model '{reference}'",
        got=f"{error.strerror or type(error).__name__}: '{error.filename}'" if error.filename else str(error),
        expected="files that can be read",
        next_step="Correct --model or 'model.path', restore the files, remove special files, or allow reading.",
    )


def find_model(reference: str) -> FoundModel:
    """Find a model by its path or MLflow reference. A model in MLflow is downloaded.

    For a path, only its existence is checked.

    Args:
        reference: a path, or an MLflow reference such as ``models:/NAME/VERSION``.

    Raises:
        ConfigError: the path is the URI of a remote store.
        ModelNotFoundError: the path does not exist, or MLflow has no such model.
        ModelError: the MLflow reference is malformed, the registry does not answer, or the download failed.
        MissingDependencyError: the reference is an MLflow reference, and MLflow is not installed.
    """
    if is_registry_reference(reference):
        return find_in_registry(reference)
    path = local_path(reference).absolute()
    if not path.exists():
        raise ModelNotFoundError(
            code=ErrorCode.MODEL_NOT_FOUND,
            what=f"model '{path}'",
            got="no such file or folder",
            next_step="Correct --model, or 'model.path' in the deployment.",
        )
    return FoundModel(path, path.name if path.is_dir() else path.stem, None, None)
