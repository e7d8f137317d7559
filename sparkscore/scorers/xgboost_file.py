"""Say how XGBoost is to open a model file (driver and worker)."""

from __future__ import annotations

from pathlib import Path


def file_or_bytes(path: Path) -> str | bytearray:
    """Give the path, or what the file holds where its ending does not tell the format, which the first bytes do.

    XGBoost guesses the format of such a file by its ending, and warns.
    """
    return str(path) if path.suffix.lower() in {".json", ".ubj"} else bytearray(path.read_bytes())
