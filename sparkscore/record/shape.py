"""Whether a file in the folder of runs is what sparkscore wrote there, or something of others (driver)."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any, Final

# What lies in the folder of a run before its record does.
_BEFORE_THE_RECORD: Final = re.compile(
    r"spark\.log(\..*)?|run\.log|script_(output|logs)|lock(\..*)?|\.?identity\.key(\.[0-9]+)?|\.record\.json\.[0-9]+"
)


def is_run_folder(folder: Path, run_id: str) -> bool:
    """Whether sparkscore has made a folder for a run of this name, or the folder is empty."""
    if not folder.is_dir():
        return False
    record, request = (read_json(folder / name) or {} for name in ("record.json", "request.json"))
    # Earlier versions kept other parts.
    if record.get("run_id") == run_id and isinstance(record.get("state"), str):
        return True
    options = request.get("options")
    if isinstance(options, dict) and options.get("run_id") == run_id:
        return True
    with os.scandir(folder) as entries:
        return all(_BEFORE_THE_RECORD.fullmatch(entry.name) for entry in entries)


def read_json(path: Path, longest: float = math.inf) -> dict[str, Any] | None:
    """Read a JSON object; None for anything else, such as a folder, a pipe, or half a file."""
    try:
        if not path.is_file() or path.stat().st_size > longest:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
