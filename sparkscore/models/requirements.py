"""Find the Python packages that a deployment needs. Runs on the driver.

The packages are listed by the deployment itself, by Azure's conda file or by the model.
`sparkscore.scorers.environment` compares them with the packages installed on the workers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.models.model_description import ModelDescription
from sparkscore.models.resolve import ResolvedModel
from sparkscore.scorers.environment import EnvironmentSpec

logger = logging.getLogger("sparkscore")

# Azure's own packages, which `sparkscore.scripts.azure_stand_ins` replaces.
_AZURES_OWN: Final = re.compile(r"azureml[-_.]", re.IGNORECASE)
_CONDA_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)\s*=\s*([0-9][^=,\s]*)(=\S+)?")


def environment_of(
    deployment: Deployment, model: ResolvedModel | None, description: ModelDescription | None
) -> EnvironmentSpec | None:
    """Return the packages and the Python version that the workers should have, or None if they are not listed anywhere.

    Only one list is used. In order of preference, this is the file named in ``python.requirements``, Azure's
    ``environment.conda_file``, or the packages that MLflow recorded in the model. If the conda file cannot be read and
    ``python.check`` is not strict, a warning is logged and the model's packages are used.

    The packages of a ``pyspark.ml`` pipeline are ignored, because it runs inside Spark. So are pip packages whose names
    begin with ``azureml-``.

    Args:
        deployment: the deployment.
        model: the model and its files, or None if the deployment has no model.
        description: the model's description, or None if there is no model or a scoring script loads the model.

    Raises:
        ConfigError: the file named in ``python.requirements`` cannot be read. If ``python.check`` is strict, this error
            is also raised if the conda file cannot be read or no packages are listed.
    """
    is_strict = deployment.python.check == "strict"
    found = _own(deployment) or _azures(deployment) or _recorded(model, description)
    if found is None and is_strict:
        raise ConfigError(
            code=ErrorCode.REQUIREMENTS_MISSING,
            what="'python.check: strict' has nothing to check",
            expected="'python.requirements', 'environment.conda_file', or an MLflow model that recorded its packages",
            next_step="Name a requirements file in 'python.requirements', or remove the line.",
        )
    if found is None:
        return None
    source, lines, python, conda = found
    wanted = tuple(line for line in lines if not _AZURES_OWN.match(line))
    return EnvironmentSpec(source, wanted, python, is_strict, tuple(conda))


def recorded_requirements(folder: Path) -> tuple[str, ...]:
    """Return the packages that MLflow recorded in a model folder, as lines of a pip requirements file.

    They come from ``requirements.txt``, or from the pip packages in ``conda.yaml`` if there is no ``requirements.txt``.
    Comments and pip options are left out.
    """
    file = folder / "requirements.txt"
    if file.is_file():
        return _plain_lines(file.read_text(encoding="utf-8", errors="replace").splitlines())
    return _plain_lines(_pip_lines(_read_yaml(folder / "conda.yaml")))


def recorded_python(folder: Path) -> str | None:
    """Return the Python version that MLflow recorded in a model folder, or None if it is not recorded.

    MLflow records the version in ``python_env.yaml``.
    """
    version = _read_yaml(folder / "python_env.yaml").get("python")
    return None if version is None else str(version)


# The list's name for messages, the pip packages, the Python version, and the conda packages.
_Found = tuple[str, Iterable[str], str | None, Iterable[str]]


def _own(deployment: Deployment) -> _Found | None:
    file = deployment.python.requirements
    if file is None:
        return None
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable("python.requirements", file, error) from error
    # A backslash at the end of a line continues it on the next line, for example before a --hash option.
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return f"'{Path(file).name}'", _plain_lines(re.sub(r"\s--hash=\S+", "", line) for line in lines), None, ()


def _azures(deployment: Deployment) -> _Found | None:
    conda = None if deployment.environment is None else deployment.environment.conda_file
    if conda is None:
        return None
    if isinstance(conda, str):
        try:
            conda = yaml.safe_load(Path(conda).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            unreadable = _unreadable("environment.conda_file", conda, error)
            if deployment.python.check == "strict":
                raise unreadable from error
            # Azure ML needs this file to run the deployment, but sparkscore does not.
            logger.warning("the workers' packages are not compared: %s", unreadable.sentence)
            return None
    content = conda if isinstance(conda, dict) else {}
    return (
        "'environment.conda_file'",
        _plain_lines(_pip_lines(content)),
        _python_of_conda(content),
        _conda_lines(content),
    )


def _recorded(model: ResolvedModel | None, description: ModelDescription | None) -> _Found | None:
    if model is None or (description is not None and description.model_format == "spark"):
        return None
    python = recorded_python(model.path) if description is None else description.python_version
    lines = recorded_requirements(model.path) if model.path.is_dir() else ()
    return (f"model '{model.name}'", lines, python, ()) if lines or python else None


def _plain_lines(lines: Iterable[str]) -> tuple[str, ...]:
    found = [line.split(" #")[0].strip() for line in lines]
    return tuple(line for line in found if line and not line.startswith(("#", "-")))


def _pip_lines(conda: dict[str, Any]) -> list[str]:
    entries = conda.get("dependencies")
    listed = entries if isinstance(entries, list) else []
    return [str(line) for entry in listed if isinstance(entry, dict) for line in entry.get("pip") or ()]


def _conda_lines(conda: dict[str, Any]) -> list[str]:
    entries = conda.get("dependencies")
    return [entry for entry in (entries if isinstance(entries, list) else []) if isinstance(entry, str)]


def _python_of_conda(conda: dict[str, Any]) -> str | None:
    entries = conda.get("dependencies")
    for entry in entries if isinstance(entries, list) else []:
        pin = _CONDA_PIN.fullmatch(re.sub("==", "=", entry)) if isinstance(entry, str) else None
        if pin and pin[1] == "python":
            return pin[2]
    return None


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, or an empty dictionary if the file is unreadable or contains no mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _unreadable(key: str, file: str, error: Exception) -> ConfigError:
    return ConfigError(
        code=ErrorCode.REQUIREMENTS_UNREADABLE,
        what=f"the file of '{key}' cannot be read: '{file}'",
        got=type(error).__name__,
        next_step=f"Correct '{key}'.",
    )
