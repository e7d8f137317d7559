"""Modules that the code of a script or of a model has imported from its own folder (worker)."""

from __future__ import annotations

import sys
from pathlib import Path


def forget_modules(folder: Path) -> None:
    """Forget the modules that were imported from a folder: other code may have some of the same names."""
    for name, module in list(sys.modules.items()):
        if any(Path(place).is_relative_to(folder) for place in _places_of(module)):
            del sys.modules[name]


def _places_of(module: object) -> list[str]:
    """Return a module's file and folders; a folder without ``__init__.py`` is a module without a file."""
    # Not getattr(): a module that loads itself late would do so here.
    known = getattr(module, "__dict__", {})
    return [place for place in (known.get("__file__"), *known.get("__path__", ())) if isinstance(place, str)]
