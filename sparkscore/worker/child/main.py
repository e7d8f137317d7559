"""What runs in a worker's child process, and in the template that it is a copy of (child).

A child loads the scorer and scores what the worker sends, until that closes its end.

It runs in the interpreter that the deployment names, which needs PyArrow, NumPy, pandas and packaging, and no Spark.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import resource
import signal
import socket
import sys
import traceback
from contextlib import suppress
from os import _exit
from typing import Any, Final

import numpy as np

from sparkscore.worker.child.messages import Connection, ConnectionLostError, DescriptorLostError, ForeignMessageError
from sparkscore.worker.engine import LocalEngine

_PR_SET_PDEATHSIG: Final = 1
#: How the child ends whose connection was closed or written to by the code that it ran.
CONNECTION_BROKEN: Final = 121


def main(end: int, worker: int, token: str) -> None:
    """Start a child whenever the worker asks for one, until the worker closes its end (template).

    Args:
        end: file descriptor of this process's end of the socket.
        worker: process id of the worker.
        token: what each message begins with, in hexadecimal digits.
    """
    _die_with(worker)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control = socket.socket(fileno=end)
    connection = Connection(control, bytes.fromhex(token))
    # A collection in a child then leaves alone what it shares with this process; else each page would be copied.
    gc.freeze()
    number, template = 0, os.getpid()
    with suppress(ConnectionLostError):
        while True:
            number += 1
            child_token = connection.receive(number, worker)
            _, (child_end, trace), *_ = socket.recv_fds(control, 1, 2)
            child = os.fork()
            if not child:
                connection.close()
                _be_child(child_end, trace, template, worker, child_token)
                return
            os.close(child_end)
            os.close(trace)
            connection.send(child, number)
            connection.send(_wait_for(child), number)
            number += 1
            connection.receive(number, worker)
            os.waitpid(child, 0)


def _be_child(end: int, trace: int, template: int, worker: int, token: bytes) -> None:
    """Answer the worker's requests, as a process that nothing connects to the one that it is a copy of."""
    os.setsid()
    _die_with(template)
    for descriptor in (end, trace):
        # Source: those that come through a socket are inheritable; another program must not keep them.
        os.set_inheritable(descriptor, False)
    faulthandler.enable(trace)
    np.random.seed()  # noqa: NPY002 - what it draws without a seed is not what the next child draws
    connection = Connection(socket.socket(fileno=end), token)
    # A process that the user's code forks cannot answer, and does not keep the connection open.
    os.register_at_fork(after_in_child=connection.close)
    _serve(connection, worker)


def _wait_for(child: int) -> int:
    """Wait for a child's end, and give its exit code as `subprocess` does: a signal is a negative number.

    Its process id stays taken, so that the worker cannot signal another process.
    """
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    if ended is None:  # never, without WNOHANG
        raise ChildProcessError(child)
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, however that ends; only Linux can.

    Elsewhere it ends when it next listens to the worker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended meanwhile
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
