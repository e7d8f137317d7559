"""Exchange pickled objects between a worker and its child, with a time limit.

Runs on the workers, also in child processes.

Each message begins with the connection's token, the call number and the sender's process id. The receiver knows which
values to expect. Any other data raises an error, because the user's code, or a process it started, may have written to
the socket. The rows of a mini-batch reach a child through memory that it shares with the worker, if there is such
memory. All other data goes through the socket.
"""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import time
from collections.abc import Callable, Sequence
from os import getpid  # a script may replace os.getpid
from typing import Any, Final, NamedTuple

import pyarrow as pa

from sparkscore.worker.child.shared_memory import SharedMemory

_HEADER: Final = struct.Struct("!16sQQQ")
_SIZE: Final = struct.Struct("!Q")
# At most this many bytes are sent or received at once. Larger pieces would use more memory without saving time.
_PIECE: Final = 1 << 20
# A part of a message that is not larger than this is sent together with the header, and is read together with it if
# nothing but messages comes through the socket. A wake-up or a system call takes longer than copying it.
_SMALL: Final = 1 << 16
# Finding out the size of a table with few rows takes longer than letting a buffer grow.
_FEW_ROWS: Final = 256
# At most this much memory is allocated for data that a message has announced, but that has not arrived yet.
_MOST_AWAITED: Final = 64 << 20
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


class UnreadableMessageError(Exception):
    """The received message is the expected one, but its content cannot be read."""


class Forked(NamedTuple):
    """A template's answer when it has forked a child.

    Attributes:
        pid: process id of the child.
        has_memory: whether the child has mapped the memory that it is to share with the worker.
    """

    pid: int
    has_memory: bool


class ChildForgotten(NamedTuple):
    """A worker's message to its template that the process id of a child that has ended may be used again.

    Attributes:
        pid: process id of the child.
    """

    pid: int


class Library(NamedTuple):
    """A module of a library.

    Attributes:
        name: name of the module, with its package.
        origin: path of the module's file, or an empty string if no child has imported it yet.
    """

    name: str
    origin: str


class LibrariesWanted(NamedTuple):
    """A worker's request to its template to import libraries before it forks a child.

    Attributes:
        libraries: name and file of each module.
        paths: the worker's import path, or an empty list if the template has another interpreter.
    """

    libraries: Sequence[Library]
    paths: Sequence[str]


class Connection:
    """One end of the socket between a worker and its child, or between a worker and its template.

    Messages are unpickled. This is as safe as running the user's code, because both processes belong to the same user.

    Attributes:
        memory: memory that both processes have mapped, or None. A table in a message is written to it at the worker's
            end, and read from it at the child's. Without it, tables go through the socket.
        may_view: function that returns whether a received table of a schema may be a view of the shared memory, which
            changes with the next message. By default, all tables are copied.
    """

    def __init__(
        self,
        end: socket.socket,
        token: bytes,
        *,
        is_other_alive: Callable[[], bool] | None = None,
        reads_ahead: bool = True,
    ) -> None:
        """Use a socket as one end of a connection.

        Args:
            end: the socket.
            token: first bytes of each message, the same at both ends and unique to this connection.
            is_other_alive: function that returns whether the other process is still running. Without it, only the
                socket shows that the process has ended.
            reads_ahead: whether all data that has arrived may be read at once. This must not be so if file descriptors
                come through the socket, too: they would be lost.
        """
        self.memory: SharedMemory | None = None
        self.may_view: Callable[[pa.Schema], bool] = _never
        self._socket = end
        self._token = token
        self._is_other_alive = is_other_alive
        self._file = _file_of(end)
        self._timeout = end.gettimeout()
        self._reads_ahead = reads_ahead
        # What has been read, but does not belong to the part of the message that was asked for.
        self._ahead = memoryview(bytearray(_SMALL))
        self._start = self._end = 0

    def send(
        self, message: object, number: int, timeout: float | None = None, *, has_only_plain_values: bool = False
    ) -> None:
        """Send one message.

        Args:
            message: object to pickle and send.
            number: number of the call.
            timeout: time limit in seconds, or None for no limit.
            has_only_plain_values: whether the message has only tuples, lists, dictionaries, strings, numbers and None.
                Such a message is pickled in a third of the time, because no table is looked for.

        Raises:
            TimeoutError: the other process did not read the message in time.
            DescriptorLostError: the file descriptor of this end was closed or replaced.
            ConnectionLostError: the other process has ended or closed its end.
        """
        if has_only_plain_values:
            parts = [memoryview(pickle.dumps(message, 5))]
        else:
            parts = [part.raw() for part in _dump(message, self.memory)]
        self._check_own_end()
        header = _HEADER.pack(self._token, number, getpid(), len(parts))
        header += struct.pack(f"!{len(parts)}Q", *(part.nbytes for part in parts))
        deadline = _deadline(timeout)
        while parts and len(header) + parts[0].nbytes <= _SMALL:
            header += bytes(parts.pop(0))
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
            UnreadableMessageError: the message cannot be unpickled, for example because its sizes are wrong.
            DescriptorLostError: the file descriptor of this end was closed or replaced.
            ConnectionLostError: the other process has ended or closed its end.
        """
        self._check_own_end()
        deadline = _deadline(timeout)
        token, *found, count = _HEADER.unpack(self._read(_HEADER.size, deadline))
        if token != self._token or found != [number, sender]:
            raise ForeignMessageError
        sizes = [size for (size,) in _SIZE.iter_unpack(self._read(count * _SIZE.size, deadline))]
        message, *buffers = [self._read(size, deadline) for size in sizes]
        try:
            return _Unpickler(message, buffers, self._read_table).load()
        except Exception as error:
            raise UnreadableMessageError from error

    def _read_table(self, size: int) -> pa.Table:
        """Return the table in the shared memory, given the size of its Arrow stream.

        Raises:
            UnpicklingError: there is no shared memory.
            ValueError: the memory does not have this many bytes.
            ArrowInvalid: the memory does not contain a table of this size.
        """
        if self.memory is None:
            raise pickle.UnpicklingError("no shared memory")
        table = _read_stream(self.memory.view(size))
        return table if self.may_view(table.schema) else _read_stream(self.memory.get(size))

    def close(self) -> None:
        """Close this end of the connection."""
        self._socket.close()

    def _check_own_end(self) -> None:
        """Raise `DescriptorLostError` if this end's file descriptor is closed or now refers to a different file."""
        if self._file is None or _file_of(self._socket) != self._file:
            raise DescriptorLostError

    def _read(self, size: int, deadline: float | None) -> bytearray:
        """Read exactly `size` bytes from the socket and return them.

        Memory is allocated as the bytes arrive, because the size comes from the other process and may be wrong.

        Raises:
            TimeoutError: the bytes did not arrive before the deadline.
            ConnectionLostError: the other process has ended or closed its end.
        """
        if size > len(self._ahead):
            return self._read_large(size, deadline)
        while self._end - self._start < size:
            self._read_more(size, deadline)
        first, self._start = self._start, self._start + size
        return bytearray(self._ahead[first : self._start])

    def _read_more(self, size: int, deadline: float | None) -> None:
        """Add what has arrived to what has been read already. Without `reads_ahead`, no more than `size` bytes."""
        held = self._end - self._start
        if self._start:
            self._ahead[:held] = bytes(self._ahead[self._start : self._end])
            self._start, self._end = 0, held
        wanted = self._ahead[held:] if self._reads_ahead else self._ahead[held:size]
        got = self._move(deadline, self._socket.recv_into, wanted)
        if not got:
            raise ConnectionLostError
        self._end += got

    def _read_large(self, size: int, deadline: float | None) -> bytearray:
        held = self._ahead[self._start : self._end]
        self._start = self._end = 0
        data = bytearray(min(size, _MOST_AWAITED))
        data[: len(held)] = held
        self._fill(memoryview(data)[len(held) :], deadline)
        while len(data) < size:
            more = bytearray(min(size - len(data), _MOST_AWAITED))
            self._fill(memoryview(more), deadline)
            data += more
        return data

    def _fill(self, view: memoryview, deadline: float | None) -> None:
        filled = 0
        while filled < view.nbytes:
            got = self._move(deadline, self._socket.recv_into, view[filled : filled + _PIECE])
            if not got:
                raise ConnectionLostError
            filled += got

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
            if self._is_other_alive is not None:
                left = _LOOK_SECONDS if left is None else min(left, _LOOK_SECONDS)
            try:
                return self._move_within(left, move, piece)
            except TimeoutError:
                if self._is_other_alive is None or self._is_other_alive():
                    continue
            except OSError as error:
                raise ConnectionLostError from error
            try:
                return self._move_within(0.0, move, piece)  # a message that was sent before the process ended
            except OSError:
                raise ConnectionLostError from None

    def _move_within(self, seconds: float | None, move: Callable[[memoryview], int], piece: memoryview) -> int:
        if seconds != self._timeout:
            self._socket.settimeout(seconds)
            self._timeout = seconds
        return move(piece)


def _file_of(end: socket.socket) -> tuple[int, int] | None:
    """Return the device and inode of the file behind a socket's descriptor, or None if the descriptor is closed."""
    try:
        found = os.fstat(end.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _dump(message: object, memory: SharedMemory | None) -> list[pickle.PickleBuffer]:
    """Return the pickled message, followed by its out-of-band buffers, for example the data of Arrow tables."""
    buffers: list[pickle.PickleBuffer] = []
    text = io.BytesIO()
    _Pickler(text, buffers, memory).dump(message)
    return [pickle.PickleBuffer(text.getvalue()), *buffers]


class _Pickler(pickle.Pickler):
    """A pickler that writes Arrow tables as Arrow streams, because a pickled slice would contain the whole table.

    The first table is written to the shared memory, if there is any and the table fits. A mini-batch has one table.
    """

    def __init__(self, text: io.BytesIO, buffers: list[pickle.PickleBuffer], memory: SharedMemory | None) -> None:
        super().__init__(text, protocol=5, buffer_callback=buffers.append)
        self._free = memory if memory is not None and memory.is_writable else None

    def persistent_id(self, value: Any) -> int | None:
        if self._free is None or not isinstance(value, pa.Table):
            return None
        memory, self._free = self._free, None
        return memory.put(value)

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, pa.Table):
            return _read_stream, (pickle.PickleBuffer(write_stream(value)),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """An unpickler that reads a table from the shared memory, given the size of the table's Arrow stream."""

    def __init__(self, text: bytearray, buffers: list[bytearray], read_table: Callable[[int], pa.Table]) -> None:
        super().__init__(io.BytesIO(text), buffers=buffers)
        self._read_table = read_table

    def persistent_load(self, size: int) -> pa.Table:
        return self._read_table(size)


def write_stream(table: pa.Table) -> pa.Buffer:
    """Serialize a table to a buffer in Arrow's IPC stream format."""
    if table.num_rows <= _FEW_ROWS:
        growing = pa.BufferOutputStream()
        _write(growing, table)
        return growing.getvalue()
    # A buffer that grows is copied several times, so the size is found out first, without copying any data.
    counter = pa.MockOutputStream()
    _write(counter, table)
    buffer = pa.allocate_buffer(counter.size())
    _write(pa.FixedSizeBufferWriter(buffer), table)
    return buffer


def _write(sink: pa.NativeFile, table: pa.Table) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def _never(_: pa.Schema) -> bool:
    return False


def _read_stream(stream: object) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
