"""Exchange pickled objects between a worker and its child, with a time limit.

Runs on the workers, also in child processes.

Each message begins with the connection's token, the call number and the sender's process id. The receiver knows which
values to expect. Any other data raises an error, because the user's code, or a process it started, may have written to
the socket.
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
# A socket does not send or receive more bytes than this at once. Larger pieces would use more memory without saving
# time.
_PIECE: Final = 1 << 20
# Seconds between checks whether the other process is still running. The socket does not always show that, because a
# process forked by the other process may keep it open.
_LOOK_SECONDS: Final = 0.25
TOKEN_BYTES: Final = 16


class ConnectionLostError(Exception):
    """The other process has ended or closed its end of the connection, or the socket cannot be used."""


class DescriptorLostError(ConnectionLostError):
    """Code in this process closed the connection's file descriptor, or reused its number for another file."""


class ForeignMessageError(Exception):
    """The received data is not the expected message."""


class Connection:
    """One end of the socket between a worker and its child, or between a worker and its template.

    Messages are unpickled. This is as safe as running the user's code, because both processes belong to the same user.
    """

    def __init__(self, end: socket.socket, token: bytes, *, is_other_alive: Callable[[], bool] | None = None) -> None:
        """Use a socket as one end of a connection.

        Args:
            end: the socket.
            token: first bytes of each message, the same at both ends and unique to this connection.
            is_other_alive: function that returns whether the other process is still running. Without it, only the
                socket shows that the process has ended.
        """
        self._socket = end
        self._token = token
        self._is_other_alive = is_other_alive
        self._file = _file_of(end)

    def send(self, message: object, number: int, timeout: float | None = None) -> None:
        """Send one message.

        Args:
            message: object to pickle and send.
            number: number of the call.
            timeout: time limit in seconds, or None for no limit.

        Raises:
            TimeoutError: the other process did not read the message in time.
            DescriptorLostError: the file descriptor of this end was closed or replaced.
            ConnectionLostError: the other process has ended or closed its end.
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
        """Wait for one message and return its object.

        Args:
            number: expected call number.
            sender: expected process id of the sender.
            timeout: time limit in seconds, or None for no limit.

        Raises:
            TimeoutError: no complete message arrived in time.
            ForeignMessageError: the received data is not the expected message.
            DescriptorLostError: the file descriptor of this end was closed or replaced.
            ConnectionLostError: the other process has ended or closed its end.
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
        """Wait until data arrives or the connection is closed. Return False if the time runs out first."""
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        return bool(ready.poll(seconds * 1000))

    def close(self) -> None:
        """Close this end of the connection."""
        self._socket.close()

    def _check_own_end(self) -> None:
        """Raise `DescriptorLostError` if this end's file descriptor is closed or now refers to a different file."""
        if self._file is None or _file_of(self._socket) != self._file:
            raise DescriptorLostError

    def _read(self, size: int, deadline: float | None) -> bytearray:
        """Read exactly `size` bytes from the socket and return them.

        Raises:
            TimeoutError: the bytes did not arrive before the deadline.
            ConnectionLostError: the other process has ended or closed its end.
        """
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            got = self._move(deadline, self._socket.recv_into, view[filled : filled + _PIECE])
            if not got:
                raise ConnectionLostError
            filled += got
        return data

    def _move(self, deadline: float | None, move: Callable[[memoryview], int], piece: memoryview) -> int:
        """Wait until the socket is ready, then send or receive up to `piece.nbytes` bytes and return how many.

        When receiving, 0 means that the other process has closed its end.

        Args:
            deadline: monotonic time at which to stop waiting, or None for no limit.
            move: socket method that sends or receives bytes.
            piece: the bytes to send, or the buffer to receive into.

        Raises:
            TimeoutError: the socket was not ready before the deadline.
            ConnectionLostError: the other process has ended, or the socket cannot be used.
        """
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
                # Only checked after the timeout, so that a message sent before the process ended is still read.
                if not is_alive:
                    raise ConnectionLostError from None
            except OSError as error:
                raise ConnectionLostError from error


def _file_of(end: socket.socket) -> tuple[int, int] | None:
    """Return the device and inode of the file behind a socket's descriptor, or None if the descriptor is closed."""
    try:
        found = os.fstat(end.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _dump(message: object) -> list[pickle.PickleBuffer]:
    """Return the pickled message, followed by its out-of-band buffers, for example Arrow table data."""
    buffers: list[pickle.PickleBuffer] = []
    text = io.BytesIO()
    _Pickler(text, protocol=5, buffer_callback=buffers.append).dump(message)
    return [pickle.PickleBuffer(text.getvalue()), *buffers]


class _Pickler(pickle.Pickler):
    """A pickler that writes Arrow tables as Arrow streams, because a pickled slice would contain the whole table."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, pa.Table):
            return _read_stream, (pickle.PickleBuffer(write_stream(value)),)
        return NotImplemented


def write_stream(table: pa.Table) -> pa.Buffer:
    """Serialize a table to a buffer in Arrow's IPC stream format."""
    # A buffer that grows is copied several times, so the size is found out first, without copying any data.
    counter = pa.MockOutputStream()
    _write(counter, table)
    buffer = pa.allocate_buffer(counter.size())
    _write(pa.FixedSizeBufferWriter(buffer), table)
    return buffer


def _write(sink: pa.NativeFile, table: pa.Table) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def _read_stream(stream: object) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
