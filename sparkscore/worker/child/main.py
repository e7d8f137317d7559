"""Run the template process, which a worker starts, and the children that are forked from it.

A child loads the scorer and scores the mini-batches that the worker sends, until the worker closes the connection. The
template and its children use the interpreter named in the deployment, or else the worker's own interpreter. The
interpreter needs PyArrow, NumPy, pandas and packaging, but not Spark.
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
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from os import _exit
from typing import Any, Final

import numpy as np

from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Outcome
from sparkscore.worker.child.children import Children
from sparkscore.worker.child.ending import end_process
from sparkscore.worker.child.libraries import has_libraries, import_libraries, imported_libraries, is_shadowed
from sparkscore.worker.child.messages import (
    ChildForgotten,
    Connection,
    ConnectionLostError,
    DescriptorLostError,
    ForeignMessageError,
    Forked,
    LibrariesWanted,
)
from sparkscore.worker.child.plain_values import is_plain
from sparkscore.worker.child.shared_memory import SharedMemory
from sparkscore.worker.engine import Loaded, LocalEngine
from sparkscore.worker.freed_memory import keep_freed_memory
from sparkscore.worker.result import ResultSpec, without_known

_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PR_SET_PDEATHSIG: Final = 1
#: Exit code of a child that can no longer use its connection to the worker, because the user's code damaged it.
CONNECTION_BROKEN: Final = 121


def main(end: int, worker: int, token: str) -> None:
    """Fork a child for each request from the worker, until the worker closes the connection.

    Runs in the template process. In a forked child, this function answers the worker's requests until the child's own
    connection is closed. The worker may also ask the template to import libraries.

    Args:
        end: file descriptor of the template's end of the socket.
        worker: process id of the worker.
        token: token of the connection, in hexadecimal.
    """
    _die_with(worker)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_freed_memory()
    control = socket.socket(fileno=end)
    connection, children = Connection(control, bytes.fromhex(token), reads_ahead=False), Children()
    # A child's garbage collector then ignores the template's objects. Otherwise, it would write to their memory, which
    # the system would then have to copy.
    # Source: https://docs.python.org/3/library/gc.html#gc.freeze
    gc.freeze()
    number, template = 0, os.getpid()
    with suppress(ConnectionLostError):
        while True:
            children.wait_for_request(control)
            number += 1
            request = connection.receive(number, worker)
            if isinstance(request, LibrariesWanted):
                connection.send(import_libraries(*request), number)
                continue
            if isinstance(request, ChildForgotten):
                children.forget(request.pid)
                continue
            _, (child_end, trace, pipe, *shared), *_ = socket.recv_fds(control, 1, 4)
            memory = SharedMemory.received(shared)
            child = os.fork()
            if memory is not None:
                memory.close_descriptor()
            if not child:
                connection.close()
                children.leave()
                os.close(pipe)
                _be_child((child_end, trace), memory, (template, worker), request)
                return
            for descriptor in (child_end, trace):
                os.close(descriptor)
            if memory is not None:
                memory.close()
            children.add(child, pipe)
            connection.send(Forked(child, memory is not None), number)


def _be_child(descriptors: tuple[int, int], memory: SharedMemory | None, above: tuple[int, int], token: bytes) -> None:
    """Set up this newly forked child process, and answer the worker's requests until the connection is closed.

    Args:
        descriptors: file descriptors of the child's end of the socket, and of the file that receives the traceback of a
            crash.
        memory: memory that the child shares with the worker, or None.
        above: process ids of the template and of the worker.
        token: token of the connection.
    """
    template, worker = above
    os.setsid()
    _die_with(template)
    end, trace = descriptors
    for descriptor in descriptors:
        # Descriptors received through a socket are inheritable, but programs started by the user's code must not keep
        # them open.
        os.set_inheritable(descriptor, False)
    faulthandler.enable(trace)
    np.random.seed()  # noqa: NPY002 - each child must draw different random numbers
    connection = Connection(socket.socket(fileno=end), token)
    connection.memory = memory
    # Processes forked by the user's code must not answer requests or keep the connection open.
    os.register_at_fork(after_in_child=connection.close)
    _serve(connection, worker)
    end_process()


def _die_with(parent: int) -> None:
    """On Linux, make the kernel kill this process when its parent ends. If the parent has already ended, exit now."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call above
        os._exit(1)


def _serve(connection: Connection, worker: int) -> None:
    """Answer the worker's requests one by one, until the connection is closed.

    If the user's code closed or replaced the connection's file descriptor, the process exits with `CONNECTION_BROKEN`.
    """
    engine: Any = None
    spec: Any = None
    number, code = 0, None
    while True:
        number += 1
        try:
            name, *arguments = connection.receive(number, worker)
            if name == "load":
                # Spark may have added code to the worker's import path since this process started.
                sys.path[:] = [*arguments[1], *(path for path in sys.path if path not in arguments[1])]
                engine = LocalEngine(arguments[0])
                connection.may_view = engine.copies_rows_of
                arguments = []
            if name == "score":
                spec = arguments[1] = arguments[1] or spec
            known = {
                "load": partial(_load, engine),
                "score": partial(_score, engine),
                "files": partial(_score_files, engine, spec),
            }
            _answer(connection, number, known.get(name) or getattr(engine, name), arguments)
        except (DescriptorLostError, ForeignMessageError):
            code = CONNECTION_BROKEN
            break
        except ConnectionLostError:
            break
    if engine is not None:
        engine.close()
    if code is not None:
        _exit(code)


def _load(engine: LocalEngine) -> Loaded:
    loaded = engine.load()
    if loaded.failure is not None:
        return replace(loaded, is_shadowed=has_libraries())
    return replace(loaded, libraries=imported_libraries(), is_shadowed=is_shadowed(engine.import_path))


def _score(engine: LocalEngine, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
    # The worker already has the carried columns. Sending them back would take as long as it took to send them here.
    return without_known(engine.score(mini_batch, spec, scored_at), mini_batch, spec)


def _score_files(engine: LocalEngine, spec: ResultSpec, *values: Any) -> tuple[object] | Outcome:
    """Score files with the result specification of the last mini-batch.

    Return a plain value of the user's code as the only element of a tuple. The worker makes the result rows from it,
    which takes much less time than sending a few rows of Arrow.

    Args:
        engine: the engine.
        spec: how to build the result rows.
        values: values of the `MiniBatch`, in the order of its fields.
    """
    mini_batch = MiniBatch(*values)
    returned = engine.call(mini_batch)
    if is_plain(returned) and engine.returned_all:
        return (returned,)
    # The worker adds the time.
    return without_known(engine.outcome_of(returned, mini_batch, spec, _ANY_TIME), mini_batch, spec)


def _answer(connection: Connection, number: int, method: Any, arguments: list[Any]) -> None:
    """Call a method of the engine, and send the worker the method's result, or a traceback if it raises an exception.

    The engine's methods return failures of the user's code instead of raising them. An exception therefore usually
    means that the user's code has damaged the interpreter.

    Raises:
        ConnectionLostError: the worker has ended, or the connection is closed.
    """
    try:
        answer = method(*arguments)
        connection.send(("answer", answer), number, has_only_plain_values=isinstance(answer, tuple))
    except ConnectionLostError:
        raise
    except BaseException:  # noqa: BLE001 - the worker waits for an answer
        connection.send(("broken", traceback.format_exc()), number)
