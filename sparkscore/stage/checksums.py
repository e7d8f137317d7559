"""Checksums of staged files: taken while a file is written, compared before it is published (worker).

Small files that a later attempt reads back (a chunk's reports, the probe) end with the checksum of what is before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.digest import sha256_of_file
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError
from sparkscore.stage.report import StagedFile

_DIGEST_BYTES: Final = hashlib.sha256().digest_size


class HashingFile:
    """A file for one writer that takes the SHA-256 of what passes; PyArrow writes to it as to any other.

    Attributes:
        size_bytes: bytes written so far.
    """

    def __init__(self, path: Path) -> None:
        self.size_bytes = 0
        self._file = path.open("wb")
        self._digest = hashlib.sha256()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._file.closed

    @property
    def sha256(self) -> str:
        """The checksum of what was written so far."""
        return self._digest.hexdigest()

    def write(self, content: Any) -> int:
        """Write bytes, all of them."""
        self._digest.update(content)
        self._file.write(content)
        self.size_bytes += len(content)
        return len(content)

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        self._file.flush()

    def tell(self) -> int:
        """Give the place at which the next bytes go."""
        return self.size_bytes

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def find_changed(stage: Path, files: Iterable[StagedFile], *, reads_all: bool) -> list[tuple[str, str]]:
    """Name the staged files that are not as they were written, each with what is wrong.

    Args:
        stage: the run's stage.
        files: the files, as their writers reported them.
        reads_all: whether to read each file and compare its checksum; otherwise its size and its footer.
    """
    found = ((file.path, _difference(stage / file.path, file, reads_all=reads_all)) for file in files)
    return [(path, difference) for path, difference in found if difference]


def _difference(path: Path, file: StagedFile, *, reads_all: bool) -> str:
    """Say how a file differs from what its writer reported; nothing where it does not."""
    try:
        size = path.stat().st_size
        if size != file.size_bytes:
            return f"{size} bytes instead of {file.size_bytes}"
        return _other_sum(path, file.sha256) if reads_all else _other_count(path, file.rows)
    except FileNotFoundError:
        return "nothing there"
    except OSError as error:
        return error.strerror or type(error).__name__
    except pa.ArrowException:
        return "no Parquet file"


def _other_count(path: Path, rows: int) -> str:
    found = pq.read_metadata(path).num_rows
    return "" if found == rows else f"{found} rows instead of {rows}"


def _other_sum(path: Path, sha256: str) -> str:
    if not sha256:
        return "no checksum: a version of sparkscore that took none has staged it"
    return "" if sha256_of_file(path) == sha256 else "other contents than were written"


def sealed(content: bytes) -> bytes:
    """Give the content of a small file with its checksum behind it."""
    return content + hashlib.sha256(content).digest()


def read_sealed(path: Path) -> bytes:
    """Read back what `sealed` has closed.

    Raises:
        SinkError: the file is not as it was written.
    """
    whole = path.read_bytes()
    content = whole[:-_DIGEST_BYTES]
    if whole != sealed(content):
        raise changed_note(path)
    return content


def changed_note(path: Path) -> SinkError:
    """Make the error for a file with which a run goes on, and which was changed or cut off meanwhile."""
    return SinkError(
        code=ErrorCode.STAGE_CHANGED,
        what=f"the file '{path}' of the stage",
        got="other contents than sparkscore wrote",
        state="Nothing was published.",
        next_step="Remove the stage with 'sparkscore clean', that of a held run with 'sparkscore publish RUN_ID "
        "--discard', and run again.",
    )
