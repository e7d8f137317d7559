"""The names of the files and folders in a run's stage. Runs on the driver and the workers.

The names show which files sparkscore created. When a stage is removed, files that `known_in` does not recognize are
kept, because they may belong to the user. The tables in ``docs/result.md`` are generated from `STAGE` and `BESIDE`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sparkscore.stage.store import Store

#: Folder in an output that contains stages and their locks, unless ``output.stage`` names a different folder.
STAGE_FOLDER: Final = "_sparkscore"
#: Suffix of the name of a stage's lock file, which is next to the stage.
LOCK_ENDING: Final = ".lock"
#: Lock of an output while a run publishes to it. A run's lock cannot have this name, because run ids begin with a
#: letter.
TARGET_LOCK: Final = f"_target{LOCK_ENDING}"
#: File that marks a folder as a stage created by sparkscore. Folders without it belong to the user.
MARKER: Final = ".sparkscore-stage"
IDENTITY: Final = "identity"
#: File with the path of the run's folder, whose record says whether the run is held.
RUN: Final = "run"
#: File in a held run's stage, written only by earlier versions of sparkscore.
HELD: Final = "held"
#: Name prefix of the file that says that the run creates a new table.
FIRST_COMMIT: Final = "first-commit-"
#: Name prefix of the file that names the Delta table into which the run links its files before it commits them.
LINKED: Final = "linked-"
PLAN: Final = "plan.parquet"
PARTS: Final = "parts.parquet"
#: File that says whether Spark or the workers themselves read the rows of the input.
READER: Final = "reader"
PROBE: Final = "probe"
#: File that says which columns contain a NULL.
NULLS: Final = "nulls"
#: File with the partition columns of a Delta table whose values name the folders of the staged files.
LAYOUT: Final = "layout"
#: File that says whether Spark or the workers write the files of a Delta table.
WRITER: Final = "writer"
STOP: Final = "stop"
#: File with a random text. A worker that can read it sees the stage of this run, not a folder on its own disk.
NONCE: Final = "nonce"
#: Folder in which workers prove that they can write to the stage.
HOSTS: Final = "hosts"
CHUNKS: Final = "done"
PROGRESS: Final = "progress"
ATTEMPTS: Final = "attempts"
QUARANTINE: Final = "quarantine"
MODELS: Final = "models"
ARCHIVES: Final = "python"
#: Name prefix of folders for unpacked scripts. The rest of the name is random.
SCRIPTS: Final = "sparkscore-script-"
#: Name prefix of the folder in which the files for a Parquet output are gathered before they are published.
PUBLISHED: Final = "published-"
#: File that lists the Parquet files in the folder that a run publishes to a Parquet output.
FILES: Final = "_sparkscore.json"
#: File that lists the files copied into a folder. It is needed because the user chose their names.
COPIED: Final = ".copied-files"
#: Name of an incomplete copy.
UNFINISHED: Final = ".unfinished"

#: File that is published for a result without rows or partition columns, so that readers can see its columns.
EMPTY_PART: Final = "part-00000-empty.parquet"

_HEX = "[0-9a-f]{32}"
_PART = rf"(part-[0-9]{{5,}}-{_HEX}-[0-9]{{4,}}\.parquet|{re.escape(EMPTY_PART)})"
_RESULT = re.compile(_PART)
_PARTITIONS = "([^/]+=[^/]*/)*"
_ATTEMPT = rf"[0-9]{{5,}}-{_HEX}"
_DIGEST = "[0-9a-f]{64}"


@dataclass(frozen=True)
class Named:
    """The name pattern and documentation of a file or folder in a stage or next to it.

    Attributes:
        shown: the name as shown in the documentation. Folder names end in ``/``.
        pattern: regular expression for the name, relative to the stage or, for a file next to the stage, to the stage's
            parent folder.
        meaning: what the file or folder is, for the documentation.
        written_by: who writes it, for the documentation: the driver, a task or a worker.
    """

    shown: str
    pattern: str
    meaning: str
    written_by: str


#: The files and folders in a stage.
STAGE: Final = (
    Named(MARKER, re.escape(MARKER), "marks a stage that sparkscore made; removed last", "driver"),
    Named(IDENTITY, IDENTITY, "digests of the request; no other request uses this stage", "driver"),
    Named(RUN, RUN, "path of the run's folder, whose record says whether the run is held", "driver"),
    Named(HELD, HELD, "the run is held; written by earlier versions only", "driver"),
    Named(f"{FIRST_COMMIT}PART", rf"{FIRST_COMMIT}[a-z]+", "the run creates a table that did not exist", "driver"),
    Named(
        f"{LINKED}PART", rf"{LINKED}[a-z]+", "the Delta table into which files are linked before the commit", "driver"
    ),
    Named(PLAN, re.escape(PLAN), "the planned files, a row group for each work unit", "driver"),
    Named(PARTS, re.escape(PARTS), "the rows of each work unit that the workers read themselves", "driver"),
    Named(READER, READER, "whether Spark or the workers read the rows, and why", "driver"),
    Named(PROBE, PROBE, "the result's columns, as the first mini-batch showed them", "driver"),
    Named(NULLS, NULLS, "which columns have a NULL", "driver"),
    Named(LAYOUT, LAYOUT, "the partition columns whose values name folders of the staged files (Delta)", "driver"),
    Named(WRITER, WRITER, "whether Spark or the workers write the files of the table, and why (Delta)", "driver"),
    Named(STOP, STOP, "asks the tasks to make no more calls", "driver"),
    Named(NONCE, NONCE, "a random text, which a worker reads to prove that it sees the stage", "driver"),
    Named(
        f"{HOSTS}/PROOF", rf"{HOSTS}/{_HEX}", "proves that a worker can write to the stage; removed at once", "worker"
    ),
    Named(
        f"{CHUNKS}/UNIT-FIRST", rf"{CHUNKS}/[0-9]+-[0-9]+", "a chunk is done: the reports of its mini-batches", "task"
    ),
    Named(f"{PROGRESS}/UNIT", rf"{PROGRESS}/[0-9]+", "how many items of a work unit are done", "task"),
    Named(
        f"{ATTEMPTS}/UNIT-ATTEMPT/…/part-….parquet",
        rf"{ATTEMPTS}/{_ATTEMPT}/{_PARTITIONS}{_PART}",
        "rows of the result, in the folders of their partitions; a file counts if a chunk or a report names it",
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
        "links to the files that count, which one rename publishes (Parquet)",
        "driver",
    ),
    Named(f"{PUBLISHED}PART/{FILES}", rf"{PUBLISHED}[a-z]+/{re.escape(FILES)}", "the list of those files", "driver"),
    Named(
        f"{MODELS}/SHA256/{COPIED}",
        rf"{MODELS}/{_DIGEST}/{re.escape(COPIED)}",
        "the list of a model's files, which are beside it under their own names",
        "driver",
    ),
    Named(
        f"{ARCHIVES}/{COPIED}",
        rf"{ARCHIVES}/{re.escape(COPIED)}",
        "the list of the files of `python.archive`, which are beside it",
        "driver",
    ),
    Named(f"{SCRIPTS}…/", rf"{SCRIPTS}[^/]+/", "an unpacked script, removed as a whole", "worker"),
)
#: The files next to the stages.
BESIDE: Final = (
    Named(f"RUN_ID{LOCK_ENDING}", rf"[^/]+{re.escape(LOCK_ENDING)}", "the lock of a run's stage", "driver"),
    Named(TARGET_LOCK, re.escape(TARGET_LOCK), "the lock of the output while a run publishes (Parquet)", "driver"),
)

# Names of unfinished files in earlier versions.
_OF_EARLIER_VERSIONS = (
    rf"\.({IDENTITY}|{RUN})\.[0-9]+|\.{FIRST_COMMIT}[a-z]+\.[0-9]+|plan\.unfinished|(probe|nulls)\.unfinished"
)
_FILES = re.compile("|".join((*(f"({each.pattern})" for each in STAGE if each.shown[-1] != "/"), _OF_EARLIER_VERSIONS)))
_FOLDERS = re.compile(
    "|".join(
        (
            rf"({CHUNKS}|{PROGRESS}|{HOSTS}|{ATTEMPTS}|{QUARANTINE}|{MODELS}|{ARCHIVES})/",
            rf"({ATTEMPTS}|{QUARANTINE})/{_ATTEMPT}/{_PARTITIONS}",
            rf"{PUBLISHED}[a-z]+/{_PARTITIONS}",
            rf"{MODELS}/{_DIGEST}/",
            rf"{SCRIPTS}[^/]+/",
        )
    )
)
_UNFINISHED = re.compile(rf"(?P<folder>(.*/)?)\.(?P<name>[^/]+)\.{_HEX}")


def unfinished(name: str, token: str) -> str:
    """Return the temporary name that a file has while it is being written.

    >>> unfinished("identity", "0" * 32)
    '.identity.00000000000000000000000000000000'

    Args:
        name: final name of the file, without its folder.
        token: 32 random hexadecimal digits.
    """
    return f".{name}.{token}"


def finished(name: str) -> str | None:
    """Return the final name for a file's temporary name, or None if the name is not temporary.

    >>> finished("done/.3-0." + "0" * 32), finished("done/3-0")
    ('done/3-0', None)
    """
    found = _UNFINISHED.fullmatch(name)
    return f"{found['folder']}{found['name']}" if found else None


def chunk(unit: int, first: int) -> str:
    """Return the name of the chunk file, which contains a chunk's reports.

    Args:
        unit: number of the work unit.
        first: number of the chunk's first mini-batch within its work unit.
    """
    return f"{CHUNKS}/{unit}-{first}"


def progress(unit: int) -> str:
    """Return the name of a work unit's progress file."""
    return f"{PROGRESS}/{unit}"


def proof(token: str) -> str:
    """Return the name of the file with which a worker proves that it can write to the stage.

    Args:
        token: 32 random hexadecimal digits.
    """
    return f"{HOSTS}/{token}"


def task_attempt(rows_folder: str, unit: int, token: str) -> str:
    """Return the name of the folder to which one task attempt writes rows.

    Args:
        rows_folder: `ATTEMPTS` for result rows, or `QUARANTINE` for failed items.
        unit: number of the task's work unit.
        token: 32 random hexadecimal digits, which make the name unique to this task attempt.
    """
    return f"{rows_folder}/{unit:05d}-{token}"


def part(task_attempt: str, partitions: str, number: int) -> str:
    """Return the name of a Parquet file to which a task attempt writes rows.

    Args:
        task_attempt: name of the task attempt's folder.
        partitions: the file's partition folders, joined by ``/``, or an empty string for a table without partitions.
        number: number of the file within the task attempt's folder.
    """
    name = f"part-{task_attempt.rpartition('/')[2]}-{number:04d}.parquet"
    return "/".join(each for each in (task_attempt, partitions, name) if each)


def within_task_attempt(file: str) -> str:
    """Return the path of a staged Parquet file relative to its task attempt's folder.

    The path consists of any partition folders and the file name.
    """
    return file.split("/", 2)[2]


def task_attempt_of(file: str) -> str:
    """Return the name of the task attempt's folder that contains a staged Parquet file."""
    return "/".join(file.split("/", 2)[:2])


def lock_of(run_id: str) -> str:
    """Return the name of the lock file for a run's stage."""
    return f"{run_id}{LOCK_ENDING}"


def is_result_file(name: str) -> bool:
    """Return whether a file is named like a Parquet file that sparkscore writes, either by `part` or as `EMPTY_PART`.

    Args:
        name: name of the file, without its folder.
    """
    return _RESULT.fullmatch(name) is not None


def known_in(stage: Store) -> Callable[[str], bool]:
    """Return a function with which `sparkscore.stage.clearing.clear` recognizes what sparkscore created in a stage.

    The function returns True for the folder of an unpacked script but False for its files, because `clear` removes the
    whole folder.
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
    return (position for position, character in enumerate(name) if character == "/")


def copied_files(store: Store, folder: str) -> list[str]:
    """Return the file names that `list_copied` wrote for a folder, or an empty list if they cannot be read.

    The result also contains the temporary name that each copy has until it is complete.
    """
    try:
        listed = json.loads(store.read(f"{folder}/{COPIED}"))
    except (OSError, ValueError):
        return []
    found = [str(name) for name in listed] if isinstance(listed, list) else []
    return [*found, *(UNFINISHED + name[len(name.split("/")[0]) :] for name in found)]


def list_copied(store: Store, folder: str, files: Iterable[str]) -> None:
    """Add names to the list of files that are copied into a folder, creating the list if necessary.

    Call this before copying the files, so that they are recognized as copies after a crash.

    Args:
        store: the store that contains the folder.
        folder: name of the folder.
        files: names of the files, relative to the folder.
    """
    before = {name for name in copied_files(store, folder) if not name.startswith(UNFINISHED)}
    store.put(f"{folder}/{COPIED}", json.dumps(sorted(before | set(files))).encode())
