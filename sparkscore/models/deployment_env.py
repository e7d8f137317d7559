"""Build an archive of the Python packages that a deployment or its model lists. Runs on the driver."""

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
from sparkscore.record.listing import runs_folder


@dataclass(frozen=True)
class BuiltEnvironment:
    """A Python environment for the workers, as built by `build_deployment_env`.

    Attributes:
        archive: path of the archive, which the workers unpack.
        requirements: the packages that the deployment or its model lists.
        source: the file or model that lists the packages, as named in messages.
    """

    archive: Path
    requirements: tuple[str, ...]
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary that ``sparkscore env build --json`` prints.

        Its keys are ``archive`` (the path), ``sha256`` (the archive's digest) and ``requirements``.
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
    """Build an archive of the packages that a deployment or its model lists, unless the archive already exists.

    This runs on the driver and does not need Spark. Call it with the Python version of the workers.

    Args:
        deployment: path of the deployment file.
        output: folder for the archive. Defaults to the ``environments`` folder in the runs folder.
        wheels: folder of wheels to install the packages from. By default, pip downloads the packages.
        settings: settings to merge into the deployment, keyed by dotted name.

    Returns:
        a dictionary with the keys ``archive`` (the path to set as ``python.archive``), ``sha256`` (the archive's
        digest) and ``requirements`` (the listed packages).

    Raises:
        ConfigError: the deployment is invalid, no packages are listed, the list is for a different Python version, or
            the packages cannot be installed.
        ModelError: the model cannot be found or read.
        MissingDependencyError: this Python cannot create virtual environments, or a package that is needed to find or
            read the model is not installed.
    """
    return build_deployment_env(deployment, output=output, wheels=wheels, settings=settings or {}).as_dict()


def build_deployment_env(
    deployment: str | Path, *, output: str | Path | None, wheels: str | Path | None, settings: Mapping[str, object]
) -> BuiltEnvironment:
    """Build the same archive as `build_env`, and also return which file or model lists the packages.

    Raises:
        SparkscoreError: see `build_env`.
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
    # The runs folder is the default, because it is never packed with a script's code folder.
    folder = runs_folder() / "environments" if output is None else Path(output)
    archive = build_environment(spec, folder, None if wheels is None else Path(wheels))
    return BuiltEnvironment(archive, tuple(spec.requirements), spec.source)
