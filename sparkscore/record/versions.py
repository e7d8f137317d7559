"""Find the versions of Python and packages, and a folder's git commit. Runs on the driver."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def version_or_none(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def version_of_python() -> str:
    """Return the Python version of this process."""
    return platform.python_version()


def git_commit_of(folder: Path) -> str | None:
    """Return the git commit of the repository that contains a folder, or None if it cannot be found.

    If tracked files differ from the commit, the returned string ends in ``-dirty``. The result is None if the folder is
    in no repository, or if git cannot be run or takes more than 20 seconds.
    """
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
