"""Pack a scoring script's code folder as a ZIP archive for the workers.

Runs on the driver, and needs only the standard library.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ScoringScriptError
from sparkscore.scripts.open_files import files_being_written

#: The reason recorded for a file that is left out because a process has it open for writing.
LOG: Final = "a log that is being written"
_MOST_BYTES = 64 * 1024 * 1024
_LEFT_OUT = {"__pycache__", "sparkscore-runs", "node_modules"}
# All entries get the earliest time that a ZIP archive can store, so that the same files always yield the same archive.
_SAME_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class PackedScript:
    """A scoring script and its code folder, packed for the workers.

    Attributes:
        path: path of the script on the driver.
        name: path of the script inside the code folder.
        code: ZIP archive of the code folder.
        sha256: digest of the names and contents of all packed files.
        files: digests of the packed files' contents, by file name.
        left_out: reasons why files and folders were not packed, by name. Hidden files, caches and output folders are
            not packed either, but they are not listed here.
    """

    path: Path
    name: str
    code: bytes
    sha256: str
    files: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, str]:
        """Return the script's path and digest, for the run record."""
        return {"path": str(self.path), "sha256": self.sha256}


def pack_script(folder: Path, script: str, leave_out: Iterable[Path] = (), logs: Iterable[str] = ()) -> PackedScript:
    """Pack a scoring script's code folder.

    The following are left out:

    - hidden files and folders, and folders named ``__pycache__``, ``node_modules`` or ``sparkscore-runs``
    - logs that are being written
    - files and folders that cannot be read, pipes, sockets, devices and broken links

    Args:
        folder: the code folder.
        script: path of the script in the code folder.
        leave_out: other paths to leave out, such as the output of the last run.
        logs: names of files that an earlier execution of the same run left out as logs.

    Raises:
        ScoringScriptError: the script does not exist, cannot be read, or is not among the packed files.
        ConfigError: the files are too large to be sent to every worker.
    """
    path = folder / os.path.normpath(script)
    listing = _Listing(folder, {os.path.realpath(path) for path in leave_out}, frozenset(logs))
    listing.add(folder)
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else script
    contents = listing.read()
    if name not in contents:
        above = [name, *(parent.as_posix() for parent in Path(name).parents)]
        raise _no_script(path, next((why for each in above if (why := listing.left_out.get(each))), None))
    buffer, digest, digests = io.BytesIO(), hashlib.sha256(), {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in contents.items():
            archive.writestr(zipfile.ZipInfo(each, _SAME_TIME), content, zipfile.ZIP_DEFLATED)
            digests[each] = hashlib.sha256(content).hexdigest()
            digest.update(f"{each}\0{digests[each]}\n".encode(errors="surrogateescape"))
    return PackedScript(path, name, buffer.getvalue(), digest.hexdigest(), digests, listing.left_out)


def different_files(files: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """Return the sorted names of the files that were added, removed or changed between two states of a code folder.

    Args:
        files: current digests of the files, by name.
        before: earlier digests of the files, by name.

    >>> different_files({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    ['b', 'c']
    """
    return sorted(name for name in {*files, *before} if files.get(name) != before.get(name))


class _Listing:
    """The files to pack from a code folder, and the files and folders that are left out.

    Attributes:
        left_out: reasons why files and folders are left out, by name.
    """

    def __init__(self, folder: Path, leave_out: set[str], logs: frozenset[str]) -> None:
        self.left_out: dict[str, str] = {}
        self._folder = folder
        self._leave_out = leave_out
        self._logs = logs
        self._written = files_being_written()
        self._files: list[Path] = []

    def add(self, folder: Path, above: frozenset[str] = frozenset()) -> None:
        """Add the files in a folder and its subfolders.

        A folder that cannot be read is recorded in ``self.left_out``. Hidden entries, names in ``_LEFT_OUT`` and paths
        in ``self._leave_out`` are skipped without being recorded.

        Args:
            folder: the folder.
            above: real paths of the folders that contain this folder. Links to them are skipped, because following them
                would never end.
        """
        above |= {os.path.realpath(folder)}
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            self._leave(folder, error.strerror or type(error).__name__)
            return
        for entry in entries:
            real = os.path.realpath(entry)
            if entry.name.startswith(".") or entry.name in _LEFT_OUT or real in self._leave_out or real in above:
                continue
            self._add_entry(entry, above)

    def read(self) -> dict[str, bytes]:
        """Read the files and return their contents by name, in path order.

        A file that cannot be read is recorded in ``self.left_out`` instead.

        Raises:
            ConfigError: the files are too large in total.
        """
        total = sum(map(_size_of, self._files))
        if total > _MOST_BYTES:
            raise _too_large(self._folder, total)
        contents = {}
        for file in sorted(self._files):
            try:
                contents[self._name(file)] = file.read_bytes()
            except OSError as error:
                self._leave(file, error.strerror or type(error).__name__)
        return contents

    def _add_entry(self, entry: Path, above: frozenset[str]) -> None:
        """Add a file, or the files in a folder, to the files to pack.

        Logs, pipes, sockets, devices and broken links are left out. A file counts as a log if it is being written, or
        if an earlier execution of the run left it out as a log. ``.py`` files never count as logs.
        """
        try:
            found = entry.stat()
        except OSError as error:
            self._leave(entry, "a link to nothing" if entry.is_symlink() else error.strerror or "not readable")
            return
        if stat.S_ISDIR(found.st_mode):
            self.add(entry, above)
        elif not stat.S_ISREG(found.st_mode):
            self._leave(entry, "a pipe, a socket or a device")
        elif entry.suffix != ".py" and (
            (found.st_dev, found.st_ino) in self._written or self._name(entry) in self._logs
        ):
            self._leave(entry, LOG)
        else:
            self._files.append(entry)

    def _leave(self, entry: Path, why: str) -> None:
        """Record why a file or folder is left out."""
        self.left_out[self._name(entry)] = why

    def _name(self, entry: Path) -> str:
        return entry.relative_to(self._folder).as_posix()


def _no_script(path: Path, why: str | None) -> ScoringScriptError:
    if why is None:
        is_there = os.access(path, os.F_OK) and os.path.isfile(path)  # noqa: PTH113 - raises for no permission
        why = "a file outside the code folder, or hidden in it" if is_there else "no such file"
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_NOT_FOUND,
        what=f"scoring script '{path}'",
        got=why,
        expected="a file that can be read",
        next_step="Correct 'code_configuration.code' and 'code_configuration.scoring_script', or the permissions.",
    )


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # `read` reports the file
        return 0


def _too_large(folder: Path, total: int) -> ConfigError:
    return ConfigError(
        code=ErrorCode.CODE_TOO_LARGE,
        what=f"code folder '{folder}'",
        got=f"{total / 1024**2:,.0f} MiB",
        expected=f"at most {_MOST_BYTES // 1024**2} MiB, since every worker gets a copy",
        next_step="Put the scoring script into a separate folder, and set 'code_configuration.code' to that folder.",
    )
