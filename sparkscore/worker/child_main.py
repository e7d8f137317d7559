"""What runs in a worker's child process: load the scorer, score what the worker sends, until it closes its end (child).

It runs in the interpreter that the deployment names, which needs PyArrow, NumPy, pandas and packaging, and no Spark.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
import traceback
from typing import Any, Final

from sparkscore.worker.engine import LocalEngine
from sparkscore.worker.messages import Connection, ConnectionLostError

_PR_SET_PDEATHSIG: Final = 1


def main(end: int, trace: int, worker: int) -> None:
    """Answer requests until the worker closes its end.

    Args:
        end: file descriptor of this process's end of the socket.
        trace: file descriptor of the file for tracebacks of a crash.
        worker: process id of the worker.
    """
    _die_with(worker)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(trace)
    os.set_inheritable(end, False)
    os.set_inheritable(trace, False)
    _serve(Connection(socket.socket(fileno=end)))


def _die_with(worker: int) -> None:
    """Let the kernel kill this process when the worker ends, however that ends; only Linux can.

    Elsewhere it ends when it next listens to the worker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it has ended meanwhile
        os._exit(1)


def _serve(connection: Connection) -> None:
    engine: LocalEngine | None = None
    while True:
        try:
            name, *arguments = connection.receive()
        except ConnectionLostError:
            break
        if name == "load":
            # The worker may have been given more code since this process began.
            sys.path[:] = [*arguments[1], *(path for path in sys.path if path not in arguments[1])]
            engine = LocalEngine(arguments[0])
            arguments = []
        connection.send(_reply(getattr(engine, name), arguments))
    if engine is not None:
        engine.close()


def _reply(method: Any, arguments: list[Any]) -> object:
    try:
        return method(*arguments)
    except Exception:  # noqa: BLE001 - a bug of sparkscore's, which the worker raises
        return RuntimeError(traceback.format_exc())
