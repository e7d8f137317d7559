"""Find the versions of Python and packages that should be the same on the driver and the workers.

Runs on the driver and on the workers.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

_PACKAGES: Final = ("sparkscore", "pandas", "pyarrow", "numpy")


def versions_here() -> dict[str, str]:
    """Return the versions of Python, sparkscore, pandas, pyarrow and numpy in this process.

    Raises:
        PackageNotFoundError: a package is not installed.
    """
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, **{package: version(package) for package in _PACKAGES}}
