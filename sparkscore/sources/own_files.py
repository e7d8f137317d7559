"""Recognise what sparkscore itself writes and an input may hold: folders of runs, stages, locks (driver)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError
from sparkscore.record.runs_folder import RUNS_MARKER
from sparkscore.record.shape import RUN_MARKER

#: Why what sparkscore wrote is no item.
OWN: Final = "sparkscore's own: a folder of runs, a stage, a lock"
_IDENTITY: Final = re.compile(r"\w+:[0-9a-f]{16}( \w+:[0-9a-f]{16})*\s*")
_LONGEST_NOTE: Final = 2000
# What a script wrote there is its user's.
_OF_SCRIPTS: Final = ("script_output", "script_logs")


def is_own_folder(folder: Path) -> bool:
    """Whether a folder is one of runs, of one run, or a stage."""
    return (folder / RUNS_MARKER).exists() or _is_run(folder) or _is_stage(folder)


def is_own_file(path: Path) -> bool:
    """Whether a file is the lock of a run or a stage, or a part of one."""
    if ".lock" not in path.name:
        return False
    try:
        content = json.loads(_start_of(path))
    except ValueError:
        return False
    return isinstance(content, dict) and {"token", "host", "pid"} <= content.keys()


def refuse_own(path: Path) -> None:
    """Refuse an input that is named and that sparkscore itself wrote and may change or remove.

    What scripts wrote into the folder of their run may be an input.

    Raises:
        SourceError: it is a folder of runs, or is or lies in a run's folder or a stage.
    """
    above = [folder for folder in (path, *path.parents) if _is_stage(folder) or _is_run(folder)]
    is_of_script = bool(above) and _is_run(above[0]) and path.relative_to(above[0]).parts[:1] in _FOLDERS_OF_SCRIPTS
    if is_of_script or not (above or (path / RUNS_MARKER).exists()):
        return
    raise SourceError(
        code=ErrorCode.INPUT_OWN_FILES,
        what=f"input '{path}'",
        got="files of sparkscore's own runs: records, logs, rows that are not published",
        expected="files to score",
        next_step="Name the files to score, or a folder above: sparkscore's own are left out there. A result is in "
        "the output of its run.",
    )


_FOLDERS_OF_SCRIPTS: Final = {(name,) for name in _OF_SCRIPTS}


def _is_run(folder: Path) -> bool:
    return (folder / RUN_MARKER).is_file() or (
        (folder / "record.json").is_file() and (folder / _OF_SCRIPTS[0]).is_dir()
    )


def _is_stage(folder: Path) -> bool:
    note = folder / "identity"
    return note.is_file() and _IDENTITY.fullmatch(_start_of(note)) is not None


def _start_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_LONGEST_NOTE).decode(errors="replace")
    except OSError:
        return ""
