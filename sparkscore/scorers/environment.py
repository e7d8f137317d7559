"""Compare the installed packages with those that the deployment or the model lists (worker).

This code runs in the Python interpreter that runs the user's script or model.
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

# Names under which variants of the same package are published, for example for different hardware.
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
    """The version of Python and the packages that the workers should have. It can be pickled.

    Attributes:
        source: the file or model that lists the packages, as it is named in messages.
        requirements: the packages, as lines of a pip requirements file.
        python_version: the version of Python, or None for any version. Only the major and minor version are compared.
        is_strict: whether the run fails if a package is missing, or if a package or Python has a different version.
        conda_packages: the packages in a conda file that conda installs. They are not compared with the installed
            packages, and `sparkscore env build` does not install them.
    """

    source: str
    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    is_strict: bool = False
    conda_packages: tuple[str, ...] = ()


def differences_of(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Compare this Python and its installed packages with a specification, and describe each difference in a string.

    Some lines are ignored: URLs, paths, options of pip, and requirements whose marker excludes this Python or platform.

    Returns:
        a string for the version of Python if it differs, and then a string for each package that is missing or has a
        different version, in the order of the requirements. Empty if there are no differences.
    """
    found = [_difference(line) for line in spec.requirements]
    return tuple(text for text in (_python_difference(spec.python_version), *found) if text)


def check_environment(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Return how the installed packages differ from the listed ones, or raise an error if a strict check fails.

    The result is that of `differences_of`.

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
    """Return the names of a package and of its known variants, which install the same modules.

    The names are in pip's normalized spelling, in lower case. For most packages no variants are known, so that the
    result is one name.

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
