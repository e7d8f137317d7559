"""Unload the modules that a script or a model imported from its own folder (worker)."""

from __future__ import annotations

import sys
from pathlib import Path


def forget_modules(folder: Path) -> None:
    """Remove from ``sys.modules`` what was imported from a folder, because other code may use the same names."""
    for name, module in list(sys.modules.items()):
        if any(Path(path).is_relative_to(folder) for path in _paths_of(module)):
            del sys.modules[name]


def _paths_of(module: object) -> list[str]:
    """Return the paths of a module's file and folders; a folder without ``__init__.py`` has no file."""
    # Not getattr(), which would make a lazy module load itself.
    known = getattr(module, "__dict__", {})
    return [path for path in (known.get("__file__"), *known.get("__path__", ())) if isinstance(path, str)]
