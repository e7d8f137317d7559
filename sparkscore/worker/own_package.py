"""Compute a digest of the installed package sparkscore, to compare driver and workers (driver and worker)."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@lru_cache(maxsize=1)
def package_digest() -> str:
    """Return a digest of the package's modules. It does not depend on whether the package is a folder or in a zip."""
    digest = hashlib.sha256()
    for name, content in sorted(_modules()):
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def package_version() -> str:
    """Return the version of the package, or ``of an unknown version`` if it has no metadata, as in a zip."""
    try:
        return version("sparkscore")
    except PackageNotFoundError:
        return "of an unknown version"


def _modules() -> Iterator[tuple[str, bytes]]:
    """Yield the name of each module's file, relative to the package, and its content."""
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
