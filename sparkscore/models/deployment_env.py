"""Build an archive with the Python packages that a deployment or its model lists (driver)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparkscore.config import load_deployment
from sparkscore.digest import digest_of_path
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.models.description import describe_model
from sparkscore.models.env_build import build_environment
from sparkscore.models.requirements import environment_of
from sparkscore.models.resolve import resolve_model
from sparkscore.record.runs_folder import runs_folder


@dataclass(frozen=True)
class BuiltEnvironment:
    """The result of `build_deployment_env`: a Python environment for the workers.

    Attributes:
        archive: path of the archive, which the workers unpack.
        requirements: the packages that the deployment or its model lists.
        source: the file or model that lists the packages, as it is named in messages.
    """

    archive: Path
    requirements: tuple[str, ...]
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary that ``sparkscore env build --json`` prints.

        The keys are ``archive`` (the path), ``sha256`` (the digest of the archive) and ``requirements``.
        """
        sha256 = digest_of_path(self.archive)
        return {"archive": str(self.archive), "sha256": sha256, "requirements": list(self.requirements)}


def build_env(
    deployment: str | Path,
    *,
    output: str | Path | None = None,
    wheels: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Build an archive with the packages that a deployment or its model lists, unless the archive exists already.

    Runs on the driver and does not need Spark. It must be called with the version of Python that the workers have.

    Args:
        deployment: path of the deployment file.
        output: folder for the archive, or None for the folder ``environments`` in the runs folder.
        wheels: folder with wheels to install the packages from, or None to let pip download them.
        settings: settings by their dotted names, which are merged into the deployment.

    Returns:
        a dictionary with the path of the ``archive`` for the setting ``python.archive``, its digest ``sha256``, and the
        listed packages as ``requirements``.

    Raises:
        ConfigError: the deployment is invalid, the deployment and its model list no packages, the list is for a
            different version of Python, or the packages cannot be installed.
        ModelError: the model cannot be found or read.
        MissingDependencyError: this Python cannot create virtual environments, or lacks a package that is needed to
            find or read the model.
    """
    return build_deployment_env(deployment, output=output, wheels=wheels, settings=settings or {}).as_dict()


def build_deployment_env(
    deployment: str | Path, *, output: str | Path | None, wheels: str | Path | None, settings: Mapping[str, object]
) -> BuiltEnvironment:
    """Build the archive as `build_env` does, and return it together with the file or model that lists the packages.

    Raises:
        SparkscoreError: the same errors as in `build_env`.
    """
    loaded = load_deployment(deployment, settings)
    model, has_script = resolve_model(loaded.model), loaded.code_configuration is not None
    description = None if has_script or model is None or loaded.model is None else describe_model(model, loaded.model)
    spec = environment_of(loaded, model, description)
    if spec is None or not spec.requirements:
        raise ConfigError(
            code=ErrorCode.REQUIREMENTS_MISSING,
            what="the deployment lists no packages",
            expected="'python.requirements', 'environment.conda_file', or a model that recorded its packages",
            next_step="Name a requirements file in 'python.requirements'.",
        )
    # The runs folder is the default, because it is never packed as a part of a script's code folder.
    folder = runs_folder() / "environments" if output is None else Path(output)
    archive = build_environment(spec, folder, None if wheels is None else Path(wheels))
    return BuiltEnvironment(archive, tuple(spec.requirements), spec.source)
