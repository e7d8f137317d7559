"""Distinguish sparkscore's own files and folders in a runs folder from the user's. Runs on the driver."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any, Final

from sparkscore.stage.layout import finished

#: Name of the file with which sparkscore marks a run's folder. Earlier versions did not write it.
RUN_MARKER: Final = ".sparkscore-run"
_STATES: Final = frozenset({"RUNNING", "COMPLETE", "HELD", "FAIL", "ABORT"})
# Files that earlier versions (which wrote no `RUN_MARKER`) wrote into a run's folder before its record.
_BEFORE_THE_RECORD: Final = re.compile(
    r"spark\.log(\..*)?|run\.log|script_(output|logs)|lock(\..*)?|identity\.key"
    r"|\.identity\.key\.[0-9]+|\.record\.json\.[0-9]+"
)
_UNFINISHED_BEFORE_IT: Final = {"record.json", "identity.key", "lock"}


def is_run_folder(folder: Path, run_id: str) -> bool:
    """Return whether a path is the folder of a run, or an empty folder.

    Args:
        folder: the path.
        run_id: id of the run. It is used only for folders without a marker file, which were made by earlier versions.
    """
    if not folder.is_dir():
        return False
    return (folder / RUN_MARKER).is_file() or _is_of_an_earlier_version(folder, run_id)


def _is_of_an_earlier_version(folder: Path, run_id: str) -> bool:
    """Return whether a folder was made for this run by an earlier version, which wrote no `RUN_MARKER`.

    The result is also True for an empty folder.
    """
    record, request = (read_json(folder / name) or {} for name in ("record.json", "request.json"))
    if record.get("run_id") == run_id and record.get("state") in _STATES and isinstance(record.get("config"), dict):
        return True
    options, directory = request.get("options"), request.get("working_directory")
    if isinstance(options, dict) and options.get("run_id") == run_id and isinstance(directory, str):
        return True
    found = os.listdir(folder)  # noqa: PTH208 - only the names are needed
    return not found or ("script_output" in found and all(map(_is_before_the_record, found)))


def _is_before_the_record(name: str) -> bool:
    return finished(name) in _UNFINISHED_BEFORE_IT or _BEFORE_THE_RECORD.fullmatch(name) is not None


def read_json(path: Path, longest: float = math.inf) -> dict[str, Any] | None:
    """Return the JSON object in a file, or None if the file cannot be read or does not contain a JSON object.

    Args:
        path: path of the file.
        longest: largest allowed size of the file in bytes. If it is exceeded, None is returned.
    """
    try:
        if not path.is_file() or path.stat().st_size > longest:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
