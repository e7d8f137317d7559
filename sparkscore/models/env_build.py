"""Build an archive of Python packages for the workers to unpack. Runs on the driver.

The archive does not contain Python itself. The workers use their own Python, which may have a different path but must
have the same minor version as the Python that built the archive.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, MissingDependencyError
from sparkscore.printable import printable
from sparkscore.removal import temporary_folder
from sparkscore.scorers.environment import EnvironmentSpec
from sparkscore.stage.store import writing
from sparkscore.stage.surroundings import open_store

logger = logging.getLogger("sparkscore")

# Packages that sparkscore itself imports on the workers.
_OWN_NEEDS: Final = ("numpy", "packaging", "pandas", "pyarrow")


def build_environment(spec: EnvironmentSpec, folder: Path, wheels: Path | None = None) -> Path:
    """Install packages into a new virtual environment, pack it, and return the path of the archive.

    The packages that sparkscore itself needs on the workers are added unless ``spec`` names them. If the folder already
    has an archive for the same packages and Python minor version, nothing is built, and the path of that archive
    is returned.

    Args:
        spec: the packages and the Python version.
        folder: folder for the archive.
        wheels: folder of wheels to install the packages from. By default, pip downloads the packages.

    Raises:
        ConfigError: the packages cannot be installed, or ``spec`` is for a different Python minor version than the
            running one.
        MissingDependencyError: this Python cannot create virtual environments.
    """
    _refuse_other_python(spec)
    requirements = [*spec.requirements, *_missing_own(spec.requirements)]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join([python, *sorted(requirements)]).encode()).hexdigest()[:16]
    archive = folder / f"python{python}-{digest}.tar.gz"
    if archive.is_file():
        logger.info("the environment was built before")
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder("sparkscore-env-") as folder_of_build:
        environment = folder_of_build / "environment"
        _make(environment)
        _install(environment, requirements, wheels)
        _pack(environment, archive)
    return archive


def _missing_own(requirements: Sequence[str]) -> list[str]:
    """Return requirements for the packages that sparkscore needs on the workers, except those already listed.

    Each requirement is pinned to the version of the package that this process uses.
    """
    named = {_name_of(line) for line in requirements}
    return [f"{name}=={version(name)}" for name in _OWN_NEEDS if name not in named]


def _name_of(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:  # a URL or a path, which pip understands
        return ""


def _refuse_other_python(spec: EnvironmentSpec) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = ".".join((spec.python_version or here).split(".")[:2])
    if wanted != here:
        raise ConfigError(
            code=ErrorCode.ENVIRONMENT_PYTHON,
            what=f"{spec.source} asks for Python {wanted}",
            got=f"Python {here}, which runs sparkscore",
            next_step=f"Run 'sparkscore env build' with Python {wanted}, the one of the workers.",
        )


def _make(environment: Path) -> None:
    done = _run([sys.executable, "-m", "venv", str(environment)])
    if done.returncode:
        raise MissingDependencyError(
            code=ErrorCode.VENV_MISSING,
            what="this Python cannot make virtual environments",
            got=_last_line(done.stderr),
            next_step="Install its module venv (on Debian: apt install python3-venv).",
        )


def _install(environment: Path, requirements: Sequence[str], wheels: Path | None) -> None:
    source = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = _run([*pip, *source, *requirements])
    if done.returncode:
        raise ConfigError(
            code=ErrorCode.ENVIRONMENT_INSTALL,
            what="the requirements cannot be installed",
            got=_last_line(done.stderr),
            next_step="Correct the requirements; pip's output is above.",
        )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - built in this module
    if done.returncode:
        sys.stderr.write("\n".join(map(printable, done.stderr.split("\n"))))
    return done


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("ERROR")] or text.splitlines() or [""]
    return lines[-1].removeprefix("ERROR: ")


def _pack(environment: Path, archive: Path) -> None:
    with (
        writing(open_store(archive.parent), archive.name) as file,
        tarfile.open(fileobj=cast("IO[bytes]", file), mode="w:gz", compresslevel=4) as packed,
    ):
        for name in ("pyvenv.cfg", "lib"):
            packed.add(environment / name, name, filter=_without_caches)


def _without_caches(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.endswith("__pycache__") else entry
