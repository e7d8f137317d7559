"""The names of all that lies in a run's stage, by which its end tells our files from the user's (driver and worker)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

#: Folder of an output that holds stages and their locks.
STAGE_FOLDER: Final = "_sparkscore"
#: File of a stage that sparkscore made; a folder without it is somebody else's.
MARKER: Final = ".sparkscore-stage"
IDENTITY: Final = "identity"
#: Place of the run's folder, whose record says whether the run is held.
RUN: Final = "run"
#: Mark of a held run in a stage that an earlier version of sparkscore made.
HELD: Final = "held"
#: Beginning of the note that a run makes a table where nothing was.
FIRST_COMMIT: Final = "first-commit-"
PLAN: Final = "plan.parquet"
PROBE: Final = "probe"
#: Which columns have a NULL.
NULLS: Final = "nulls"
STOP: Final = "stop"
CHUNKS: Final = "done"
PROGRESS: Final = "progress"
ATTEMPTS: Final = "attempts"
QUARANTINE: Final = "quarantine"
MODELS: Final = "models"
ARCHIVES: Final = "python"
#: Beginning of the folders that scripts are unpacked into; their names are random.
SCRIPTS: Final = "sparkscore-script-"
#: Beginning of the folder in which a part of the result is gathered before it is shown.
PUBLISHED: Final = "published-"
#: List of the files that were copied into a folder, because their names are the user's.
COPIED: Final = ".copied-files"
#: A copy that is being made.
UNFINISHED: Final = ".unfinished"

_HEX = "[0-9a-f]{32}"
_ATTEMPT = rf"({ATTEMPTS}|{QUARANTINE})/[0-9]{{5,}}-{_HEX}"
_PARTITIONS = "([^/]+=[^/]*/)*"
_PART = rf"part-[0-9]{{5,}}-({_HEX}-[0-9]{{4,}}|empty)\.parquet"
_RESULT = re.compile(_PART)
_FILES = re.compile(
    "|".join(
        (
            rf"{re.escape(MARKER)}|({IDENTITY}|{RUN})|\.({IDENTITY}|{RUN})\.[0-9]+|{HELD}|{STOP}",
            rf"\.?{FIRST_COMMIT}[a-z]+(\.[0-9]+)?",
            r"plan\.(parquet|unfinished)|(probe|nulls)(\.unfinished)?",
            rf"{CHUNKS}/([0-9]+-[0-9]+|\.[0-9]+-[0-9]+\.{_HEX})",
            rf"{PROGRESS}/([0-9]+|\.[0-9]+\.{_HEX})",
            rf"{_ATTEMPT}/{_PARTITIONS}{_PART}",
            rf"{PUBLISHED}[a-z]+/({_PARTITIONS}{_PART}|_sparkscore\.json)",
            rf"({MODELS}/[0-9a-f]{{64}}|{ARCHIVES})/{re.escape(COPIED)}",
        )
    )
)
_FOLDERS = re.compile(
    "|".join(
        (
            rf"({CHUNKS}|{PROGRESS}|{ATTEMPTS}|{QUARANTINE}|{MODELS}|{ARCHIVES})/",
            rf"{_ATTEMPT}/{_PARTITIONS}",
            rf"{PUBLISHED}[a-z]+/{_PARTITIONS}",
            rf"{MODELS}/[0-9a-f]{{64}}/",
            rf"{SCRIPTS}[^/]+/",
        )
    )
)


def is_result_file(name: str) -> bool:
    """Whether a file is called as those that hold a result, which keep their names when they are published."""
    return _RESULT.fullmatch(name) is not None


def known_in(stage: Path) -> Callable[[str], bool]:
    """Give the test of what sparkscore has put into a stage, for `sparkscore.removal.remove_known`.

    Unpacked scripts are known as folders only; their own mark says whether they may go.
    """
    copied = {
        f"{folder.relative_to(stage).as_posix()}/{name}"
        for folder in (*(stage / MODELS).glob("[0-9a-f]*"), stage / ARCHIVES)
        for name in copied_files(folder)
    }
    above = {f"{parent}/" for name in copied for parent in Path(name).parents}

    def is_known(name: str) -> bool:
        if name.endswith("/"):
            return _FOLDERS.fullmatch(name) is not None or name in above
        return _FILES.fullmatch(name) is not None or name in copied

    return is_known


def copied_files(folder: Path) -> list[str]:
    """Give the files that were copied into a folder, by its list; those of a copy that was not finished as well."""
    try:
        listed = json.loads((folder / COPIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = [str(name) for name in listed] if isinstance(listed, list) else []
    return [*found, *(UNFINISHED + name[len(name.split("/")[0]) :] for name in found)]


def list_copied(folder: Path, files: Iterable[str]) -> None:
    """Add to the list of files that are copied into a folder, before they are."""
    before = {name for name in copied_files(folder) if not name.startswith(UNFINISHED)}
    (folder / COPIED).write_text(json.dumps(sorted(before | set(files))), encoding="utf-8")
