"""Run the user's code so that this process is itself again afterwards: one process, with its own built-ins (worker)."""

from __future__ import annotations

import builtins
from os import O_RDWR, _exit, devnull, fstat, getpid, set_inheritable  # the user's code may replace the module's
from os import open as open_descriptor
from types import TracebackType
from typing import Any, Final

_NAMES: Final[dict[str, Any]] = vars(builtins)
_STANDARD_STREAMS: Final = (0, 1, 2)


class Contained:
    """A context, to be entered again for each call, whose body is a call of the user's code.

    A copy of this process that the body forks ends where it comes back from the body: it is no second scorer. Names
    such as ``len`` that the body replaces are the user's code's own; they are there again in its next call. Standard
    streams that the body closes lead nowhere afterwards: the next file that is opened here would get their numbers, and
    with them what is printed and what the body closes again.
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
        # No built-in function is called before they are ours again.
        if getpid() != self._process:
            _exit(0)
        self._theirs = None
        if self._ours != _NAMES:
            self._theirs = _NAMES.copy()
            _set(self._ours)
        for stream in _STANDARD_STREAMS:
            _keep_open(stream)


def _set(names: dict[str, Any]) -> None:
    _NAMES.update(names)
    for name in [name for name in _NAMES if name not in names]:
        del _NAMES[name]


def _keep_open(stream: int) -> None:
    try:
        fstat(stream)
    except OSError:
        try:
            # The lowest number that is free, which is this one: the lower ones are open.
            set_inheritable(open_descriptor(devnull, O_RDWR), True)
        except OSError:
            return  # the body has used up all descriptors
