"""Messages between a worker and its child: pickles whose Arrow tables travel as streams, with a deadline (worker)."""

from __future__ import annotations

import io
import pickle
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

_SIZES: Final = struct.Struct("!Q")
# A socket of the system takes and gives no more than this at once; larger pieces cost memory and no time less.
_PIECE: Final = 1 << 20


class ConnectionLostError(Exception):
    """The other process is gone, or closed its end."""


class Connection:
    """One end of the socket between a worker and its child.

    Both ends belong to one user and hold one run's own code, so pickles are as safe as that code is.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, message: object, timeout: float | None = None) -> None:
        """Send one message.

        Raises:
            TimeoutError: the other end did not take it in time.
            ConnectionLostError: the other end is gone.
        """
        parts = [part.raw() for part in _dump(message)]
        header = b"".join(_SIZES.pack(size) for size in (len(parts), *(part.nbytes for part in parts)))
        deadline = _deadline(timeout)
        for part in (memoryview(header), *parts):
            for start in range(0, part.nbytes, _PIECE):
                self._move(deadline, self._socket.sendall, part[start : start + _PIECE])

    def receive(self, timeout: float | None = None) -> Any:
        """Wait for one message.

        Raises:
            TimeoutError: no whole message came in time.
            ConnectionLostError: the other end is gone.
        """
        deadline = _deadline(timeout)
        (count,) = _SIZES.unpack(self._read(_SIZES.size, deadline))
        sizes = [_SIZES.unpack(self._read(_SIZES.size, deadline))[0] for _ in range(count)]
        message, *buffers = [self._read(size, deadline) for size in sizes]
        return pickle.loads(message, buffers=buffers)  # noqa: S301 - see the class

    def close(self) -> None:
        """Close this end; the other one then reads nothing more."""
        self._socket.close()

    def _read(self, size: int, deadline: float | None) -> bytearray:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            got = self._move(deadline, self._socket.recv_into, view[filled : filled + _PIECE])
            if not got:
                raise ConnectionLostError
            filled += got
        return data

    def _move(self, deadline: float | None, move: Callable[[memoryview], int | None], piece: memoryview) -> int:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        try:
            return move(piece) or 0
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionLostError from error


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
