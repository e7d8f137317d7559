"""Open model files with XGBoost without a warning about the format of the file (driver and worker)."""

from __future__ import annotations

from pathlib import Path


def file_or_bytes(path: Path) -> str | bytearray:
    """Return the argument that XGBoost needs to open a model file: the path of the file, or its content.

    XGBoost knows the format of files with the endings ``.json`` and ``.ubj``. For a path with a different ending, it
    guesses the format and warns. It does not warn if it gets the content, whose first bytes show the format.
    """
    return str(path) if path.suffix.lower() in {".json", ".ubj"} else bytearray(path.read_bytes())
