"""Tell users how to install a package if its module is missing on the workers. Runs on the workers.

A module's name can differ from the name of its package. `importlib.metadata` only knows the modules of installed
packages, so this module has its own list of well-known packages.
"""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sparkscore.outcome import Failure
from sparkscore.scorers.environment import EnvironmentSpec, names_of_the_same

# Top-level module names that are shared by many packages.
_SHARED: Final = frozenset({"azure", "backports", "google", "nvidia", "opentelemetry", "ruamel"})
_PACKAGES: Final = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "imblearn": "imbalanced-learn",
    "jwt": "pyjwt",
    "Crypto": "pycryptodome",
    "Levenshtein": "levenshtein",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "sksurv": "scikit-survival",
    "slugify": "python-slugify",
    "yaml": "pyyaml",
}


def advise_on_package(failure: Failure, environment: EnvironmentSpec | None) -> Failure:
    """Add a next step to a failure that was caused by a missing module: how to install the module's package.

    A failure with any other cause, or one that already has a next step, is returned unchanged.

    Args:
        failure: the failure of the user's script or model.
        environment: the packages that the deployment or its model lists, or None if neither lists any.
    """
    if failure.next_step or not failure.missing_module:
        return failure
    return replace(failure, next_step=_advice(failure.missing_module, environment))


def _advice(module: str, environment: EnvironmentSpec | None) -> str:
    top = module.partition(".")[0]
    package = _PACKAGES.get(top, top)
    if top in _SHARED:
        return (
            f"Module '{module}' is not installed on the workers, and many packages share the name '{top}'. "
            f"{_how_to_get(module.replace('.', '-'), environment)}"
        )
    if (installed := _version_of(top, package)) is not None:
        return (
            f"Package '{package}' is installed on the workers ({installed}) but has no such module: the code needs "
            f"another version. {_how_to_get(package, environment)}"
        )
    own = f" If '{top}' is one of your files, put it into the code folder."
    return f"Package '{package}' is not installed on the workers. {_how_to_get(package, environment)}{own}"


def _version_of(top: str, package: str) -> str | None:
    """Return the installed version of a package, or None if its top-level module is not installed.

    If the module is installed but no package named `package` is, the result is "version unknown".

    Args:
        top: name of the top-level module.
        package: name of the package that the module probably belongs to.
    """
    try:
        if find_spec(top) is None:
            return None
    except (ImportError, ValueError):
        return None
    try:
        return version(package)
    except PackageNotFoundError:
        return "version unknown"


def _how_to_get(package: str, environment: EnvironmentSpec | None) -> str:
    build = "build that environment with 'sparkscore env build' for 'python.archive'"
    other = "name an interpreter that has it in 'python.path'"
    if environment is None:
        return f"The deployment lists no packages: name a file in 'python.requirements' and {build}, or {other}."
    line = next((line for line in environment.requirements if _is_of(line, package)), None)
    if line is not None:
        return f"{_sentence(environment.source)} lists it ('{line}'): {build}, or {other}."
    line = next((line for line in environment.conda_packages if _is_of(line, package)), None)
    if line is not None:
        return (
            f"{_sentence(environment.source)} lists it for conda ('{line}'): list it under pip and {build}, or {other}."
        )
    return f"{_sentence(environment.source)} does not list it: add it there and {build}, or {other}."


def _is_of(line: str, package: str) -> bool:
    try:
        name = Requirement(line).name
    except InvalidRequirement:
        name = re.split(r"[=<>!~ \[]", line.rpartition("::")[2], maxsplit=1)[0]
    is_shared = package.partition("-")[0] in _SHARED
    plain = canonicalize_name(name)
    return plain.startswith(f"{package}-") if is_shared else plain in names_of_the_same(package)


def _sentence(source: str) -> str:
    return source[:1].upper() + source[1:]
