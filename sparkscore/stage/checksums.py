"""Checksums of staged files: taken while a file is written, compared before it is published (worker).

Small files that a later attempt reads back (a chunk's reports, the probe) end with the checksum of what is before it.
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
from sparkscore.stage.store import Kind, Store, Writer
from sparkscore.stage.surroundings import open_store

_READ_BYTES: Final = 1024 * 1024
_DIGEST_BYTES: Final = hashlib.sha256().digest_size


class HashingFile:
    """A file for one writer that takes the SHA-256 of what passes; PyArrow writes to it as to any other.

    Attributes:
        size_bytes: bytes written so far.
    """

    def __init__(self, writer: Writer) -> None:
        self.size_bytes = 0
        self._writer = writer
        self._digest = hashlib.sha256()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._writer.closed

    @property
    def sha256(self) -> str:
        """The checksum of what was written so far."""
        return self._digest.hexdigest()

    def write(self, content: Any) -> int:
        """Write bytes, all of them."""
        self._digest.update(content)
        self._writer.write(content)
        self.size_bytes += len(content)
        return len(content)

    def flush(self) -> None:
        """Hand what is buffered to the store."""
        self._writer.flush()

    def tell(self) -> int:
        """Return the place at which the next bytes go."""
        return self.size_bytes

    def close(self) -> None:
        """Close the file, and show it to those who know its name."""
        self._writer.close()

    def abandon(self) -> None:
        """Forget what was written."""
        self._writer.abandon()


def find_changed(stage: Path, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
    """Name the staged files that are not as they were written, each with what is wrong.

    Args:
        stage: the run's stage.
        files: the files, as their writers reported them.
        reads_all: whether to read each file and compare its checksum; otherwise its size and its footer.
    """
    store = open_store(stage)
    found = ((file.path, _difference(store, file, reads_all=reads_all)) for file in files)
    return [(path, difference) for path, difference in found if difference]


def _difference(store: Store, file: StagedFile, *, reads_all: bool) -> str:
    """Say how a file differs from what its writer reported; nothing where it does not."""
    try:
        found = store.find(file.path)
        if found is None or found.kind is not Kind.FILE:
            return "nothing there" if found is None else f"a {found.kind}"
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
        return "no checksum: a version of sparkscore that took none has staged it"
    digest = hashlib.sha256()
    while content := opened.read(_READ_BYTES):
        digest.update(content)
    return "" if digest.hexdigest() == sha256 else "other contents than were written"


def sealed(content: bytes) -> bytes:
    """Give the content of a small file with its checksum behind it."""
    return content + hashlib.sha256(content).digest()


def read_sealed(store: Store, name: str) -> bytes:
    """Read back what `sealed` has closed.

    Raises:
        SinkError: the file is not as it was written.
    """
    whole = store.read(name)
    content = whole[:-_DIGEST_BYTES]
    if whole != sealed(content):
        raise changed_note(store.locate(name))
    return content


def changed_note(path: str) -> SinkError:
    """Make the error for a file with which a run goes on, and which was changed or cut off meanwhile."""
    return SinkError(
        code=ErrorCode.STAGE_CHANGED,
        what=f"the file '{path}' of the stage",
        got="other contents than sparkscore wrote",
        state="Nothing was published.",
        next_step="Remove the stage with 'sparkscore clean', that of a held run with 'sparkscore publish RUN_ID "
        "--discard', and run again.",
    )
