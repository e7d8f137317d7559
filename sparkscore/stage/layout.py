"""Every file and folder of a run's stage, named once: the end of a run tells them from the user's (driver and worker).

The tables are printed in ``docs/result.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sparkscore.stage.store import Store

#: Folder of an output that holds stages and their locks.
STAGE_FOLDER: Final = "_sparkscore"
#: End of the name of a stage's lock, which lies beside it.
LOCK_ENDING: Final = ".lock"
#: Lock of an output, for the moment in which a run shows its rows; no run has this id, since ids begin with a letter.
TARGET_LOCK: Final = f"_target{LOCK_ENDING}"
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
#: List of the files that sparkscore wrote into the folder of a run that is about to be shown.
FILES: Final = "_sparkscore.json"
#: List of the files that were copied into a folder, because their names are the user's.
COPIED: Final = ".copied-files"
#: A copy that is being made.
UNFINISHED: Final = ".unfinished"

_HEX = "[0-9a-f]{32}"
_PART = rf"part-[0-9]{{5,}}-({_HEX}-[0-9]{{4,}}|empty)\.parquet"
_RESULT = re.compile(_PART)
_PARTITIONS = "([^/]+=[^/]*/)*"
_ATTEMPT = rf"[0-9]{{5,}}-{_HEX}"
_DIGEST = "[0-9a-f]{64}"


@dataclass(frozen=True)
class Named:
    """A kind of file or folder.

    Attributes:
        shown: its name as the docs print it; one that ends in ``/`` is a folder's.
        pattern: regular expression of its name, relative to the stage.
        meaning: what it is.
        written_by: who writes it.
    """

    shown: str
    pattern: str
    meaning: str
    written_by: str


#: What lies in a stage.
STAGE: Final = (
    Named(MARKER, re.escape(MARKER), "the mark of a stage that sparkscore made; goes last", "driver"),
    Named(IDENTITY, IDENTITY, "digests of the request; another request does not take the stage up", "driver"),
    Named(RUN, RUN, "the place of the run's folder, whose record says whether the run is held", "driver"),
    Named(HELD, HELD, "the run is held; of an earlier version", "driver"),
    Named(f"{FIRST_COMMIT}PART", rf"{FIRST_COMMIT}[a-z]+", "the run makes a table where nothing was", "driver"),
    Named(PLAN, re.escape(PLAN), "the planned files, a row group for each work unit", "driver"),
    Named(PROBE, PROBE, "what the first mini-batch said of the result's columns", "driver"),
    Named(NULLS, NULLS, "which columns have a NULL", "driver"),
    Named(STOP, STOP, "the tasks shall make no more calls", "driver"),
    Named(
        f"{CHUNKS}/UNIT-FIRST", rf"{CHUNKS}/[0-9]+-[0-9]+", "a chunk is done: the reports of its mini-batches", "task"
    ),
    Named(f"{PROGRESS}/UNIT", rf"{PROGRESS}/[0-9]+", "how many items of a work unit are done", "task"),
    Named(
        f"{ATTEMPTS}/UNIT-ATTEMPT/…/part-….parquet",
        rf"{ATTEMPTS}/{_ATTEMPT}/{_PARTITIONS}{_PART}",
        "rows of the result, in the folders of their partitions; those count that a chunk or a report names",
        "task",
    ),
    Named(
        f"{QUARANTINE}/UNIT-ATTEMPT/part-….parquet",
        rf"{QUARANTINE}/{_ATTEMPT}/{_PARTITIONS}{_PART}",
        "quarantined rows",
        "task",
    ),
    Named(
        f"{PUBLISHED}PART/…/part-….parquet",
        rf"{PUBLISHED}[a-z]+/{_PARTITIONS}{_PART}",
        "links to the rows that count, which one rename shows (Parquet)",
        "driver",
    ),
    Named(f"{PUBLISHED}PART/{FILES}", rf"{PUBLISHED}[a-z]+/{re.escape(FILES)}", "the list of those files", "driver"),
    Named(
        f"{MODELS}/SHA256/{COPIED}",
        rf"{MODELS}/{_DIGEST}/{re.escape(COPIED)}",
        "the list of a model's files, which lie beside it under their own names",
        "driver",
    ),
    Named(
        f"{ARCHIVES}/{COPIED}",
        rf"{ARCHIVES}/{re.escape(COPIED)}",
        "the list of the files of `python.archive`, which lie beside it",
        "driver",
    ),
    Named(f"{SCRIPTS}…/", rf"{SCRIPTS}[^/]+/", "an unpacked script, removed as a whole", "worker"),
)
#: What lies beside the stages.
BESIDE: Final = (
    Named(f"RUN_ID{LOCK_ENDING}", rf"[^/]+{re.escape(LOCK_ENDING)}", "the lock of a run's stage", "driver"),
    Named(TARGET_LOCK, re.escape(TARGET_LOCK), "the lock of the output while a run shows its rows (Parquet)", "driver"),
)

# Of versions before each unfinished file had the one form of a name.
_OF_EARLIER_VERSIONS = (
    rf"\.({IDENTITY}|{RUN})\.[0-9]+|\.{FIRST_COMMIT}[a-z]+\.[0-9]+|plan\.unfinished|(probe|nulls)\.unfinished"
)
_FILES = re.compile("|".join((*(f"({each.pattern})" for each in STAGE if each.shown[-1] != "/"), _OF_EARLIER_VERSIONS)))
_FOLDERS = re.compile(
    "|".join(
        (
            rf"({CHUNKS}|{PROGRESS}|{ATTEMPTS}|{QUARANTINE}|{MODELS}|{ARCHIVES})/",
            rf"({ATTEMPTS}|{QUARANTINE})/{_ATTEMPT}/{_PARTITIONS}",
            rf"{PUBLISHED}[a-z]+/{_PARTITIONS}",
            rf"{MODELS}/{_DIGEST}/",
            rf"{SCRIPTS}[^/]+/",
        )
    )
)
_UNFINISHED = re.compile(rf"(?P<folder>(.*/)?)\.(?P<name>[^/]+)\.{_HEX}")


def unfinished(name: str, token: str) -> str:
    """Return the name of a file while it is written, beside its place. Such a file counts for nothing.

    >>> unfinished("identity", "0" * 32)
    '.identity.00000000000000000000000000000000'
    """
    return f".{name}.{token}"


def finished(name: str) -> str | None:
    """Return the name of the file that an unfinished one was to become; None for other names.

    >>> finished("done/.3-0." + "0" * 32), finished("done/3-0")
    ('done/3-0', None)
    """
    found = _UNFINISHED.fullmatch(name)
    return f"{found['folder']}{found['name']}" if found else None


def chunk(unit: int, first: int) -> str:
    """Return the name of a chunk."""
    return f"{CHUNKS}/{unit}-{first}"


def progress(unit: int) -> str:
    """Return the name of a work unit's progress."""
    return f"{PROGRESS}/{unit}"


def attempt(kind: str, unit: int, token: str) -> str:
    """Return the folder of one task attempt, for rows of the result or of the quarantine."""
    return f"{kind}/{unit:05d}-{token}"


def part(attempt: str, partitions: str, number: int) -> str:
    """Return the name of a file of rows."""
    name = f"part-{attempt.rpartition('/')[2]}-{number:04d}.parquet"
    return "/".join(each for each in (attempt, partitions, name) if each)


def within_attempt(file: str) -> str:
    """Return the part of a file's name that its attempt's folder does not tell: the partitions and the name."""
    return file.split("/", 2)[2]


def attempt_of(file: str) -> str:
    """Return the folder of the attempt that a file of rows belongs to."""
    return "/".join(file.split("/", 2)[:2])


def lock_of(run_id: str) -> str:
    """Return the name of the lock of a run's stage."""
    return f"{run_id}{LOCK_ENDING}"


def is_result_file(name: str) -> bool:
    """Whether a file is called as those that hold a result, which keep their names when they are published."""
    return _RESULT.fullmatch(name) is not None


def known_in(stage: Store) -> Callable[[str], bool]:
    """Return the test of what sparkscore has put into a stage, for `sparkscore.stage.clearing.clear`.

    Unpacked scripts are known as folders only; their own mark says whether they may go.
    """
    folders = [ARCHIVES, *(entry.name for entry in stage.entries(MODELS))]
    copied = {f"{folder}/{name}" for folder in folders for name in copied_files(stage, folder)}
    above = {f"{name[:end]}/" for name in copied for end in _slashes(name)}

    def is_known(name: str) -> bool:
        if name.endswith("/"):
            return _FOLDERS.fullmatch(name) is not None or name in above
        plain = finished(name) or name
        return _FILES.fullmatch(plain) is not None or plain in copied or name in copied

    return is_known


def _slashes(name: str) -> Iterable[int]:
    return (place for place, character in enumerate(name) if character == "/")


def copied_files(store: Store, folder: str) -> list[str]:
    """Return the files that were copied into a folder, by its list; those of a copy that was not finished as well."""
    try:
        listed = json.loads(store.read(f"{folder}/{COPIED}"))
    except (OSError, ValueError):
        return []
    found = [str(name) for name in listed] if isinstance(listed, list) else []
    return [*found, *(UNFINISHED + name[len(name.split("/")[0]) :] for name in found)]


def list_copied(store: Store, folder: str, files: Iterable[str]) -> None:
    """Add to the list of files that are copied into a folder, before they are."""
    before = {name for name in copied_files(store, folder) if not name.startswith(UNFINISHED)}
    store.put(f"{folder}/{COPIED}", json.dumps(sorted(before | set(files))).encode())
