"""Compare the installed packages with those that the deployment or model requires. Runs on the workers.

This code runs in the same Python interpreter as the user's script or model.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import EnvironmentMismatchError

# Names of packages that are variants of each other, for example for different hardware.
_SAME: Final = tuple(
    map(
        frozenset,
        (
            ("faiss-cpu", "faiss-gpu"),
            ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
            ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
            ("psycopg2", "psycopg2-binary"),
            ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-intel", "tensorflow-macos"),
            ("xgboost", "xgboost-cpu"),
        ),
    )
)


@dataclass(frozen=True)
class EnvironmentSpec:
    """The Python version and packages that the workers should have. Instances can be pickled.

    Attributes:
        source: the file or model that lists the packages, as named in messages.
        requirements: the packages, as lines of a pip requirements file.
        python_version: the Python version, or None for any version. Only the major and minor versions are compared.
        is_strict: whether the run fails if a package is missing or if the version of a package or of Python differs.
        conda_packages: packages in a conda file that conda, not pip, installs. They are neither compared with the
            installed packages nor installed by ``sparkscore env build``.
    """

    source: str
    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    is_strict: bool = False
    conda_packages: tuple[str, ...] = ()


def differences_of(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Describe how this Python and its installed packages differ from a specification.

    URLs, paths, pip options, and requirements whose marker excludes this Python or platform are ignored.

    Returns:
        one string for the Python version if it differs, followed by one for each package that is missing or has a
        different version, in the order of the requirements.
    """
    found = [_difference(line) for line in spec.requirements]
    return tuple(text for text in (_python_difference(spec.python_version), *found) if text)


def check_environment(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Return the differences that `differences_of` finds, or raise an error if there are any and the check is strict.

    Raises:
        EnvironmentMismatchError: the check is strict and there are differences. The message lists all of them.
    """
    differences = differences_of(spec)
    if differences and spec.is_strict:
        raise EnvironmentMismatchError(
            code=ErrorCode.ENVIRONMENT_MISMATCH,
            what=f"the workers' packages are not those of {spec.source}",
            got="; ".join(differences),
            next_step="Install them on the workers, build an environment with 'sparkscore env build', "
            "or set 'python.check: warn'.",
        )
    return differences


def _python_difference(wanted: str | None) -> str:
    here = platform.python_version()
    same = wanted is None or here.split(".")[:2] == wanted.split(".")[:2]
    return "" if same else f"Python {here} instead of {wanted}"


def _difference(line: str) -> str:
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        return ""
    if wanted.url or (wanted.marker is not None and not wanted.marker.evaluate()):
        return ""
    asked = str(wanted.specifier) or "any version"
    here = next((found for name in sorted(names_of_the_same(wanted.name)) if (found := _version_of(name))), None)
    if here is None:
        return f"{wanted.name} is missing ({asked})"
    return "" if wanted.specifier.contains(here, prereleases=True) else f"{wanted.name} {here} instead of {asked}"


def names_of_the_same(package: str) -> frozenset[str]:
    """Return the normalized names of a package and its known variants, which install the same modules.

    Most packages have no known variants, so the result is usually just the package's own name.

    >>> sorted(names_of_the_same("PSycopg2"))
    ['psycopg2', 'psycopg2-binary']
    """
    name = canonicalize_name(package)
    return next((group for group in _SAME if name in group), frozenset({name}))


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
