"""Compute a digest of sparkscore's modules, to check that the driver and the workers have the same ones.

Runs on the driver and the workers.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@lru_cache(maxsize=1)
def package_digest() -> str:
    """Return a digest of sparkscore's modules. It is the same for a package folder and a ZIP archive of the folder."""
    digest = hashlib.sha256()
    for name, content in sorted(_modules()):
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def package_version() -> str:
    """Return the version of sparkscore, or ``of an unknown version`` if the package has no metadata."""
    try:
        return version("sparkscore")
    except PackageNotFoundError:
        return "of an unknown version"


def _modules() -> Iterator[tuple[str, bytes]]:
    """Yield the path of each module's file, relative to the package folder, and the file's content."""
    folder = Path(__file__).parents[1]
    if folder.is_dir():
        for path in folder.rglob("*.py"):
            yield path.relative_to(folder).as_posix(), path.read_bytes()
        return
    # The package was imported from a zip: '.../sparkscore.zip/sparkscore'.
    with zipfile.ZipFile(folder.parent) as archive:
        for name in archive.namelist():
            if name.startswith("sparkscore/") and name.endswith(".py"):
                yield name.removeprefix("sparkscore/"), archive.read(name)
