"""List the objects of an input in an S3 store. Runs on the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceNotFoundError
from sparkscore.object_store import SCHEME, ObjectStore, name_of
from sparkscore.parquet.problems import unreadable_object
from sparkscore.plan import InputFile
from sparkscore.sources.listing import HIDDEN, NAMED_TWICE, Listing, is_hidden

_LOG = "_delta_log"


def list_objects(store: ObjectStore, locations: Iterable[str]) -> Listing:
    """List the objects at the locations of an input. See `list_files`, which does the same for local files.

    A location is an object or a folder. It is not a glob.

    Raises:
        SourceNotFoundError: there is no object and no folder at a location.
        SourceError: the store does not list a folder; a folder is part of a Delta table; or the name of an object has
            a form in which Spark could not read it.
    """
    named = list(locations)
    skipped: Counter[str] = Counter()
    found: dict[str, InputFile] = {}
    is_folder = False
    for location in named:
        try:
            is_folder, objects = _find(store, location, skipped)
        except FileNotFoundError as error:
            raise _not_found(location) from error
        except OSError as error:
            raise unreadable_object(location, error) from error
        for file in objects:
            if file.path in found:
                skipped[NAMED_TWICE] += 1
            found[file.path] = file
    files = tuple(found[path] for path in sorted(found))
    return Listing(files, dict(skipped), Path(named[0].rstrip("/")) if is_folder and len(named) == 1 else None)


def _find(store: ObjectStore, location: str, skipped: Counter[str]) -> tuple[bool, list[InputFile]]:
    """Return whether a location is a folder, and its objects. Those that Spark skips are counted in `skipped`."""
    base = name_of(location).rstrip("/")
    _check_name(base, location)
    system = store.file_system()
    _refuse_table(system, base)
    info = system.get_file_info(base)
    if info.type == pafs.FileType.File:
        return False, [_input_file(info)]
    if info.type != pafs.FileType.Directory:
        raise FileNotFoundError(location)
    inside = system.get_file_info(pafs.FileSelector(base, recursive=True))
    return True, list(_shown(inside, base, skipped))


def _shown(inside: Iterable[Any], base: str, skipped: Counter[str]) -> Iterator[InputFile]:
    """Yield the objects in a folder, without those that are hidden or in hidden folders."""
    hidden: set[str] = set()
    for info in inside:
        parts = info.path.removeprefix(f"{base}/").split("/")
        if _LOG in parts:
            raise _is_table("/".join((base, *parts[: parts.index(_LOG)])))
        if info.type != pafs.FileType.File:
            continue
        first = next((number for number, part in enumerate(parts, 1) if is_hidden(part)), None)
        if first is None:
            _check_name(info.path, f"{SCHEME}{info.path}")
            yield _input_file(info)
        else:
            hidden.add("/".join(parts[:first]))
    if hidden:
        skipped[HIDDEN] += len(hidden)


def _refuse_table(system: pafs.S3FileSystem, base: str) -> None:
    """Raise an error if a location is inside the folder of a Delta table."""
    parts = base.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    for folder, info in zip(above, system.get_file_info([f"{each}/{_LOG}" for each in above]), strict=True):
        if info.type == pafs.FileType.Directory:
            raise _is_table(folder)


def _check_name(name: str, shown: str) -> None:
    """Raise an error for a name that Hadoop would write in another way, and so would not find."""
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise SourceError(
            code=ErrorCode.INPUT_NAME,
            what=f"input file '{shown}'",
            got="a part of its name that is empty, '.' or '..'",
            next_step="Rename the object.",
        )


def _input_file(info: Any) -> InputFile:
    return InputFile(f"{SCHEME}{info.path}", info.size, info.mtime_ns or 0)


def _is_table(folder: str) -> SourceError:
    table = f"{SCHEME}{folder}"
    return SourceError(
        code=ErrorCode.INPUT_IS_DELTA,
        what=f"'{table}' is a Delta table, whose folder also holds files that are out of date",
        next_step=f"Read it as a Delta table: --input '{table}' --input-format delta.",
    )


def _not_found(location: str) -> SourceNotFoundError:
    return SourceNotFoundError(
        code=ErrorCode.INPUT_NOT_FOUND,
        what=f"input '{location}'",
        got="no object and no folder with this name in the store",
        next_step="Correct --input. In a store, '*' and other characters of globs stand for themselves.",
    )
