"""Keep memory that one mini-batch has freed for the next one, instead of giving it back to the system."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

# M_MMAP_THRESHOLD and M_TRIM_THRESHOLD
_KEPT: Final = ((-3, 32 << 20), (-1, 64 << 20))
_VARIABLES: Final = {"GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}


def keep_freed_memory() -> None:
    """Let this process and its children keep up to 64 MiB of freed memory, instead of giving it back at once.

    Runs in a worker process, and in the template of its children. A mini-batch needs a few MiB for its rows and for
    the model's arrays. If they are given back after each call, the system has to clear them again for the next one,
    which takes a tenth of the call's time, or more. The values are those that the GNU C library itself chooses once a
    block of 32 MiB has been freed. The user's own settings are kept; with other C libraries, nothing is done.
    Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None and not _VARIABLES & os.environ.keys():
        for option, size in _KEPT:
            mallopt(option, size)
