"""Unload the modules that a script or a model imported from its own folder. Runs on the workers."""

from __future__ import annotations

import sys
from pathlib import Path


def forget_modules(folder: Path) -> None:
    """Unload the modules that were imported from a folder, by removing them from ``sys.modules``.

    Code that later imports a module of the same name then does not get the one from this folder.
    """
    # To compare paths takes 10 microseconds for each of thousands of modules, of which nearly all are elsewhere.
    longest = max(folder.parts, key=len)
    for name, module in list(sys.modules.items()):
        if any(longest in path and Path(path).is_relative_to(folder) for path in _paths_of(module)):
            del sys.modules[name]


def _paths_of(module: object) -> list[str]:
    """Return the paths of a module's file, if it has one, and of its folders, if it is a package.

    A package without ``__init__.py`` has folders but no file.
    """
    # getattr() is avoided, because it would load modules that are loaded lazily on first access.
    known = getattr(module, "__dict__", {})
    return [path for path in (known.get("__file__"), *known.get("__path__", ())) if isinstance(path, str)]
