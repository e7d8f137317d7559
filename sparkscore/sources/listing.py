"""List the files of an input, and count the files and folders that are left out, by reason. Runs on the driver."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceNotFoundError
from sparkscore.location import is_remote, local_path
from sparkscore.plan import InputFile
from sparkscore.sources.own_files import OWN, is_own_file, is_own_folder, refuse_own
from sparkscore.survey.each_file import read_each

HIDDEN = "hidden: the name begins with '_' or '.'"
EMPTY = "empty: 0 bytes"
NOT_A_FILE = "not a regular file or folder"
NAMED_TWICE = "named more than once"


@dataclass(frozen=True)
class Listing:
    """The files of an input, and the number of files and folders that are left out.

    Attributes:
        files: the files. `list_files` sorts them by path and returns each path only once.
        skipped: for each reason, the number of files and folders that are left out. If a file is found several times,
            for example by two globs, each repetition counts as a file that is left out.
        folder: the input's only location if it is a folder. None for several locations, or if the location is not a
            folder. If the folder has subfolders named ``key=value``, the keys are partition columns.
    """

    files: tuple[InputFile, ...]
    skipped: dict[str, int]
    folder: Path | None = None


def list_files(locations: Iterable[str]) -> Listing:
    """List the files at the locations of an input.

    A location is a file path, a glob or a folder. Folders are listed recursively, but symbolic links to folders inside
    them are not followed.

    Hidden files and folders are left out, unless a location names them directly. Files that sparkscore wrote for its
    runs are left out as well.

    Raises:
        SourceNotFoundError: a location does not exist, and no file matches it as a glob.
        SourceError: a folder cannot be read, the path of a file is not UTF-8, or a location is one of the folders that
            sparkscore keeps for its runs, or inside one; see `refuse_own`.
        ConfigError: a location is a URI of a store other than the local file system.
    """
    named = list(locations)
    skipped: Counter[str] = Counter()
    found: dict[str, InputFile] = {}
    for location in named:
        for path in _matches(location, skipped):
            for file in _files_below(path, skipped):
                if file.path in found:
                    skipped[NAMED_TWICE] += 1
                found[file.path] = file
    files = tuple(found[path] for path in sorted(found))
    only = _absolute(named[0]) if len(named) == 1 else None
    return Listing(files, dict(skipped), only if only is not None and only.is_dir() else None)


def check_locations(locations: Iterable[str]) -> None:
    """Check that each local location exists, or matches a file or folder as a glob.

    Remote locations are not checked. The files in folders are not listed.

    Raises:
        SourceNotFoundError: a location does not exist, and no file matches it as a glob.
        SourceError: a location belongs to sparkscore's runs; see `refuse_own`.
    """
    for location in locations:
        if not is_remote(location):
            _matches(location, Counter())


def files_named(paths: Iterable[str]) -> Listing:
    """Return a listing of the files with exactly these paths, in the given order. The paths are not treated as globs.

    Raises:
        SourceNotFoundError: a path no longer exists or is not a file.
    """
    skipped: Counter[str] = Counter()
    found: list[InputFile] = []
    for path in paths:
        if not Path(path).is_file():
            raise SourceNotFoundError(
                code=ErrorCode.INPUT_NOT_FOUND,
                what=f"input file '{path}'",
                got="a file that does not exist any more",
                next_step="Restore the file, or score the whole input again.",
            )
        found += _files_below(Path(path), skipped)
    return Listing(tuple(found), dict(skipped))


def is_hidden(name: str) -> bool:
    """Return whether Spark's readers skip a file or folder with this name.

    Source: Spark's HadoopFSUtils.shouldFilterOutPathName.
    """
    return name.startswith(".") or (name.startswith("_") and "=" not in name) or name.endswith("._COPYING_")


def _absolute(location: str) -> Path:
    return Path(os.path.abspath(local_path(location)))  # noqa: PTH100 - it removes '..', Path.absolute() does not


def _matches(location: str, skipped: Counter[str]) -> list[Path]:
    """Return the file or folder at a location, or the files and folders that match the location as a glob.

    Matches that are hidden, or that sparkscore wrote for its runs, are left out and counted.

    Args:
        location: the location.
        skipped: the number of files and folders left out so far, by reason. This function updates it.

    Raises:
        SourceNotFoundError: the location does not exist, and no file or folder matches it as a glob.
        SourceError: the location belongs to sparkscore's runs; see `refuse_own`.
        ConfigError: the location is a URI of a store other than the local file system.
    """
    path = _absolute(location)
    if path.exists():
        refuse_own(path)
        return [path]
    # Path.glob() needs a pattern relative to a folder; here the whole location is a pattern.
    matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(str(path)) else []  # noqa: PTH207
    if not matches:
        raise SourceNotFoundError(
            code=ErrorCode.INPUT_NOT_FOUND,
            what=f"input '{location}'",
            got="no such file or folder, and no match as a glob",
            next_step=f"The nearest folder that exists is '{_nearest_folder(path)}'. Correct --input.",
        )
    shown = [Path(match) for match in matches if not is_hidden(Path(match).name)]
    if len(shown) < len(matches):
        skipped[HIDDEN] += len(matches) - len(shown)
    items = [path for path in shown if not _is_own(path)]
    if len(items) < len(shown):
        skipped[OWN] += len(shown) - len(items)
    return items


def _is_own(path: Path) -> bool:
    return is_own_folder(path) if path.is_dir() else is_own_file(path)


def _nearest_folder(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.is_dir())


def _files_below(path: Path, skipped: Counter[str]) -> Iterator[InputFile]:
    """Yield a file, or the files in a folder and its subfolders; see `_walk`."""
    if path.is_file():
        yield _input_file(str(path))
    elif path.is_dir():
        yield from _walk(path, skipped)
    else:
        skipped[NOT_A_FILE] += 1


def _walk(folder: Path, skipped: Counter[str]) -> Iterator[InputFile]:
    """Yield the files in a folder, and then those in its subfolders.

    The following are left out and counted in `skipped`: hidden files and folders, files and folders that sparkscore
    wrote for its runs, symbolic links to folders, and entries that are not files, such as pipes.

    Raises:
        SourceError: a folder cannot be read, or the path of a file is not UTF-8.
    """
    files: list[str] = []
    folders: list[Path] = []
    for entry in _entries(folder):
        # The type comes from the folder, without another call of the file system for each of what may be 100,000 files.
        if is_hidden(entry.name):
            skipped[HIDDEN] += 1
        elif entry.is_dir(follow_symlinks=False):
            folders.append(Path(entry.path))
        elif ".lock" in entry.name and is_own_file(Path(entry.path)):
            skipped[OWN] += 1
        elif entry.is_file():
            files.append(entry.path)
        else:
            skipped[NOT_A_FILE] += 1
    yield from read_each(_input_file, files)
    for below in folders:
        if is_own_folder(below):
            skipped[OWN] += 1
        else:
            yield from _walk(below, skipped)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder. Raise a `SourceError` if the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise SourceError(
            code=ErrorCode.INPUT_UNREADABLE,
            what=f"input folder '{folder}'",
            got=error.strerror or type(error).__name__,
            next_step="Allow the user that runs sparkscore to read it.",
        ) from error


def _input_file(path: str) -> InputFile:
    """Return an `InputFile` with the path, size, inode, modification time and change time of a file.

    Raises:
        SourceError: the path of the file is not UTF-8.
    """
    # A Path takes as long as the call, and a DirEntry keeps what it found: both matter for 100,000 files.
    status = os.stat(path)  # noqa: PTH116
    try:
        path.encode()
    except UnicodeEncodeError:
        raise SourceError(
            code=ErrorCode.INPUT_NAME,
            what=f"input file '{path.encode(errors='replace').decode()}'",
            got="a name that is not UTF-8 text and so cannot be stored in a table",
            next_step="Rename the file.",
        ) from None
    return InputFile(path, status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)
