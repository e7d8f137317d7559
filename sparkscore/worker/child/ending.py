"""End a child process without taking apart the libraries that it shares with its template. Runs in child processes.

When Python ends, it removes each module and frees each object. In a child, this writes to the memory of all libraries,
which the system must copy first. That takes a few tenths of a second, and a task waits for it.
"""

from __future__ import annotations

import atexit
import gc
import io
import sys
import threading
from contextlib import suppress
from os import _exit  # a script may replace os._exit
from typing import Any, Final

# Base class of all files in Python. `io.IOBase` is derived from it.
_FILE: Final[type] = io.IOBase.__mro__[1]
_WITHOUT_UNWRITTEN_DATA: Final = frozenset({io.FileIO, io.BytesIO, io.StringIO, io.BufferedReader})


def end_process() -> None:
    """End this process with exit code 0, after what the user's code may rely on.

    As at the usual end of Python, this waits for threads, calls the functions that were registered with `atexit`, and
    frees the objects of the script's modules, which must have been unloaded before. What libraries keep is not freed.
    If a file is open for writing even then, this function returns, and Python itself must end the process.
    """
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
    with suppress(BaseException):
        atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing does for its own functions
    gc.collect()
    if _has_file_to_write():
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    _exit(0)


def _has_file_to_write() -> bool:
    """Return whether a file that this process has opened may have data that has not been written yet.

    The objects of the template, such as the standard streams, are not looked at.
    """
    objects = gc.get_objects()
    kinds = {each for each in {*map(type, objects)} if issubclass(each, _FILE)} - _WITHOUT_UNWRITTEN_DATA
    return bool(kinds) and any(type(each) in kinds and _is_open_for_writing(each) for each in objects)


def _is_open_for_writing(file: Any) -> bool:
    try:
        return not file.closed and bool(file.writable())
    except BaseException:  # noqa: BLE001 - it may be a class of the user's
        return True
