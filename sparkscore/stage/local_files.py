"""Define the files that a local store keeps open: `UnfinishedFile` and `EmptyFile`.

Runs on the driver and the workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparkscore.stage.layout import unfinished

if TYPE_CHECKING:
    from sparkscore.stage.local_store import LocalStore

_BUFFER_BYTES: Final = 1024 * 1024
FOR_ALL: Final = 0o666  # before the process's umask


class UnfinishedFile:
    """A file that is written under a temporary name and gets its final name when it is closed.

    The temporary file is in the same folder as the final file. `LocalStore` writes all non-empty files through this
    class.

    Args:
        store: the file's store.
        path: final path of the file.
        show: function that gives the file its final name. `close` calls it with the temporary and the final path.
        is_durable: whether `close` waits until the content is on disk (``fsync``).
        mode: file permissions, before the process's umask is applied.
    """

    def __init__(
        self,
        store: LocalStore,
        path: Path,
        show: Callable[[Path, Path], None],
        *,
        is_durable: bool,
        mode: int = FOR_ALL,
    ) -> None:
        self.closed = False
        self._store = store
        self._path = path
        self._show = show
        self._is_durable = is_durable
        self._buffer = bytearray()
        self._written = 0
        self._unfinished = path.with_name(unfinished(path.name, store.token()))
        self._descriptor: int | None = store._create_below_root(self._unfinished, mode)  # noqa: SLF001 - a part of the store

    def write(self, content: Any) -> int:
        """Add bytes to the buffer and return their number. A full buffer is written to the temporary file."""
        self._buffer += content
        self._written += len(content)
        if len(self._buffer) >= _BUFFER_BYTES:
            self.flush()
        return len(content)

    def flush(self) -> None:
        """Write the buffered bytes to the temporary file."""
        if self._descriptor is not None:
            content, self._buffer = self._buffer, bytearray()
            self._store._do_write(self._descriptor, memoryview(content))  # noqa: SLF001

    def tell(self) -> int:
        """Return the number of bytes written or buffered so far, which is the position of the next byte."""
        return self._written

    def close(self) -> None:
        """Write the buffered bytes and call `show` to give the file its final name. Do nothing if the file is closed.

        Errors raised by `show` are propagated. After an `OSError`, the temporary file is removed if possible. After any
        other error, it is kept until the caller calls `abandon`.

        Raises:
            OSError: the file cannot be written, or cannot get its final name.
        """
        if self.closed:
            return
        try:
            self.flush()
            self._leave(is_durable=self._is_durable)
            self._show(self._unfinished, self._path)
        except OSError:
            self._forget()
            raise
        finally:
            self.closed = True

    def abandon(self) -> None:
        """Close the file and remove the temporary file, unless the file already has its final name.

        Any `OSError` is ignored.
        """
        self.closed = True
        self._forget()

    def _leave(self, *, is_durable: bool) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                if is_durable:
                    self._store._do_sync(descriptor, self._unfinished)  # noqa: SLF001
            finally:
                self._store._do_close(descriptor, self._unfinished)  # noqa: SLF001

    def _forget(self) -> None:
        with suppress(OSError):
            self._leave(is_durable=False)
        if os.path.lexists(self._unfinished):
            with suppress(OSError):  # the error that led here is more important
                self._store._do_remove(self._unfinished)  # noqa: SLF001


@dataclass
class EmptyFile:
    """An empty file that can be distinguished from a file that is later created at the same path.

    `is_there` recognizes the file by its inode number. The file stays open until `close`, which keeps its inode number
    from being reused. This class implements `sparkscore.stage.store.Mark`.

    Attributes:
        store: the file's store.
        path: path of the file.
        descriptor: descriptor of the open file.
    """

    store: LocalStore
    path: Path
    descriptor: int

    def is_there(self) -> bool:
        """Return whether the path still refers to this empty file, and not to a file that has replaced it.

        Return False if the file at the path cannot be examined.
        """
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        except OSError:
            return False

    def close(self) -> None:
        """Close the file without removing it."""
        self.store._do_close(self.descriptor, self.path)  # noqa: SLF001 - a part of the store
