"""Create the folder for the files that the driver sends to workers, and remove the folders of drivers that were killed.

Runs on the driver.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from sparkscore.removal import make_folder, put_in_place, remove_made

_PREFIX: Final = "sparkscore-sent-"
_LOCK: Final = "lock"


@cache
def sent_folder() -> Path:
    """Return this process's folder for the files that it sends to workers.

    The folder is kept until the process ends, because executors that start later fetch the files from it.

    Raises:
        OSError: the folder cannot be created.
    """
    return make_sent_folder(Path(tempfile.gettempdir()))


def make_sent_folder(parent: Path) -> Path:
    """Create a locked folder for the files that this driver sends to the workers.

    Before that, remove the folders that killed drivers of the same user left behind.

    Args:
        parent: the folder for temporary files, in which the folder is created.

    Raises:
        OSError: the folder cannot be created.
    """
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_if_left(left)
    folder = make_folder(_PREFIX, parent, ends_with_process=True)
    unlocked = folder / f".{_LOCK}"
    # The descriptor is not closed: the lock is released when the process ends, however it ends.
    fcntl.flock(os.open(unlocked, os.O_WRONLY | os.O_CREAT, 0o600), fcntl.LOCK_EX)
    # The lock file gets its name only after it is locked, so if it is not locked, its process has ended.
    put_in_place(unlocked, folder / _LOCK)
    return folder


def _remove_if_left(folder: Path) -> None:
    """Remove a folder if the process that created it has ended.

    Symbolic links and folders that belong to another user are not removed.

    Raises:
        OSError: the process is still running, or the folder is still being created.
    """
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return
    with (folder / _LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_made(folder)
