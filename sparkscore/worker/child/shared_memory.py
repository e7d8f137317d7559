"""Pass the rows of mini-batches from a worker to its child process in shared memory instead of a socket.

Runs on the workers, also in child processes.

Only the worker writes to the memory, and only the child reads it. The user's code may keep what it gets while the
worker writes the rows of the next mini-batch, so it never gets a view of this memory: the child copies the rows before
the call, unless they are copied anyway when they are converted for the code.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import sys
from contextlib import suppress
from typing import Final, Self

import pyarrow as pa

#: Rows that need more bytes than this go through the socket. Only bytes that have been reserved take up memory.
LARGEST: Final = 64 * 1024 * 1024
_STEP: Final = 1024 * 1024
# Arrow's stream has a header for each column and pads each buffer, so it is larger than the values.
_OVERHEAD_OF_A_COLUMN: Final = 1024
# Source: memfd_create(2) and fcntl(2). Python has these names only if it was built with a C library that has them.
_CLOSE_ON_EXEC, _ALLOW_SEALING, _ADD_SEALS, _SEAL_SHRINK = 1, 2, 1033, 2


class SharedMemory:
    """Memory of `LARGEST` bytes that two processes have mapped.

    Attributes:
        is_writable: whether this process writes to the memory, rather than reads it.
        descriptor: file descriptor of the memory. It is needed to pass the memory to another process and to reserve
            more of it.
    """

    def __init__(self, descriptor: int, *, is_writable: bool) -> None:
        """Map the memory.

        Raises:
            OSError: the memory cannot be mapped, for example because the address space of the process is limited.
        """
        self.is_writable = is_writable
        self.descriptor = descriptor
        self._mapped = mmap.mmap(descriptor, LARGEST, prot=mmap.PROT_READ | (mmap.PROT_WRITE if is_writable else 0))
        self._reserved = 0

    @classmethod
    def create(cls) -> Self | None:
        """Create new memory, or return None if that is not possible, for example on a system other than Linux."""
        descriptor = _create_file()
        if descriptor is None:
            return None
        try:
            os.ftruncate(descriptor, LARGEST)
            # If a child could shrink the memory, the worker could be killed by a signal as it writes.
            fcntl.fcntl(descriptor, _ADD_SEALS, _SEAL_SHRINK)
            return cls(descriptor, is_writable=True)
        except OSError:
            os.close(descriptor)
            return None

    @classmethod
    def received(cls, descriptors: list[int]) -> Self | None:
        """Return the memory that another process created, or None if it sent none or the memory cannot be mapped.

        Args:
            descriptors: the descriptor of the memory, or an empty list.
        """
        for descriptor in descriptors:
            try:
                return cls(descriptor, is_writable=False)
            except OSError:
                os.close(descriptor)
        return None

    def put(self, rows: pa.Table) -> int | None:
        """Write rows to the start of the memory as an Arrow stream, and return the size of the stream in bytes.

        Return None if the rows have no columns or do not fit, or if the system has no memory left. The former content
        of the memory is lost.
        """
        if not rows.num_columns:
            return None
        # Most mini-batches of a task are equally large, and finding out their size takes longer than a small one.
        size = self._write(rows) if self._reserved else None
        if size is None:
            needed = rows.nbytes + _OVERHEAD_OF_A_COLUMN * (rows.num_columns + 1) * (rows.column(0).num_chunks + 1)
            size = self._write(rows) if self._reserve(needed) else None
        return size

    def _write(self, rows: pa.Table) -> int | None:
        """Write rows to the reserved memory and return the size of the stream, or None if they do not fit."""
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(memoryview(self._mapped)[: self._reserved]))
        try:
            with pa.ipc.new_stream(sink, rows.schema) as writer:
                writer.write_table(rows)
            return int(sink.tell())
        except (pa.ArrowException, OSError):
            return None

    def get(self, size: int) -> pa.Buffer:
        """Return a copy of the first bytes of the memory.

        Raises:
            ValueError: the memory does not have this many bytes.
        """
        copy = pa.allocate_buffer(size)
        memoryview(copy).cast("B")[:] = memoryview(self._mapped)[:size]
        return copy

    def view(self, size: int) -> pa.Buffer:
        """Return the first bytes of the memory without copying them. They change when the worker writes again.

        Raises:
            ValueError: the memory does not have this many bytes.
        """
        if not 0 <= size <= LARGEST:
            raise ValueError(f"size {size}")
        return pa.py_buffer(memoryview(self._mapped)[:size])

    def close_descriptor(self) -> None:
        """Close the descriptor, so that the user's code cannot use it. The memory can still be read."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def close(self) -> None:
        """Close the descriptor and unmap the memory."""
        self.close_descriptor()
        with suppress(BufferError):  # a view of the memory is still in use; the memory is unmapped once it is dropped
            self._mapped.close()

    def _reserve(self, size: int) -> bool:
        """Reserve the first ``size`` bytes of the memory, and return whether the system has that much.

        Without this, the worker would be killed by a signal if it writes while the system has no memory left.
        """
        if size > LARGEST:
            return False
        if size > self._reserved:
            wanted = min(LARGEST, -(-size // _STEP) * _STEP)
            try:
                os.posix_fallocate(self.descriptor, 0, wanted)
            except OSError:
                return False
            self._reserved = wanted
        return True


def _create_file() -> int | None:
    """Return the descriptor of a new file that exists only in memory, or None if the system has no such files."""
    create = getattr(ctypes.CDLL(None), "memfd_create", None) if sys.platform == "linux" else None
    descriptor = -1 if create is None else int(create(b"sparkscore", _CLOSE_ON_EXEC | _ALLOW_SEALING))
    return None if descriptor < 0 else descriptor
