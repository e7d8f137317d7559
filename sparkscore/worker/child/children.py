"""Watch the children of a template process, and report to the worker how each of them ended. Runs in the template."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from contextlib import suppress
from typing import Final

#: What is written to a child's pipe when the child has ended: its exit code, or the negated number of a signal.
EXIT_CODE: Final = struct.Struct("!i")
_PIECE: Final = 4096


class Children:
    """The running children of this process, each with a pipe that tells the worker how the child ended.

    A child's process id is not released before `forget`. Otherwise, the system could give it to another process, which
    the worker might then kill.
    """

    def __init__(self) -> None:
        """Have the system wake up this process when a child ends."""
        self._pipes: dict[int, int] = {}
        self._woken, self._waker = os.pipe()
        for descriptor in (self._woken, self._waker):
            os.set_blocking(descriptor, False)
        self._before = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def wait_for_request(self, control: socket.socket) -> None:
        """Report the children that end, until the worker sends a request or closes its end of the connection."""
        ready = select.poll()
        for each in (control.fileno(), self._woken):
            ready.register(each, select.POLLIN)
        while True:
            found = {descriptor for descriptor, _ in ready.poll()}
            if self._woken in found:
                # Emptied before the children are looked at, so that none that ends meanwhile is missed.
                with suppress(BlockingIOError):
                    os.read(self._woken, _PIECE)
                self._report()
            if control.fileno() in found:
                return

    def add(self, child: int, pipe: int) -> None:
        """Watch a child that has just been forked.

        Args:
            child: process id of the child.
            pipe: descriptor to write the child's exit code to. It is closed afterwards.
        """
        os.set_inheritable(pipe, False)  # programs that a library starts while it is imported must not keep it open
        self._pipes[child] = pipe

    def forget(self, child: int) -> None:
        """Release the process id of a child whose end has been reported."""
        os.waitpid(child, 0)

    def leave(self) -> None:
        """Undo the settings of this process. Called in a new child, before any of the user's code runs."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, self._before)
        for descriptor in (self._woken, self._waker, *self._pipes.values()):
            os.close(descriptor)

    def _report(self) -> None:
        for child, pipe in list(self._pipes.items()):
            ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                continue
            code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            with suppress(BrokenPipeError):  # the worker does not wait any more
                os.write(pipe, EXIT_CODE.pack(code))
            os.close(self._pipes.pop(child))
