"""Messages between a worker and its child: pickles whose Arrow tables travel as streams, with a deadline (worker).

Each message begins with the connection's token, the number of the call and the process that wrote it. A call has one
answer, from the child itself; whatever else is read is refused.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import socket
import struct
import time
from collections.abc import Callable
from os import getpid  # a script may replace os.getpid
from typing import Any, Final

import pyarrow as pa

_HEADER: Final = struct.Struct("!16sQQQ")
_SIZE: Final = struct.Struct("!Q")
# A socket of the system takes and gives no more than this at once; larger pieces cost memory and no time less.
_PIECE: Final = 1 << 20
# A process that the other end has forked may hold the socket open, so the end of the other end is asked for, too.
_LOOK_SECONDS: Final = 0.25
TOKEN_BYTES: Final = 16


class ConnectionLostError(Exception):
    """The other process is gone, or closed its end."""


class DescriptorLostError(ConnectionLostError):
    """Code in this process closed the descriptor, or replaced what it stands for."""


class ForeignMessageError(Exception):
    """What was read is not the message that has to come now."""


class Connection:
    """One end of the socket between a worker and its child.

    Both ends belong to one user and hold one run's own code, so pickles are as safe as that code is.
    """

    def __init__(self, end: socket.socket, token: bytes, *, is_other_alive: Callable[[], bool] | None = None) -> None:
        """Take an end.

        Args:
            end: the socket.
            token: what each message begins with, the same at both ends and no other connection's.
            is_other_alive: asks whether the other process is there; without it the socket alone tells.
        """
        self._socket = end
        self._token = token
        self._is_other_alive = is_other_alive
        self._file = _file_of(end)

    def send(self, message: object, number: int, timeout: float | None = None) -> None:
        """Send one message.

        Raises:
            TimeoutError: the other end did not take it in time.
            DescriptorLostError: this end is no longer there.
            ConnectionLostError: the other end is gone.
        """
        parts = [part.raw() for part in _dump(message)]
        self._check_own_end()
        header = _HEADER.pack(self._token, number, getpid(), len(parts))
        header += b"".join(_SIZE.pack(part.nbytes) for part in parts)
        deadline = _deadline(timeout)
        for part in (memoryview(header), *parts):
            sent = 0
            while sent < part.nbytes:
                sent += self._move(deadline, self._socket.send, part[sent : sent + _PIECE])

    def receive(self, number: int, sender: int, timeout: float | None = None) -> Any:
        """Wait for one message.

        Args:
            number: the number that it must have.
            sender: the process that must have written it.
            timeout: seconds to wait; without end if None.

        Raises:
            TimeoutError: no whole message came in time.
            ForeignMessageError: something else came.
            DescriptorLostError: this end is no longer there.
            ConnectionLostError: the other end is gone.
        """
        self._check_own_end()
        deadline = _deadline(timeout)
        token, *found, count = _HEADER.unpack(self._read(_HEADER.size, deadline))
        if token != self._token or found != [number, sender]:
            raise ForeignMessageError
        sizes = [_SIZE.unpack(self._read(_SIZE.size, deadline))[0] for _ in range(count)]
        message, *buffers = [self._read(size, deadline) for size in sizes]
        return pickle.loads(message, buffers=buffers)  # noqa: S301 - see the class

    def wait(self, seconds: float) -> bool:
        """Wait until something can be read, a message or the end of the connection; tell whether it can."""
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        return bool(ready.poll(seconds * 1000))

    def close(self) -> None:
        """Close this end; the other one then reads nothing more."""
        self._socket.close()

    def _check_own_end(self) -> None:
        if self._file is None or _file_of(self._socket) != self._file:
            raise DescriptorLostError

    def _read(self, size: int, deadline: float | None) -> bytearray:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            got = self._move(deadline, self._socket.recv_into, view[filled : filled + _PIECE])
            if not got:
                raise ConnectionLostError
            filled += got
        return data

    def _move(self, deadline: float | None, move: Callable[[memoryview], int], piece: memoryview) -> int:
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            is_alive = self._is_other_alive is None or self._is_other_alive()
            if self._is_other_alive is not None:
                left = _LOOK_SECONDS if left is None else min(left, _LOOK_SECONDS)
            try:
                self._socket.settimeout(left)
                return move(piece)
            except TimeoutError:
                # What it wrote before its end was waited for.
                if not is_alive:
                    raise ConnectionLostError from None
            except OSError as error:
                raise ConnectionLostError from error


def _file_of(end: socket.socket) -> tuple[int, int] | None:
    try:
        found = os.fstat(end.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _dump(message: object) -> list[pickle.PickleBuffer]:
    buffers: list[pickle.PickleBuffer] = []
    text = io.BytesIO()
    _Pickler(text, protocol=5, buffer_callback=buffers.append).dump(message)
    return [pickle.PickleBuffer(text.getvalue()), *buffers]


class _Pickler(pickle.Pickler):
    """Writes Arrow tables as streams: a pickled slice would bring along the whole table that it is cut from."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, pa.Table):
            return _read_stream, (pickle.PickleBuffer(write_stream(value)),)
        return NotImplemented


def write_stream(table: pa.Table) -> pa.Buffer:
    """Write a table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _read_stream(stream: object) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
