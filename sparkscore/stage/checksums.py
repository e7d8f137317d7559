"""Compute checksums of staged files as they are written, and find changed files. Runs on the driver and the workers.

Small files that are read again when a run is resumed, such as a chunk's reports, end with a checksum of their content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError
from sparkscore.stage.report import StagedFile
from sparkscore.stage.store import EntryType, Store, Writer
from sparkscore.stage.surroundings import open_store

_READ_BYTES: Final = 1024 * 1024
_DIGEST_BYTES: Final = hashlib.sha256().digest_size


class HashingFile:
    """A file that computes the SHA-256 checksum of the bytes written to it.

    PyArrow can write to it as if it were a Python file object.

    Attributes:
        size_bytes: number of bytes written so far.
    """

    def __init__(self, writer: Writer) -> None:
        self.size_bytes = 0
        self._writer = writer
        self._digest = hashlib.sha256()

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._writer.closed

    @property
    def sha256(self) -> str:
        """The SHA-256 checksum of the bytes written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, content: Any) -> int:
        """Write all bytes of the content and return their number."""
        self._digest.update(content)
        self._writer.write(content)
        self.size_bytes += len(content)
        return len(content)

    def flush(self) -> None:
        """Write the buffered bytes to the store."""
        self._writer.flush()

    def tell(self) -> int:
        """Return the number of bytes written so far, which is the position of the next byte."""
        return self.size_bytes

    def close(self) -> None:
        """Close the file, which makes it visible under its name."""
        self._writer.close()

    def abandon(self) -> None:
        """Discard everything written to the file, unless `close` has already made it visible under its name."""
        self._writer.abandon()


def find_changed(stage: Path, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
    """Return the staged files that differ from their writers' reports, as pairs of path and difference.

    The difference is a short description for an error message. Missing and unreadable files count as different.

    Args:
        stage: path of the run's stage.
        files: the staged files, with their reported sizes, row counts and checksums.
        reads_all: whether to read each file and compare its checksum, in addition to its size. Files without a reported
            checksum then count as different. Otherwise, the size and the row count in the Parquet footer are compared.
    """
    store = open_store(stage)
    found = ((file.path, _difference(store, file, reads_all=reads_all)) for file in files)
    return [(path, difference) for path, difference in found if difference]


def _difference(store: Store, file: StagedFile, *, reads_all: bool) -> str:
    """Return how a staged file differs from its writer's report, or an empty string if no difference was found."""
    try:
        found = store.find(file.path)
        if found is None or found.type is not EntryType.FILE:
            return "nothing there" if found is None else f"a {found.type}"
        if found.size_bytes != file.size_bytes:
            return f"{found.size_bytes} bytes instead of {file.size_bytes}"
        with store.open(file.path) as opened:
            return _other_sum(opened, file.sha256) if reads_all else _other_count(opened, file.rows)
    except FileNotFoundError:
        return "nothing there"
    except OSError as error:
        return error.strerror or type(error).__name__
    except pa.ArrowException:
        return "no Parquet file"


def _other_count(opened: BinaryIO, rows: int) -> str:
    found = pq.read_metadata(opened).num_rows
    return "" if found == rows else f"{found} rows instead of {rows}"


def _other_sum(opened: BinaryIO, sha256: str) -> str:
    if not sha256:
        return "no checksum, because an earlier version of sparkscore wrote it"
    digest = hashlib.sha256()
    while content := opened.read(_READ_BYTES):
        digest.update(content)
    return "" if digest.hexdigest() == sha256 else "other contents than were written"


def sealed(content: bytes) -> bytes:
    """Return the content of a small file, followed by its SHA-256 checksum."""
    return content + hashlib.sha256(content).digest()


def read_sealed(store: Store, name: str) -> bytes:
    """Read a small file, verify the checksum at its end, and return the content without the checksum.

    Args:
        store: the store that contains the file.
        name: name of a file that was written with the bytes that `sealed` returned.

    Raises:
        SinkError: the content does not match the checksum, because the file was modified or truncated.
        OSError: the file cannot be read, for example because it does not exist.
    """
    whole = store.read(name)
    content = whole[:-_DIGEST_BYTES]
    if whole != sealed(content):
        raise changed_note(store.locate(name))
    return content


def changed_note(path: str) -> SinkError:
    """Return the error for a staged file that was modified or truncated after sparkscore wrote it."""
    return SinkError(
        code=ErrorCode.STAGE_CHANGED,
        what=f"the file '{path}' of the stage",
        got="other contents than sparkscore wrote",
        state="Nothing was published.",
        next_step="Remove the stage with 'sparkscore clean', that of a held run with 'sparkscore publish RUN_ID "
        "--discard', and run again.",
    )
