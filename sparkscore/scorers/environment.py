"""Compare the packages of the interpreter that scores with those that the deployment or model asks for (worker)."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import EnvironmentMismatchError

# Packages that are published under several names, for other hardware or without graphical parts.
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
    """The packages and the Python that the interpreter that scores should have; picklable.

    Attributes:
        source: the file or model that lists the requirements, as messages call it.
        requirements: the packages, as lines of a pip requirements file.
        python_version: the version of Python, of which only major and minor count; None if any version will do.
        is_strict: whether a difference fails the run.
        conda_packages: packages that a conda file installs with conda; they are neither compared nor built.
    """

    source: str
    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    is_strict: bool = False
    conda_packages: tuple[str, ...] = ()


def differences_of(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Return one text for each difference between this interpreter and the requirements, in their order.

    Runs in the interpreter that scores. Lines that are not plain requirements (an address, an option) are ignored.
    """
    found = [_difference(line) for line in spec.requirements]
    return tuple(text for text in (_python_difference(spec.python_version), *found) if text)


def check_environment(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Return the differences between this interpreter and the requirements; raise if the deployment is strict.

    Raises:
        EnvironmentMismatchError: code ``ENVIRONMENT_MISMATCH``, with every difference.
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
    """Return the names of all packages that install the same modules as this one, including its own name.

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
