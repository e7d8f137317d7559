"""Open a model file with XGBoost without its warning about the file's format (driver and worker)."""

from __future__ import annotations

from pathlib import Path


def file_or_bytes(path: Path) -> str | bytearray:
    """Return the argument with which XGBoost opens a model file: its path, or its content.

    XGBoost decides the format by the endings ``.json`` and ``.ubj``. For other endings it guesses and warns, so it gets
    the content, whose first bytes tell the format.
    """
    return str(path) if path.suffix.lower() in {".json", ".ubj"} else bytearray(path.read_bytes())
