"""Pack a scoring script with the files beside it for its way to the workers (driver; standard library only)."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sparkscore.errors import ConfigError, ScoringScriptError

_MOST_BYTES = 64 * 1024 * 1024
_LEFT_OUT = {"__pycache__", "sparkscore-runs", "node_modules"}
# The oldest time that a ZIP archive can hold: the archive depends on the files' contents alone.
_SAME_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class PackedScript:
    """A scoring script ready to travel.

    Attributes:
        path: the script's place on the driver.
        name: its path inside the code folder.
        code: the code folder as the bytes of a ZIP archive.
        sha256: digest of the folder's file names and contents.
    """

    path: Path
    name: str
    code: bytes
    sha256: str

    def describe(self) -> dict[str, str]:
        """Describe the script for the run record."""
        return {"path": str(self.path), "sha256": self.sha256}


def pack_script(folder: Path, script: str, leave_out: Iterable[Path] = ()) -> PackedScript:
    """Pack the code folder of a scoring script. Hidden files and caches stay behind.

    Args:
        folder: the code folder.
        script: the script's path in it.
        leave_out: what is no code though it may lie in the code folder, such as the output of the last run.

    Raises:
        ScoringScriptError: the script is not there.
        ConfigError: the folder is too large to be sent to every worker.
    """
    path = folder / os.path.normpath(script)
    data = frozenset(place.resolve() for place in leave_out)
    files = sorted(_files_of(folder, data)) if path.is_file() else []
    if path not in files:
        raise ScoringScriptError(
            code="SCRIPT_NOT_FOUND",
            what=f"scoring script '{path}'",
            got="a file outside the code folder, or hidden in it" if path.is_file() else "no such file",
            next_step="Correct 'code_configuration.code' and 'code_configuration.scoring_script'.",
        )
    total = sum(file.stat().st_size for file in files)
    if total > _MOST_BYTES:
        raise _too_large(folder, total)
    buffer, digest = io.BytesIO(), hashlib.sha256()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            name, content = file.relative_to(folder).as_posix(), file.read_bytes()
            archive.writestr(zipfile.ZipInfo(name, _SAME_TIME), content, zipfile.ZIP_DEFLATED)
            digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode(errors="surrogateescape"))
    return PackedScript(path, path.relative_to(folder).as_posix(), buffer.getvalue(), digest.hexdigest())


def _files_of(folder: Path, leave_out: frozenset[Path]) -> Iterator[Path]:
    # A link to a folder above would lead in a circle.
    leave_out |= {folder.resolve()}
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name in _LEFT_OUT or entry.resolve() in leave_out:
            continue
        if entry.is_file():
            yield entry
        elif entry.is_dir():
            yield from _files_of(entry, leave_out)


def _too_large(folder: Path, total: int) -> ConfigError:
    return ConfigError(
        code="CODE_TOO_LARGE",
        what=f"code folder '{folder}'",
        got=f"{total / 1024**2:,.0f} MiB",
        expected=f"at most {_MOST_BYTES // 1024**2} MiB, since every worker gets a copy",
        next_step="Put the scoring script into a folder of its own and name it in 'code_configuration.code'.",
    )
