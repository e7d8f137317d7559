"""Create and check the key for hashing a run's secrets. Runs on the driver."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import LineageError

_BYTES: Final = 32
_KEY: Final = re.compile(rb"[0-9a-f]{%d}" % (2 * _BYTES))


def new_key() -> bytes:
    """Generate a random key, encoded as in the key file."""
    return secrets.token_hex(_BYTES).encode()


def key_in(content: bytes, file: Path, run_id: str) -> bytes:
    """Parse the content of a key file, and return the key.

    Args:
        content: the file's content.
        file: path of the file, for the error message.
        run_id: id of the run, for the error message.

    Raises:
        LineageError: the content is not a key.
    """
    if _KEY.fullmatch(content) is None:
        raise LineageError(
            code=ErrorCode.RUNS_FOLDER,
            what=f"the key '{file}' of run '{run_id}'",
            got="other content than sparkscore has written",
            expected=f"{2 * _BYTES} hexadecimal digits",
            state="Nothing was published.",
            next_step="Restore the file, or choose another --run-id.",
        )
    return bytes.fromhex(content.decode("ascii"))
