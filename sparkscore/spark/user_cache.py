"""Find the folder for what makes later starts faster, and store small facts there. Runs on the driver.

Everything in this folder can be removed at any time. Whoever can write there could change what Java loads, so the
folder is used only if it belongs to the current user and no one else may write there.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sparkscore.removal import put_in_place, remove_file

_NAME: Final = "sparkscore"
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def user_cache() -> Path | None:
    """Return the folder ``sparkscore`` in the user's cache folder, or None if there is no safe place for it.

    The cache folder is ``$XDG_CACHE_HOME``, or ``~/.cache`` if the variable is not set or is not an absolute path. The
    folder is created if it does not exist.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    with suppress(OSError, RuntimeError):  # RuntimeError: the user has no home directory
        folder = (Path(given) if given.startswith("/") else Path.home() / ".cache") / _NAME
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_ours_alone(folder) and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None


def is_ours_alone(path: Path) -> bool:
    """Return whether a file or folder belongs to the current user, no one else may write it, and it is not a link."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode) and not found.st_mode & _WRITABLE_BY_OTHERS


def read_fact(file: Path) -> Any:
    """Return the content of a JSON file in the cache, or None if there is none that can be used."""
    if not is_ours_alone(file):
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_fact(file: Path, content: object) -> None:
    """Write a JSON file in the cache. Other processes see the file only when it is complete. No error is raised."""
    with suppress(OSError):
        handle, name = tempfile.mkstemp(prefix=".", suffix=".unfinished", dir=file.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(content, stream)
            put_in_place(unfinished, file)
        finally:
            remove_file(unfinished)
