"""Let XGBoost open model files without a warning about the file format. Runs on the driver and the workers."""

from __future__ import annotations

from pathlib import Path


def file_or_bytes(path: Path) -> str | bytearray:
    """Return the path or content of a model file, whichever XGBoost can open without a warning.

    XGBoost knows the format of ``.json`` and ``.ubj`` files. For a path with a different suffix, it guesses the format
    and issues a warning. Given the content instead, it detects the format from the first bytes and does not warn.
    """
    return str(path) if path.suffix.lower() in {".json", ".ubj"} else bytearray(path.read_bytes())
