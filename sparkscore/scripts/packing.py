"""Pack the code folder of a scoring script as a ZIP archive for the workers (driver; standard library only)."""

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

#: The reason that is recorded if a file is left out because a process has it open for writing.
LOG: Final = "a log that is being written"
_MOST_BYTES = 64 * 1024 * 1024
_LEFT_OUT = {"__pycache__", "sparkscore-runs", "node_modules"}
# All entries get the oldest time that a ZIP archive can store, so that equal files always give an equal archive.
_SAME_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class PackedScript:
    """A scoring script and its code folder, packed for the workers.

    Attributes:
        path: path of the script on the driver.
        name: path of the script inside the code folder.
        code: the code folder as a ZIP archive.
        sha256: digest of the names and contents of all packed files.
        files: names of the packed files, each with the digest of its content.
        left_out: names of files and folders that are not packed, each with the reason, for example that a file cannot
            be read. Hidden files, caches and output folders are not packed, either, but they are not listed here.
    """

    path: Path
    name: str
    code: bytes
    sha256: str
    files: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, str]:
        """Return the entry for the script in the run record: its path and digest."""
        return {"path": str(self.path), "sha256": self.sha256}


def pack_script(folder: Path, script: str, leave_out: Iterable[Path] = (), logs: Iterable[str] = ()) -> PackedScript:
    """Pack the code folder of a scoring script, without hidden files, caches, and logs that are being written.

    The folders ``node_modules`` and ``sparkscore-runs`` are left out, too, and so are files and folders that cannot be
    read, pipes, sockets, devices and broken links.

    Args:
        folder: the code folder.
        script: path of the script in the code folder.
        leave_out: paths that are not code but may be in the code folder, such as the output of the last run.
        logs: names of files that were left out as logs by an earlier execution of the same run.

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
    """Return the sorted names of the files that differ between two states of a code folder, or are in only one of them.

    Args:
        files: digests of the files now, by name.
        before: digests of the files before, by name.

    >>> different_files({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    ['b', 'c']
    """
    return sorted(name for name in {*files, *before} if files.get(name) != before.get(name))


class _Listing:
    """The files of a code folder that are packed, and the files and folders that are left out for a reason.

    Attributes:
        left_out: names of the files and folders that are left out, each with the reason.
    """

    def __init__(self, folder: Path, leave_out: set[str], logs: frozenset[str]) -> None:
        self.left_out: dict[str, str] = {}
        self._folder = folder
        self._leave_out = leave_out
        self._logs = logs
        self._written = files_being_written()
        self._files: list[Path] = []

    def add(self, folder: Path, above: frozenset[str] = frozenset()) -> None:
        """Add the files of a folder and of its subfolders.

        Hidden entries, entries with a name in ``_LEFT_OUT``, and the paths in ``self._leave_out`` are skipped, and are
        not recorded. A folder that cannot be read is recorded in ``self.left_out``.

        Args:
            folder: the folder.
            above: real paths of the folders that contain this folder. A link to one of them is skipped, because
                following it would never end.
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
        """Read the files, and return their contents by name, in the order of the paths.

        A file that cannot be read is not in the dictionary, and is added to the files that are left out.

        Raises:
            ConfigError: all files together are too large.
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
        """Add a file, or the files of a folder. Logs, pipes, sockets, devices and broken links are left out.

        A log is a file that is being written, or that an earlier execution of the run left out as a log. A ``.py`` file
        is never treated as a log.
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
        """Record that a file or folder is left out, and why."""
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
