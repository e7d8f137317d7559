"""Send and receive messages between a worker and its child: pickled objects, with a deadline (worker, child).

Each message begins with the token of the connection, the number of the call and the id of the process that wrote it.
Each call has one answer, written by the child itself. Anything else that is read is refused: the user's code, or a
process that it started, may have written it.
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
# A socket does not send or receive more than this at once, so larger pieces would cost memory and save no time.
_PIECE: Final = 1 << 20
# A process that the other one forked may keep the socket open, so this often it is checked that the other one is alive.
_LOOK_SECONDS: Final = 0.25
TOKEN_BYTES: Final = 16


class ConnectionLostError(Exception):
    """The other process has ended, or closed its end of the connection."""


class DescriptorLostError(ConnectionLostError):
    """Code in this process closed the file descriptor of the connection, or opened another file under its number."""


class ForeignMessageError(Exception):
    """The data that was read is not the expected message."""


class Connection:
    """One end of the socket between a worker and its child.

    Both processes belong to one user and run the code of one run, so unpickling is as safe as running that code.
    """

    def __init__(self, end: socket.socket, token: bytes, *, is_other_alive: Callable[[], bool] | None = None) -> None:
        """Use a socket as one end of a connection.

        Args:
            end: the socket.
            token: the first bytes of each message, which are the same at both ends and unique to this connection.
            is_other_alive: returns whether the other process has not ended. Without it, only the socket shows that.
        """
        self._socket = end
        self._token = token
        self._is_other_alive = is_other_alive
        self._file = _file_of(end)

    def send(self, message: object, number: int, timeout: float | None = None) -> None:
        """Send one message.

        Raises:
            TimeoutError: the other process did not read the message in time.
            DescriptorLostError: this end of the connection was closed or replaced.
            ConnectionLostError: the other process has ended, or closed its end.
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
        """Wait for one message and return it.

        Args:
            number: the number that the message must have.
            sender: id of the process that must have written it.
            timeout: seconds to wait, or None for any time.

        Raises:
            TimeoutError: no complete message arrived in time.
            ForeignMessageError: something else than the expected message arrived.
            DescriptorLostError: this end of the connection was closed or replaced.
            ConnectionLostError: the other process has ended, or closed its end.
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
        """Wait until there is something to read, or the connection is closed; return whether that happened in time."""
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        return bool(ready.poll(seconds * 1000))

    def close(self) -> None:
        """Close this end of the connection. The other process can then read nothing more."""
        self._socket.close()

    def _check_own_end(self) -> None:
        """Raise a `DescriptorLostError` if the descriptor of this end is closed or stands for another file."""
        if self._file is None or _file_of(self._socket) != self._file:
            raise DescriptorLostError

    def _read(self, size: int, deadline: float | None) -> bytearray:
        """Return exactly this many bytes."""
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            got = self._move(deadline, self._socket.recv_into, view[filled : filled + _PIECE])
            if not got:
                raise ConnectionLostError
            filled += got
        return data

    def _move(self, deadline: float | None, move: Callable[[memoryview], int], piece: memoryview) -> int:
        """Send or receive some bytes of a piece, and return how many; wait until the socket is ready for that."""
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
                # Checked only after the timeout, so that a message is read that the process wrote before it ended.
                if not is_alive:
                    raise ConnectionLostError from None
            except OSError as error:
                raise ConnectionLostError from error


def _file_of(end: socket.socket) -> tuple[int, int] | None:
    """Return device and inode of the file that a socket's descriptor stands for, or None if it is closed."""
    try:
        found = os.fstat(end.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _dump(message: object) -> list[pickle.PickleBuffer]:
    """Return the pickled message and, as separate buffers that are not copied, the data of its tables."""
    buffers: list[pickle.PickleBuffer] = []
    text = io.BytesIO()
    _Pickler(text, protocol=5, buffer_callback=buffers.append).dump(message)
    return [pickle.PickleBuffer(text.getvalue()), *buffers]


class _Pickler(pickle.Pickler):
    """A pickler that writes Arrow tables as Arrow streams, since a pickled slice would contain the whole table."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, pa.Table):
            return _read_stream, (pickle.PickleBuffer(write_stream(value)),)
        return NotImplemented


def write_stream(table: pa.Table) -> pa.Buffer:
    """Return a table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _read_stream(stream: object) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
