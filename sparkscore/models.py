"""Turn the deployment's model reference into a path, a name, a version and a digest (driver)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sparkscore.config import Model
from sparkscore.errors import ModelError, ModelNotFoundError
from sparkscore.location import local_path

_READ_BYTES = 1024 * 1024
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class ResolvedModel:
    """The model that a run uses.

    Attributes:
        path: absolute path of its file or folder.
        name: the name that stands beside every prediction.
        version: the version that stands beside every prediction; ``sha256:…`` where the deployment names none.
        sha256: digest of its contents.
    """

    path: Path
    name: str
    version: str
    sha256: str

    def describe(self) -> dict[str, str]:
        """Describe the model for the run record."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "path": str(self.path)}


def resolve_model(model: Model | None) -> ResolvedModel | None:
    """Find the model and take its digest, once, on the driver; None where the deployment has no model.

    Raises:
        ModelNotFoundError: nothing is at the path.
        ModelError: the digest is not the one that the deployment pins.
    """
    if model is None or model.path is None:
        return None
    path = local_path(model.path).absolute()
    if not path.exists():
        raise ModelNotFoundError(
            code="MODEL_NOT_FOUND",
            what=f"model '{path}'",
            got="no such file or folder",
            next_step="Correct 'model.path' in the deployment, or use --set model.path=PATH.",
        )
    sha256 = digest_of_path(path)
    if model.sha256 and sha256 != model.sha256.lower():
        raise ModelError(
            code="MODEL_DIGEST",
            what=f"model '{path}'",
            got=f"sha256 {sha256}",
            expected=model.sha256.lower(),
            next_step="Restore the model, or correct 'model.sha256'.",
        )
    version = model.version or f"sha256:{sha256[:_SHOWN_DIGITS]}"
    name = path.name if path.is_dir() else path.stem
    return ResolvedModel(path, model.name or name, version, sha256)


def check_model_unchanged(model: ResolvedModel | None) -> None:
    """Take the digest again: the rows would otherwise name a model that did not make them.

    Raises:
        ModelError: the model has changed since it was resolved.
    """
    if model is not None and (not model.path.exists() or digest_of_path(model.path) != model.sha256):
        raise ModelError(
            code="MODEL_CHANGED",
            what=f"model '{model.path}' changed while the run used it",
            state="Nothing was published.",
            next_step="Run again when the model is complete.",
        )


def digest_of_path(path: Path) -> str:
    """Give the SHA-256 of a file, or of a folder: of its files' relative paths and digests, in the paths' order.

    Folders that are links belong to it; a link that leads in a circle is passed over.
    """
    if path.is_file():
        return _digest_of_file(path)
    digest = hashlib.sha256()
    for file in sorted(_files_of(path)):
        digest.update(
            f"{file.relative_to(path).as_posix()}\0{_digest_of_file(file)}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


def _files_of(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    above |= {folder.resolve()}
    for entry in folder.iterdir():
        if entry.is_file():
            yield entry
        elif entry.is_dir() and entry.name != "__pycache__" and entry.resolve() not in above:
            yield from _files_of(entry, above)


def _digest_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
