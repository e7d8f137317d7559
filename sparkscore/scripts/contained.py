"""Undo what the user's code does to its process: forks, replaced built-ins, closed streams.

Runs on the workers, also in child processes.
"""

from __future__ import annotations

import builtins
from os import O_RDWR, _exit, devnull, fstat, getpid, set_inheritable  # user code may patch the os module
from os import open as open_descriptor
from types import TracebackType
from typing import Any, Final

_NAMES: Final[dict[str, Any]] = vars(builtins)
_STANDARD_STREAMS: Final = (0, 1, 2)


class Contained:
    """Reusable context manager for calls of the user's code that undoes these side effects when a call ends.

    - Forked processes: they exit when they leave the context, so that only one process scores.
    - Replaced built-in names, such as ``len``: the original is restored. The user's replacement is active again when
      the same `Contained` object is entered for the next call.
    - Closed standard streams: they are reopened as ``/dev/null``. Otherwise, the next file that the process opens would
      get the stream's descriptor, and printed text would be written to that file.
    """

    def __init__(self) -> None:
        self._theirs: dict[str, Any] | None = None
        self._ours: dict[str, Any] = {}
        self._process = 0

    def __enter__(self) -> None:
        self._process, self._ours = getpid(), _NAMES.copy()
        if self._theirs is not None:
            _set(self._theirs)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # No built-in function may be called before the built-in names are restored.
        if getpid() != self._process:
            _exit(0)
        self._theirs = None
        if self._ours != _NAMES:
            self._theirs = _NAMES.copy()
            _set(self._ours)
        for stream in _STANDARD_STREAMS:
            _keep_open(stream)


def _set(names: dict[str, Any]) -> None:
    """Set Python's built-ins to the given names and values, and remove all other built-ins."""
    _NAMES.update(names)
    for name in [name for name in _NAMES if name not in names]:
        del _NAMES[name]


def _keep_open(stream: int) -> None:
    """Open a standard stream as ``/dev/null`` if it is closed."""
    try:
        fstat(stream)
    except OSError:
        try:
            # The system uses the lowest free descriptor, which is this one, because the lower ones are open.
            set_inheritable(open_descriptor(devnull, O_RDWR), True)
        except OSError:
            return  # the user code has used all descriptors
