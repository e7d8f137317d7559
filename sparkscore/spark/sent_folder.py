"""Make the driver's folder for the files that it sends to workers, and remove those of drivers that were killed.

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
    """Return this process's folder for the files that it sends. It is removed when the process ends.

    Executors that start later ask the driver for the files again. So the files stay as long as the process runs.

    Raises:
        OSError: the folder cannot be made.
    """
    return make_sent_folder(Path(tempfile.gettempdir()))


def make_sent_folder(parent: Path) -> Path:
    """Make a locked folder, after removing the folders of this user's drivers that were killed.

    Args:
        parent: the folder for temporary files.

    Raises:
        OSError: the folder cannot be made.
    """
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_if_left(left)
    folder = make_folder(_PREFIX, parent, ends_with_process=True)
    unlocked = folder / f".{_LOCK}"
    # The descriptor is not closed: the lock is released when the process ends, however it ends.
    fcntl.flock(os.open(unlocked, os.O_WRONLY | os.O_CREAT, 0o600), fcntl.LOCK_EX)
    # Only now can others see the lock: a lock that is seen and not held is one of a process that has ended.
    put_in_place(unlocked, folder / _LOCK)
    return folder


def _remove_if_left(folder: Path) -> None:
    """Remove a folder if the process that made it has ended.

    Raises:
        OSError: the process is running, or the folder belongs to another user, or is just being made.
    """
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return
    with (folder / _LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_made(folder)
