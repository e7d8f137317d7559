"""Compare the packages of the interpreter that scores with those that the model was made with (worker)."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement

from sparkscore.errors import EnvironmentMismatchError


@dataclass(frozen=True)
class EnvironmentSpec:
    """What the interpreter that scores must have; plain and picklable.

    Attributes:
        source: where the requirements stand, in words.
        requirements: requirements of packages, as pip has them.
        python_version: the version of Python; only major and minor count. None where any will do.
        is_strict: whether a difference fails the run.
    """

    source: str
    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    is_strict: bool = False


def differences_of(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Say in what this interpreter differs from the requirements, a text for each difference, in their order.

    Runs in the interpreter that scores. A line that is no plain requirement (an address, an option) is passed over.
    """
    found = [_difference(line) for line in spec.requirements]
    return tuple(text for text in (_python_difference(spec.python_version), *found) if text)


def check_environment(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Give the differences, or refuse them where the deployment is strict.

    Raises:
        EnvironmentMismatchError: code ``ENVIRONMENT_MISMATCH``, with every difference.
    """
    differences = differences_of(spec)
    if differences and spec.is_strict:
        raise EnvironmentMismatchError(
            code="ENVIRONMENT_MISMATCH",
            what=f"the workers' packages are not those of {spec.source}",
            got="; ".join(differences),
            next_step="Install them on the workers, let 'sparkscore env build' make an environment, "
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
    try:
        here = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is missing ({asked})"
    return "" if wanted.specifier.contains(here, prereleases=True) else f"{wanted.name} {here} instead of {asked}"
