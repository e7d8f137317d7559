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
from os import _exit
from typing import Any, Final

from sparkscore.worker.engine import LocalEngine
from sparkscore.worker.messages import Connection, ConnectionLostError, DescriptorLostError, ForeignMessageError

_PR_SET_PDEATHSIG: Final = 1
#: How the child ends whose connection was closed or written to by the code that it ran.
CONNECTION_BROKEN: Final = 121


def main(end: int, trace: int, worker: int, token: str) -> None:
    """Answer requests until the worker closes its end.

    Args:
        end: file descriptor of this process's end of the socket.
        trace: file descriptor of the file for tracebacks of a crash.
        worker: process id of the worker.
        token: what each message begins with, in hexadecimal digits.
    """
    _die_with(worker)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(trace)
    os.set_inheritable(end, False)
    os.set_inheritable(trace, False)
    connection = Connection(socket.socket(fileno=end), bytes.fromhex(token))
    # A process that the user's code forks cannot answer, and does not keep the connection open.
    os.register_at_fork(after_in_child=connection.close)
    _serve(connection, worker)


def _die_with(worker: int) -> None:
    """Let the kernel kill this process when the worker ends, however that ends; only Linux can.

    Elsewhere it ends when it next listens to the worker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it has ended meanwhile
        os._exit(1)


def _serve(connection: Connection, worker: int) -> None:
    engine: LocalEngine | None = None
    number, code = 0, None
    while True:
        number += 1
        try:
            name, *arguments = connection.receive(number, worker)
            if name == "load":
                # The worker may have been given more code since this process began.
                sys.path[:] = [*arguments[1], *(path for path in sys.path if path not in arguments[1])]
                engine = LocalEngine(arguments[0])
                arguments = []
            _answer(connection, number, getattr(engine, name), arguments)
        except (DescriptorLostError, ForeignMessageError):
            code = CONNECTION_BROKEN
            break
        except ConnectionLostError:
            break
    if engine is not None:
        engine.close()
    if code is not None:
        _exit(code)


def _answer(connection: Connection, number: int, method: Any, arguments: list[Any]) -> None:
    """Answer a call; where the user's code left an interpreter that cannot, say so in plain text."""
    try:
        connection.send(("answer", method(*arguments)), number)
    except ConnectionLostError:
        raise
    except BaseException:  # noqa: BLE001 - the process does not end without an answer
        connection.send(("broken", traceback.format_exc()), number)
