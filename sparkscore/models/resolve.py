"""Turn a model reference into a path, a name, a version and a digest, once for a run (driver)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparkscore.config import Model
from sparkscore.digest import digest_of_path
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ModelError, ModelNotFoundError
from sparkscore.location import local_path
from sparkscore.models.registry import Found, find_in_registry, is_registry_reference

_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class ResolvedModel:
    """A model that a run uses.

    Attributes:
        path: absolute path of its file or folder on the driver.
        name: the name that stands beside every prediction.
        version: the version that stands beside every prediction; ``sha256:…`` where nothing else names one.
        sha256: digest of its contents.
        uri: the registry's reference of exactly this version; None for a file or folder.
    """

    path: Path
    name: str
    version: str
    sha256: str
    uri: str | None = None

    def describe(self) -> dict[str, str | None]:
        """Describe the model for the run record."""
        place = None if self.uri else str(self.path)
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "path": place, "uri": self.uri}


def resolve_model(model: Model | None) -> ResolvedModel | None:
    """Find the model and take its digest, once, on the driver; None where the deployment has no model.

    Raises:
        ModelNotFoundError: nothing is at the path, or the registry has no such model.
        ModelError: the digest is not the one that the deployment pins.
        MissingDependencyError: the reference is MLflow's, and MLflow is not installed.
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
    """Find several models; each has the name that the deployment gives it.

    Args:
        models: the deployment's models by name.
        main: the model that lies beside them in ``AZUREML_MODEL_DIR``.

    Raises:
        ConfigError: a name cannot be a folder's, or is that of the main model's file or folder.
        ModelError: as `resolve_model`.
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
                got="the name of the file or folder of 'model', which lies beside it in AZUREML_MODEL_DIR",
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
        next_step="Correct --model or 'model.path', give the files back or remove what is none, or allow reading them.",
    )


def find_model(reference: str) -> Found:
    """Find a model's files; nothing of them is read.

    Raises:
        ModelNotFoundError: nothing is at the path, or the registry has no such model.
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
    return Found(path, path.name if path.is_dir() else path.stem, None, None)
