"""Recognize sparkscore's own files, so that they are not read as input. Runs on the driver.

The folder of an input may contain stages, lock files, run folders, or a whole runs folder.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.record.runs_folder import RUNS_MARKER
from sparkscore.record.shape import RUN_MARKER
from sparkscore.stage.layout import IDENTITY

#: The reason shown for sparkscore's own files that are left out of an input.
OWN: Final = "sparkscore's own: a folder of runs, a stage, a lock"
_DIGESTS: Final = re.compile(r"\w+:[0-9a-f]{16}( \w+:[0-9a-f]{16})*\s*")
_LONGEST_NOTE: Final = 2000
# The folders inside a run's folder that contain the scoring script's files. They may be used as input.
_OF_SCRIPTS: Final = ("script_output", "script_logs")


def is_own_folder(folder: Path) -> bool:
    """Return whether a folder is a runs folder, the folder of a run, or a stage."""
    return (folder / RUNS_MARKER).exists() or _is_run(folder) or _is_stage(folder)


def is_own_file(path: Path) -> bool:
    """Return whether a file is the lock of a run or stage, or a temporary file of such a lock."""
    if ".lock" not in path.name:
        return False
    try:
        content = json.loads(_start_of(path))
    except ValueError:
        return False
    return isinstance(content, dict) and {"token", "host", "pid"} <= content.keys()


def refuse_own(path: Path) -> None:
    """Raise an error if an input location belongs to sparkscore's runs.

    Such locations are runs folders, the folders of runs, stages, and anything inside the folder of a run or a stage.
    sparkscore may change or remove the files in them. The files that a scoring script wrote to the folder of its run
    are an exception: they may be used as input.

    Raises:
        SourceError: the path belongs to sparkscore's runs.
    """
    above = [folder for folder in (path, *path.parents) if _is_stage(folder) or _is_run(folder)]
    is_of_script = bool(above) and _is_run(above[0]) and path.relative_to(above[0]).parts[:1] in _FOLDERS_OF_SCRIPTS
    if is_of_script or not (above or (path / RUNS_MARKER).exists()):
        return
    raise SourceError(
        code=ErrorCode.INPUT_OWN_FILES,
        what=f"input '{path}'",
        got="files that sparkscore wrote for its runs: records, logs, rows that are not published",
        expected="files to score",
        next_step="Set the location of the files to score. Or set a folder above: such files are left out there. "
        "The result of a run is in its output.",
    )


_FOLDERS_OF_SCRIPTS: Final = {(name,) for name in _OF_SCRIPTS}


def _is_run(folder: Path) -> bool:
    """Return whether a folder is the folder of a run.

    The folder of a run contains a marker file. Runs of earlier versions of sparkscore are recognized by their run
    record and the folder for the script's files.
    """
    return (folder / RUN_MARKER).is_file() or (
        (folder / "record.json").is_file() and (folder / _OF_SCRIPTS[0]).is_dir()
    )


def _is_stage(folder: Path) -> bool:
    """Return whether a folder is a stage. A stage is recognized by the file that contains the run's digests."""
    note = folder / IDENTITY
    return note.is_file() and _DIGESTS.fullmatch(_start_of(note)) is not None


def _start_of(path: Path) -> str:
    """Return the first 2,000 bytes of a file as a string, or an empty string if the file cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(_LONGEST_NOTE).decode(errors="replace")
    except OSError:
        return ""
